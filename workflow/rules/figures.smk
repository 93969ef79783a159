"""The figures, one rule each, named as its target: snakemake --cores 8 figure_5.

In: tables in results/tables/, no tensors. Out: results/figures/<figure>.pdf and .png.
"""

for figure in experiment.figures:

    rule:
        name:
            figure
        input:
            **figure_tables(figure),
            code=figure_code(figure),
        output:
            pdf=f"results/figures/{figure}.pdf",
            png=report(
                f"results/figures/{figure}.png",
                caption=f"../report/{figure}.rst",
                category=f"Figures {'of' if figure.startswith('figure_') else 'beyond'} the paper",
                labels={"figure": figure.replace("_", " ").capitalize()},
            ),
        log:
            f"results/logs/figures/{figure}.log",
        benchmark:
            f"results/benchmarks/figures/{figure}.tsv"
        localrule: True
        conda:
            "../envs/python.yaml"
        threads: 1
        resources:
            **table_needs,
        params:
            module=f"icl_contrastive.figures.{figure}",
            config=jobs.as_json(jobs.figure(experiment, figure)),
            tables=table_options(figure),
            numbers=caption_numbers(figure),
        shell:
            "python -m {params.module} @<(printf '%s\\n' --config {params.config:q}) {params.tables}"
            " --code {input.code:q} --output {output:q} 2> {log:q}"
