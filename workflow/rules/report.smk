"""The report page: verdicts, figures, contradictions and provenance in one HTML file.

In: all artifacts, the list of claims, captions and contradictions, and what the full run was about. Out: results/report.html. It says when, where and
from which commit it was made, so it is no part of `all`, whose artifacts are the same in every run.
"""

# Once made, the ablations and the heads of networks are on the page, and kept up to date for it.
made_apart = [
    f"results/{path}"
    for table, figures in {"ablations": ["ablations"], "heads": ["heads", "heads_share"]}.items()
    if parts[table] and all(os.path.exists(f"results/figures/{one}.png") for one in figures)
    for path in [
        f"tables/{table}.csv",
        *expand("figures/{one}.{kind}", one=figures, kind=["pdf", "png"]),
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
