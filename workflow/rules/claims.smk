"""The scorecard: which of the paper's claims hold.

In: the tables in results/tables/; workflow/claims.yaml, which lists the claims and their criteria;
workflow/presets/scaled_claims.csv, the verdicts of the run with the other normalization (make scaled).
Out: results/tables/claims.csv, a row with a verdict for each claim.
"""


rule claims:
    input:
        code=code("steps.claims"),
        claims=[project_file("workflow/claims.yaml")],
        scaled=[project_file("workflow/presets/scaled_claims.csv")],
        tables=expand("results/tables/{table}.csv", table=experiment.claim_tables),
    output:
        report(
            "results/tables/claims.csv",
            caption="../report/claims.rst",
            category="Verdicts",
            labels={"table": "Claims"},
        ),
    log:
        "results/logs/tables/claims.log",
    benchmark:
        "results/benchmarks/tables/claims.tsv"
    localrule: True
    conda:
        "../envs/python.yaml"
    threads: 1
    resources:
        **table_needs,
    params:
        config=config_of(jobs.claims),
    shell:
        "python -m icl_contrastive.steps.claims"
        " @<(printf '%s\\n' --config {params.config:q})"
        " --claims {input.claims:q} --scaled {input.scaled:q} --tables {input.tables:q} --output {output:q}"
        " --code {input.code:q} {input.claims:q} {input.scaled:q} 2> {log:q}"
