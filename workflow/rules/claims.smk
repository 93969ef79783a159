"""The scorecard: which of the paper's claims hold.

In: the tables in results/tables/; workflow/claims.yaml, which lists the claims and their criteria;
workflow/presets/<run>_claims.csv, the verdicts of other runs (make confirm, make scaled).
Out: results/tables/claims.csv, a row with a verdict for each claim, and effects.csv, the number of every
run that they rest on.
"""


rule claims:
    input:
        code=code("steps.claims"),
        claims=[project_file("workflow/claims.yaml")],
        others=project_files("workflow/presets/*_claims.csv"),
        tables=expand("results/tables/{table}.csv", table=experiment.claim_tables),
    output:
        effects="results/tables/effects.csv",
        scorecard=report(
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
        " --claims {input.claims:q} --others {input.others:q} --tables {input.tables:q}"
        " --output {output.scorecard:q} --effects {output.effects:q}"
        " --code {input.code:q} {input.claims:q} {input.others:q} 2> {log:q}"
