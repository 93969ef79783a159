"""The claims in every universe of open decisions (target: multiverse); workflow/docs/multiverse.md.

In: the section multiverse of the config; workflow/claims.yaml. Out: results/multiverse/, of each universe
its trainings, one job, and its verdicts, and of the best ones the same on fresh runs;
results/tables/universes.csv and multiverse*.csv; results/figures/multiverse*. No part of the whole.
"""

if universes:

    # With fresh/ on runs that no universe was chosen by.
    rule train_universe:
        input:
            code=code("steps.universe"),
            own=universe_code,
        output:
            "results/multiverse/{fresh}{universe}.safetensors",
        log:
            "results/logs/multiverse/{fresh}{universe}_train.log",
        benchmark:
            "results/benchmarks/multiverse/{fresh}{universe}_train.tsv"
        conda:
            "../envs/python.yaml"
        threads: 1
        resources:
            **needs("universe", jobs.universe),
        params:
            config=config_of(jobs.universe),
            device=lambda wildcards, input: experiment.config["execution"]["device"],
        shell:
            "python -m icl_contrastive.steps.universe"
            " --config {params.config:q} --code {input.code:q} {input.own:q}"
            " --device {params.device} --output {output:q} 2> {log:q}"

    rule judge_universe:
        input:
            code=code("steps.universe_claims"),
            own=universe_code,
            trained="results/multiverse/{fresh}{universe}.safetensors",
            claims=[project_file("workflow/claims.yaml")],
        output:
            "results/multiverse/{fresh}{universe}.csv",
        log:
            "results/logs/multiverse/{fresh}{universe}.log",
        benchmark:
            "results/benchmarks/multiverse/{fresh}{universe}.tsv"
        conda:
            "../envs/python.yaml"
        threads: 1
        resources:
            **needs("universe_claims", jobs.universe_claims),
        params:
            config=config_of(jobs.universe_claims),
        shell:
            "python -m icl_contrastive.steps.universe_claims"
            " --config {params.config:q} --trained {input.trained:q} --claims {input.claims:q}"
            " --output {output:q} --code {input.code:q} {input.own:q} {input.claims:q} 2> {log:q}"

    rule all_verdicts:
        input:
            code=code("steps.concatenate"),
            tables=expand("results/multiverse/{universe}.csv", universe=universes),
        output:
            "results/multiverse/verdicts/all.csv",
        log:
            "results/logs/multiverse/verdicts.log",
        benchmark:
            "results/benchmarks/multiverse/verdicts.tsv"
        localrule: True
        conda:
            "../envs/python.yaml"
        threads: 1
        resources:
            **multiverse_needs,
        shell:
            "python -m icl_contrastive.steps.concatenate"
            " @<(printf '%s\\n' --tables {input.tables:q})"
            " --output {output:q} --code {input.code:q} 2> {log:q}"

    checkpoint best_universes:
        input:
            code=code("steps.multiverse_best"),
            judged="results/multiverse/verdicts/all.csv",
        output:
            "results/multiverse/verdicts/best.csv",
        log:
            "results/logs/multiverse/best.log",
        benchmark:
            "results/benchmarks/multiverse/best.tsv"
        localrule: True
        conda:
            "../envs/python.yaml"
        threads: 1
        resources:
            **multiverse_needs,
        params:
            config=config_of(jobs.multiverse),
        shell:
            "python -m icl_contrastive.steps.multiverse_best"
            " @<(printf '%s\\n' --config {params.config:q})"
            " --judged {input.judged:q} --output {output:q} --code {input.code:q} 2> {log:q}"

    use rule all_verdicts as fresh_verdicts with:
        input:
            code=code("steps.concatenate"),
            tables=lambda wildcards: expand(
                "results/multiverse/fresh/{universe}.csv", universe=best_universes()
            ),
        output:
            "results/multiverse/verdicts/fresh.csv",
        log:
            "results/logs/multiverse/fresh.log",
        benchmark:
            "results/benchmarks/multiverse/fresh.tsv"
        localrule: True

    rule multiverse_joint:
        input:
            code=code("steps.multiverse_joint"),
            judged=expand(
                "results/multiverse/verdicts/{part}.csv",
                part=(
                    ["all", "best", "fresh"]
                    if experiment.config["multiverse"]["confirmed"]
                    else ["all"]
                ),
            ),
        output:
            "results/tables/multiverse_joint.csv",
        log:
            "results/logs/tables/multiverse_joint.log",
        benchmark:
            "results/benchmarks/tables/multiverse_joint.tsv"
        localrule: True
        conda:
            "../envs/python.yaml"
        threads: 1
        resources:
            **multiverse_needs,
        params:
            config=config_of(jobs.multiverse),
        shell:
            "python -m icl_contrastive.steps.multiverse_joint"
            " @<(printf '%s\\n' --config {params.config:q})"
            " --judged {input.judged:q} --output {output:q} --code {input.code:q} 2> {log:q}"

    rule multiverse_tables:
        input:
            code=code("steps.multiverse"),
            judged="results/multiverse/verdicts/all.csv",
            claims=[project_file("workflow/claims.yaml")],
        output:
            universes="results/tables/universes.csv",
            multiverse="results/tables/multiverse.csv",
            tests="results/tables/multiverse_tests.csv",
            decisions="results/tables/multiverse_decisions.csv",
            flips="results/tables/multiverse_flips.csv",
        log:
            "results/logs/tables/multiverse.log",
        benchmark:
            "results/benchmarks/tables/multiverse.tsv"
        localrule: True
        conda:
            "../envs/python.yaml"
        threads: 1
        resources:
            **multiverse_needs,
        params:
            config=config_of(jobs.multiverse),
        shell:
            "python -m icl_contrastive.steps.multiverse"
            " @<(printf '%s\\n' --config {params.config:q})"
            " --judged {input.judged:q} --claims {input.claims:q} --universes {output.universes:q}"
            " --multiverse {output.multiverse:q} --multiverse_tests {output.tests:q}"
            " --multiverse_decisions {output.decisions:q} --multiverse_flips {output.flips:q}"
            " --code {input.code:q} {input.claims:q} 2> {log:q}"
