"""Pretraining of a variant in a setting, all runs in one job (A.3).

In: results/data/<setting>.safetensors. Out: results/pretrained/<setting>/<variant>.safetensors, the
weights, features and learning curves, first axis: run. Its progress is shown as it goes.
"""


rule pretrain:
    input:
        code=code("steps.pretrain"),
        own=lambda wildcards: own_code_of(wildcards.variant),
        inputs=["results/data/{setting}.safetensors"],
    output:
        "results/pretrained/{setting}/{variant}.safetensors",
    log:
        "results/logs/pretrained/{setting}/{variant}.log",
    benchmark:
        "results/benchmarks/pretrained/{setting}/{variant}.tsv"
    priority: lambda wildcards: urgency(experiment, *wildcards)
    conda:
        "../envs/python.yaml"
    threads: 1
    resources:
        **needs("pretrain", jobs.pretrain),
    params:
        config=config_of(jobs.pretrain),
        # A function of the input is not compared with the last run: another device changes rounding.
        device=lambda wildcards, input: experiment.config["execution"]["device"],
    shell:
        "python -m icl_contrastive.steps.pretrain"
        " --config {params.config:q} --code {input.code:q} {input.own:q} --device {params.device}"
        " --inputs {input.inputs:q} --output {output:q} 2>&1 | tee {log:q}"
