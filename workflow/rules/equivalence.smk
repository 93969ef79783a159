"""The layer beside its reference model under gradient descent (Theorem 1, Eq. 8-14, 16-18, A.4).

In: results/data/<setting>.safetensors, results/pretrained/<setting>/<variant>.safetensors.
Out: results/equivalence/<setting>/<variant>.csv, where the two end, and .safetensors, the whole
way of some. Fails when an identity that must hold is broken, or when a descent in the prompt's own
N + 2 dimensions is not that at full width. For the cells in figures, the way as a table:
results/tables/trajectories/<setting>/<variant>.csv.
"""


rule equivalence:
    input:
        code=code("steps.equivalence"),
        own=lambda wildcards: own_code_of(wildcards.variant),
        data="results/data/{setting}.safetensors",
        pretrained="results/pretrained/{setting}/{variant}.safetensors",
    output:
        table="results/equivalence/{setting}/{variant}.csv",
        trajectory="results/equivalence/{setting}/{variant}.safetensors",
    log:
        "results/logs/equivalence/{setting}/{variant}.log",
    benchmark:
        "results/benchmarks/equivalence/{setting}/{variant}.tsv"
    conda:
        "../envs/python.yaml"
    threads: 1
    resources:
        **needs("equivalence", jobs.equivalence),
    params:
        config=config_of(jobs.equivalence),
    shell:
        "python -m icl_contrastive.steps.equivalence"
        " --config {params.config:q} --code {input.code:q} {input.own:q}"
        " --data {input.data:q} --pretrained {input.pretrained:q}"
        " --table {output.table:q} --trajectory {output.trajectory:q} 2> {log:q}"


rule trajectory:
    input:
        code=code("steps.trajectory"),
        trajectory="results/equivalence/{setting}/{variant}.safetensors",
    output:
        "results/tables/trajectories/{setting}/{variant}.csv",
    log:
        "results/logs/trajectories/{setting}/{variant}.log",
    benchmark:
        "results/benchmarks/trajectories/{setting}/{variant}.tsv"
    localrule: True
    conda:
        "../envs/python.yaml"
    threads: 1
    resources:
        **needs("trajectory", jobs.equivalence),
    params:
        config=config_of(jobs.trajectory),
    shell:
        "python -m icl_contrastive.steps.trajectory"
        " --config {params.config:q} --trajectory {input.trajectory:q} --table {output:q}"
        " --code {input.code:q} 2> {log:q}"
