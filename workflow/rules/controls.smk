"""The trained layer beside its controls: is it in-context learning at all?

In: results/data/<setting>.safetensors, results/pretrained/<setting>/<variant>.safetensors.
Out: results/controls/<setting>.csv, the predictions, and _solutions.csv, which kind of solution each
run's layer is; all settings together in results/tables/controls.csv and solutions.csv.
"""

if experiment.control_settings:

    rule compare_controls:
        input:
            code=code("steps.controls"),
            own=own_code_of(experiment.config["controls"]["variant"]),
            data="results/data/{setting}.safetensors",
            pretrained=lambda wildcards: expand(
                "results/pretrained/{cell}.safetensors",
                cell=experiment.control_cells(wildcards.setting),
            ),
        output:
            controls="results/controls/{setting}.csv",
            solutions="results/controls/{setting}_solutions.csv",
        log:
            "results/logs/controls/{setting}.log",
        benchmark:
            "results/benchmarks/controls/{setting}.tsv"
        conda:
            "../envs/python.yaml"
        threads: 1
        resources:
            **needs("controls", jobs.controls),
        params:
            config=config_of(jobs.controls),
        shell:
            "python -m icl_contrastive.steps.controls"
            " --config {params.config:q} --data {input.data:q} --pretrained {input.pretrained:q}"
            " --controls {output.controls:q} --solutions {output.solutions:q}"
            " --code {input.code:q} {input.own:q} 2> {log:q}"
