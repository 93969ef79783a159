"""The estimated attention beside the exact softmax, with pretrained weights (section 5.2, A.3, A.4).

In: results/data/<setting>.safetensors, results/pretrained/<setting>/<variant>.safetensors.
Out: results/approximation/<setting>.csv, the errors by number of features for one prompt, and
_matrices.csv, some of the matrices themselves; results/attention_errors/<setting>.csv, the errors in all
runs, on several prompts, and _bias.csv, their bias and variance; results/tables/diagram.csv, every
matrix of one prompt's equivalence.
"""

if experiment.approximation_settings:

    rule approximation:
        input:
            code=code("steps.approximation"),
            data="results/data/{setting}.safetensors",
            pretrained=f"results/pretrained/{{setting}}/{experiment.approximation_variant}.safetensors",
        output:
            errors="results/approximation/{setting}.csv",
            matrices="results/approximation/{setting}_matrices.csv",
        log:
            "results/logs/approximation/{setting}.log",
        benchmark:
            "results/benchmarks/approximation/{setting}.tsv"
        conda:
            "../envs/python.yaml"
        threads: 1
        resources:
            **needs("approximation", jobs.approximation),
        params:
            config=config_of(jobs.approximation),
        shell:
            "python -m icl_contrastive.steps.approximation"
            " --config {params.config:q} --data {input.data:q} --pretrained {input.pretrained:q}"
            " --errors {output.errors:q} --matrices {output.matrices:q}"
            " --code {input.code:q} 2> {log:q}"

    rule attention_errors:
        input:
            code=code("steps.attention_errors"),
            data="results/data/{setting}.safetensors",
            pretrained=f"results/pretrained/{{setting}}/{experiment.approximation_variant}.safetensors",
        output:
            errors="results/attention_errors/{setting}.csv",
            bias="results/attention_errors/{setting}_bias.csv",
        log:
            "results/logs/attention_errors/{setting}.log",
        benchmark:
            "results/benchmarks/attention_errors/{setting}.tsv"
        conda:
            "../envs/python.yaml"
        threads: 1
        resources:
            **needs("attention_errors", jobs.attention_errors),
        params:
            config=config_of(jobs.attention_errors),
        shell:
            "python -m icl_contrastive.steps.attention_errors"
            " --config {params.config:q} --data {input.data:q} --pretrained {input.pretrained:q}"
            " --errors {output.errors:q} --bias {output.bias:q}"
            " --code {input.code:q} 2> {log:q}"


if experiment.diagram_cell:

    rule diagram:
        input:
            code=code("steps.diagram"),
            own=own_code_of(experiment.diagram_cell.variant),
            data=f"results/data/{experiment.diagram_cell.setting}.safetensors",
            pretrained=f"results/pretrained/{experiment.diagram_cell}.safetensors",
        output:
            "results/tables/diagram.csv",
        log:
            "results/logs/diagram.log",
        benchmark:
            "results/benchmarks/diagram.tsv"
        conda:
            "../envs/python.yaml"
        threads: 1
        resources:
            **needs("diagram", jobs.diagram),
        params:
            config=config_of(jobs.diagram),
        shell:
            "python -m icl_contrastive.steps.diagram"
            " --config {params.config:q} --data {input.data:q} --pretrained {input.pretrained:q}"
            " --output {output:q} --code {input.code:q} {input.own:q} 2> {log:q}"
