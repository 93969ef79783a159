"""What each decision does that the paper leaves open: one changed at a time (target: ablations).

In: results/data/<setting>.safetensors, results/pretrained/<setting>/<variant>.safetensors.
Out: results/ablations/, the trainings and a table of each; results/tables/ablations.csv;
results/figures/ablations.pdf and .png. No part of the whole.
"""

if ablations:

    use rule data as draw_more_runs with:
        input:
            code=code("steps.data"),
        output:
            "results/ablations/data/{runs}_runs.safetensors",
        log:
            "results/logs/ablations/data/{runs}_runs.log",
        benchmark:
            "results/benchmarks/ablations/data/{runs}_runs.tsv"
        wildcard_constraints:
            runs=r"\d+",
        localrule: True
        resources:
            **needs("data", jobs.ablation_data),
        params:
            config=config_of(jobs.ablation_data),

    use rule pretrain as pretrain_ablation with:
        input:
            code=code("steps.pretrain"),
            own=own_code_of(experiment.config["ablations"]["variant"]),
            inputs=lambda wildcards: [ablation_paths(experiment, wildcards.ablation)[0]],
        output:
            "results/ablations/{ablation}.safetensors",
        log:
            "results/logs/ablations/{ablation}_pretrain.log",
        benchmark:
            "results/benchmarks/ablations/{ablation}_pretrain.tsv"
        priority: 1
        resources:
            **needs("pretrain", jobs.ablation_training),
        params:
            config=config_of(jobs.ablation_training),

    rule diagnose_ablation:
        input:
            code=code("steps.ablation"),
            own=own_code_of(experiment.config["ablations"]["variant"]),
            data=lambda wildcards: ablation_paths(experiment, wildcards.ablation)[0],
            pretrained=lambda wildcards: ablation_paths(experiment, wildcards.ablation)[1],
        output:
            "results/ablations/{ablation}.csv",
        log:
            "results/logs/ablations/{ablation}.log",
        benchmark:
            "results/benchmarks/ablations/{ablation}.tsv"
        conda:
            "../envs/python.yaml"
        threads: 1
        resources:
            **needs("ablation", jobs.ablation),
        params:
            config=config_of(jobs.ablation),
        shell:
            "python -m icl_contrastive.steps.ablation"
            " --config {params.config:q} --data {input.data:q} --pretrained {input.pretrained:q}"
            " --output {output:q} --code {input.code:q} {input.own:q} 2> {log:q}"
