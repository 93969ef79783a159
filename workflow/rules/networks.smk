"""Attention heads of pretrained networks, and of a layer of the user's own (target: networks).

In: networks as the config names them, and what they read; packages are in .networks, where `make
networks` puts them. Out: results/networks/<network>.safetensors, queries, keys and values, and .csv;
results/tables/heads.csv; results/figures/heads and heads_share. No part of the whole.
"""

if experiment.networks:

    rule record_network:
        input:
            code=code("steps.record_network"),
            inputs=lambda wildcards: network_inputs(wildcards.network),
            weights=lambda wildcards: network_weights(wildcards.network),
        output:
            "results/networks/{network}.safetensors",
        log:
            "results/logs/networks/{network}_record.log",
        benchmark:
            "results/benchmarks/networks/{network}_record.tsv"
        conda:
            "../envs/networks.yaml"
        threads: 1
        resources:
            **needs("network", jobs.network),
        params:
            packages=packages,
            config=config_of(jobs.network),
        shell:
            "{params.packages} python -m icl_contrastive.steps.record_network"
            " --config {params.config:q} --inputs {input.inputs:q} --output {output:q}"
            " --code {input.code:q} 2>&1 | tee {log:q}"

    rule measure_heads:
        input:
            code=code("steps.heads"),
            layers="results/networks/{network}.safetensors",
        output:
            "results/networks/{network}.csv",
        log:
            "results/logs/networks/{network}.log",
        benchmark:
            "results/benchmarks/networks/{network}.tsv"
        conda:
            "../envs/python.yaml"
        threads: 1
        resources:
            **needs("heads", jobs.heads),
        params:
            config=config_of(jobs.heads),
        shell:
            "python -m icl_contrastive.steps.heads --config {params.config:q}"
            " --layers {input.layers:q} --output {output:q} --code {input.code:q} 2>&1 | tee {log:q}"
