"""The figures, one rule each, those of the config named as its target: snakemake --cores 8 figure_5.

In: tables in results/tables/, no tensors. Out: results/figures/<figure>.pdf and .png.
"""

# What is no part of the whole: the tables and the figures of a target of its own.
apart = {}
if ablations:
    apart["ablations"] = ["ablations"], ["ablations"]
if experiment.networks:
    apart["networks"] = ["heads"], ["heads", "heads_share"]
if universes:
    apart["multiverse"] = (
        [*MULTIVERSE_TABLES, "multiverse_joint"],
        ["multiverse", "multiverse_curves", "multiverse_decisions"],
    )

for figure in [*experiment.figures, *(one for _, figures in apart.values() for one in figures)]:
    figure_needs = multiverse_needs if figure.startswith("multiverse") else table_needs

    rule:
        name:
            f"draw_{figure}" if figure in apart else figure
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
            **figure_needs,
        params:
            figure=figure,
            config=jobs.as_json(jobs.figure(experiment, figure)),
            tables=table_options(figure),
            numbers=caption_numbers(figure),
        shell:
            "python -m icl_contrastive.figures {params.figure:q}"
            " @<(printf '%s\\n' --config {params.config:q}) {params.tables}"
            " --code {input.code:q} --output {output:q} 2> {log:q}"


for target, (tables, figures) in apart.items():

    rule:
        name:
            target
        input:
            expand("results/tables/{table}.csv", table=tables),
            expand("results/figures/{figure}.{format}", figure=figures, format=["pdf", "png"]),
        localrule: True
