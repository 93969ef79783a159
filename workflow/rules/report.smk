"""The report page: verdicts, figures, contradictions and provenance in one HTML file.

In: all artifacts, the list of claims, captions and contradictions, and what the full run was about. Out: results/report.html. It says when, where and
from which commit it was made, so it is no part of `all`, whose artifacts are the same in every run.
"""

# Once made, what is no part of the whole is on the page, and kept up to date for it.
made_apart = [
    path
    for tables, figures in apart.values()
    if all(os.path.exists(f"results/figures/{one}.png") for one in figures)
    for path in [
        *expand("results/tables/{table}.csv", table=tables),
        *expand("results/figures/{figure}.{format}", figure=figures, format=["pdf", "png"]),
    ]
]


rule report_page:
    input:
        code=code("steps.report"),
        page=project_files("src/icl_contrastive/report/page/*"),
        texts=project_files("workflow/report/*.rst"),
        contradictions=project_file("workflow/report/contradictions.yaml"),
        claims=project_file("workflow/claims.yaml"),
        reference=project_file("workflow/report/reference.json"),
        artifacts=[*artifacts, *made_apart],
    output:
        "results/report.html",
    log:
        "results/logs/report.log",
    benchmark:
        "results/benchmarks/report.tsv"
    localrule: True
    conda:
        "../envs/python.yaml"
    threads: 1
    resources:
        **table_needs,
    params:
        config=json.dumps(experiment.config),  # figures keep their order
        texts=lambda wildcards, input: os.path.dirname(input.contradictions),
    shell:
        "python -m icl_contrastive.steps.report"
        " @<(printf '%s\\n' --config {params.config:q})"
        " --claims {input.claims:q} --reference {input.reference:q} --texts {params.texts:q}"
        " --artifacts {input.artifacts:q} --output {output:q} 2> {log:q}"
