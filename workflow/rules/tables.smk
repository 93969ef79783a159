"""Tidy tables of all cells, rows in the order of the config.

In: the pretrained files; the tables of single cells and settings.
Out: results/tables/pretraining.csv, and pretraining/<figure>.csv for the figures that show some of it;
equivalence.csv and those below.
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
    localrule: True
    conda:
        "../envs/python.yaml"
    threads: 1
    resources:
        **table_needs,
    shell:
        "python -m icl_contrastive.steps.collect_pretraining"
        " --pretrained {input.pretrained:q} --output {output:q} --code {input.code:q} 2> {log:q}"


# A figure waits for no trainings but its own.
use rule pretraining_table as learning_curves with:
    input:
        code=code("steps.collect_pretraining"),
        pretrained=lambda wildcards: expand(
            "results/pretrained/{cell}.safetensors", cell=experiment.curve_cells(wildcards.figure)
        ),
    output:
        "results/tables/pretraining/{figure}.csv",
    log:
        "results/logs/tables/pretraining/{figure}.log",
    benchmark:
        "results/benchmarks/tables/pretraining/{figure}.tsv"
    localrule: True


# Tables whose rows are those of `parts`, one after the other: results/tables/approximation.csv, say, by
# the rule approximation_table.
for table, tables in {
    **parts,
    "ablations": expand("results/ablations/{ablation}.csv", ablation=ablations),
    "heads": expand("results/networks/{network}.csv", network=experiment.networks),
}.items():
    if not tables:
        continue  # an optional section that the config leaves out

    rule:
        name:
            f"{table}_table"
        input:
            code=code("steps.concatenate"),
            tables=tables,
        output:
            f"results/tables/{table}.csv",
        log:
            f"results/logs/tables/{table}.log",
        benchmark:
            f"results/benchmarks/tables/{table}.tsv"
        localrule: True
        conda:
            "../envs/python.yaml"
        threads: 1
        resources:
            **table_needs,
        params:
            order=tables,  # Snakemake compares inputs as a set
        shell:
            "python -m icl_contrastive.steps.concatenate"
            " --tables {input.tables:q} --output {output:q} --code {input.code:q} 2> {log:q}"
