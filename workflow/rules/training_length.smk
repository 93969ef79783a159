"""What longer training does: the pretrained variant goes on, and its checkpoints are looked at.

In: results/data/<setting>.safetensors, results/pretrained/<setting>/<variant>.safetensors.
Out: results/training_length/<setting>.safetensors, the long run; <setting>.csv, a look at its
checkpoints; all settings together in results/tables/training_length.csv.
"""

if experiment.long_settings:

    use rule pretrain as pretrain_longer with:
        input:
            code=code("steps.pretrain"),
            own=own_code_of(experiment.config["training_length"]["variant"]),
            inputs=[
                "results/data/{setting}.safetensors",
                f"results/pretrained/{{setting}}/{experiment.config['training_length']['variant']}"
                ".safetensors",
            ],
        output:
            "results/training_length/{setting}.safetensors",
        log:
            "results/logs/training_length/{setting}_pretrain.log",
        benchmark:
            "results/benchmarks/training_length/{setting}_pretrain.tsv"
        priority: 1000
        resources:
            **needs("pretrain", jobs.long_training),
        params:
            config=config_of(jobs.long_training),

    rule diagnose_checkpoints:
        input:
            code=code("steps.training_length"),
            own=own_code_of(experiment.config["training_length"]["variant"]),
            data="results/data/{setting}.safetensors",
            pretrained="results/training_length/{setting}.safetensors",
        output:
            "results/training_length/{setting}.csv",
        log:
            "results/logs/training_length/{setting}.log",
        benchmark:
            "results/benchmarks/training_length/{setting}.tsv"
        conda:
            "../envs/python.yaml"
        threads: 1
        resources:
            **needs("training_length", jobs.training_length),
        params:
            config=config_of(jobs.training_length),
        shell:
            "python -m icl_contrastive.steps.training_length"
            " --config {params.config:q} --data {input.data:q} --pretrained {input.pretrained:q}"
            " --output {output:q} --code {input.code:q} {input.own:q} 2> {log:q}"
