"""Tidy tables of all cells, rows in the order of the config.

In: the pretrained files; the tables of single cells and settings.
Out: results/tables/pretraining.csv, equivalence.csv, approximation.csv, matrices.csv.
"""


rule pretraining_table:
    input:
        code=code("steps.collect_pretraining"),
        pretrained=expand("results/pretrained/{cell}.safetensors", cell=experiment.cells),
    output:
        "results/tables/pretraining.csv",
    log:
        "results/logs/tables/pretraining.log",
    benchmark:
        "results/benchmarks/tables/pretraining.tsv"
    conda:
        "../envs/python.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "python -m icl_contrastive.steps.collect_pretraining"
        " --pretrained {input.pretrained:q} --output {output:q} 2> {log:q}"


rule equivalence_table:
    input:
        code=code("steps.concatenate"),
        tables=expand("results/equivalence/{cell}.csv", cell=experiment.dual_cells),
    output:
        "results/tables/equivalence.csv",
    log:
        "results/logs/tables/equivalence.log",
    benchmark:
        "results/benchmarks/tables/equivalence.tsv"
    conda:
        "../envs/python.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "python -m icl_contrastive.steps.concatenate"
        " --tables {input.tables:q} --output {output:q} 2> {log:q}"


use rule equivalence_table as approximation_table with:
    input:
        code=code("steps.concatenate"),
        tables=expand(
            "results/approximation/{setting}.csv", setting=experiment.approximation_settings
        ),
    output:
        "results/tables/approximation.csv",
    log:
        "results/logs/tables/approximation.log",
    benchmark:
        "results/benchmarks/tables/approximation.tsv"


use rule equivalence_table as matrices_table with:
    input:
        code=code("steps.concatenate"),
        tables=expand(
            "results/approximation/{setting}_matrices.csv",
            setting=experiment.approximation_settings,
        ),
    output:
        "results/tables/matrices.csv",
    log:
        "results/logs/tables/matrices.log",
    benchmark:
        "results/benchmarks/tables/matrices.tsv"
