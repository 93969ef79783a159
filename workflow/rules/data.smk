"""Tasks and prompts of a setting (section 5.1, A.3).

In: nothing. Out: results/data/<setting>.safetensors, the prompts of all runs, training and test.
"""


rule data:
    input:
        code=code("steps.data"),
    output:
        "results/data/{setting}.safetensors",
    log:
        "results/logs/data/{setting}.log",
    benchmark:
        "results/benchmarks/data/{setting}.tsv"
    localrule: True
    conda:
        "../envs/python.yaml"
    threads: 1
    resources:
        **needs("data", jobs.data),
    params:
        config=config_of(jobs.data),
    shell:
        "python -m icl_contrastive.steps.data"
        " --config {params.config:q} --code {input.code:q} --output {output:q} 2> {log:q}"
