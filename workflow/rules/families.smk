"""Other random-feature families in the trained ones' place (section 5.2; the paper's outlook).

In: results/data/<setting>.safetensors, results/pretrained/<setting>/<variant>.safetensors.
Out: results/families/<setting>.csv, the errors by number of features, and _closed_forms.csv, what
they should be; all settings together in results/tables/families.csv and family_closed_forms.csv;
results/tables/family_requirements.csv, the d_r that each family needs for the error of the trained
layers' features, and family_training.csv, what training with other features comes to. How long
draws and estimates take is in results/benchmarks/families/<setting>_times.csv.
"""

if experiment.family_settings:

    rule family_sweep:
        input:
            code=code("steps.families"),
            own=own_code(*(one["family"] for one in experiment.compared_families)),
            data="results/data/{setting}.safetensors",
            pretrained=f"results/pretrained/{{setting}}/{experiment.approximation_variant}.safetensors",
        output:
            errors="results/families/{setting}.csv",
            closed_forms="results/families/{setting}_closed_forms.csv",
            times="results/benchmarks/families/{setting}_times.csv",
        log:
            "results/logs/families/{setting}.log",
        benchmark:
            "results/benchmarks/families/{setting}.tsv"
        conda:
            "../envs/python.yaml"
        threads: 1
        resources:
            **needs("families", jobs.families),
        params:
            config=config_of(jobs.families),
        shell:
            "python -m icl_contrastive.steps.families"
            " --config {params.config:q} --data {input.data:q} --pretrained {input.pretrained:q}"
            " --errors {output.errors:q} --closed-forms {output.closed_forms:q}"
            " --times {output.times:q} --code {input.code:q} {input.own:q} 2> {log:q}"

    rule family_requirements:
        input:
            code=code("steps.family_requirements"),
            own=own_code(*(one["family"] for one in experiment.compared_families)),
            families="results/tables/families.csv",
        output:
            "results/tables/family_requirements.csv",
        log:
            "results/logs/tables/family_requirements.log",
        benchmark:
            "results/benchmarks/tables/family_requirements.tsv"
        localrule: True
        conda:
            "../envs/python.yaml"
        threads: 1
        resources:
            **table_needs,
        params:
            config=config_of(jobs.family_requirements),
        shell:
            "python -m icl_contrastive.steps.family_requirements"
            " --config {params.config:q} --families {input.families:q} --output {output:q}"
            " --code {input.code:q} {input.own:q} 2> {log:q}"


if experiment.trained_family_cells:

    rule family_training:
        input:
            code=code("steps.family_training"),
            pretrained=expand(
                "results/pretrained/{cell}.safetensors", cell=experiment.trained_family_cells
            ),
        output:
            "results/tables/family_training.csv",
        log:
            "results/logs/tables/family_training.log",
        benchmark:
            "results/benchmarks/tables/family_training.tsv"
        localrule: True
        conda:
            "../envs/python.yaml"
        threads: 1
        resources:
            **table_needs,
        params:
            order=experiment.trained_family_cells,
        shell:
            "python -m icl_contrastive.steps.family_training"
            " --pretrained {input.pretrained:q} --output {output:q} --code {input.code:q} 2> {log:q}"
