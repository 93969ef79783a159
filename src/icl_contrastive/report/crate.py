"""A finished run as a Provenance Run Crate: sources, artifacts, and which job made what from what.

    python -m icl_contrastive.report.crate     results/crate.zip (make crate; the extra `crate`)

An RO-Crate is a folder, or a ZIP file, with its description in ``ro-crate-metadata.json``. Files
keep their places in it, so that any figure can be drawn again in the unpacked crate. The format:
https://w3id.org/ro/wfrun/provenance/0.5.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rocrate.model import ContextEntity
from rocrate.rocrate import ROCrate

from icl_contrastive.report.jobs import Job, recorded_jobs

CRATE = Path("results/crate.zip")
MANIFEST = Path("results/manifest.json")
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
SOURCES = (
    *("config.yaml", "Makefile", "pyproject.toml", "requirements.lock", "torch.lock"),
    *("README.md", "LICENSE", "CITATION.cff", "workflow/**/*", "src/**/*"),
)
MEDIA = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".py": "text/x-python",
    ".safetensors": "application/octet-stream",
    ".yaml": "application/yaml",
}

Files = dict[str, Any]
"""What the crate says of each file, by its path."""


def build(manifest: Mapping[str, Any], jobs: Sequence[Job]) -> ROCrate:
    """The crate of the run in the working directory.

    Args:
        manifest: of the run, with size and checksum of every artifact.
        jobs: what has made the artifacts.
    """
    crate = ROCrate(version="1.1")
    crate.name = "In-context learning as contrastive gradient descent: a run"
    crate.description = "Every figure and table of Ren & Liu (2023), with what made them."
    root = crate.root_dataset
    root["license"] = _entity(
        crate, "https://spdx.org/licenses/MIT", "CreativeWork", name="MIT License"
    )
    root["author"] = _entity(crate, "#authors", "Organization", name="the icl-contrastive authors")
    root["conformsTo"] = [
        _entity(crate, profile, "CreativeWork", name=name, version=profile.rpartition("/")[2])
        for profile, name in PROFILES.items()
    ]
    crate.metadata.extra_terms["sha256"] = "https://w3id.org/ro/terms/workflow-run#sha256"
    jobs = [job for job in jobs if _program(job)]
    files = _add_files(crate, manifest, jobs)
    controls, actions = _add_jobs(crate, files, jobs)
    run = _entity(
        crate,
        "#run",
        "CreateAction",
        name="snakemake",
        description="All jobs, as Snakemake ran them",
        instrument=files["Snakefile"],
        object=files["config.yaml"],
        result=[files[f"results/{name}"] for name in manifest],
        startTime=min(action["startTime"] for action in actions),
        endTime=max(action["endTime"] for action in actions),
    )
    engine = _entity(
        crate,
        "#snakemake",
        "SoftwareApplication",
        name="Snakemake",
        url="https://snakemake.github.io",
        softwareVersion=version("snakemake"),
    )
    _entity(
        crate,
        "#engine",
        "OrganizeAction",
        name="Snakemake runs the workflow",
        instrument=engine,
        object=controls,
        result=run,
    )
    root["mentions"] = [run, *actions]
    return crate


def _add_files(crate: ROCrate, manifest: Mapping[str, Any], jobs: Sequence[Job]) -> Files:
    """Sources, artifacts, logs, and whatever else the jobs read and wrote, such as timings."""
    name = "Every figure and table, from config.yaml"
    kinds = ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]
    workflow = {"@type": kinds, "name": name}
    files: Files = {
        "Snakefile": crate.add_workflow(
            "Snakefile", "Snakefile", main=True, lang="snakemake", properties=workflow
        )
    }
    found = {path for pattern in SOURCES for path in Path().glob(pattern) if path.is_file()}
    paths = {path.as_posix() for path in found if "__pycache__" not in path.parts}
    paths |= {MANIFEST.as_posix(), *(f"results/{name}" for name in manifest)}
    for job in jobs:
        paths |= {*job.inputs, *job.outputs, job.log.as_posix(), job.benchmark.as_posix()}
    programs = {_program(job) for job in jobs}
    for path in sorted(paths):
        properties: dict[str, Any] = {"encodingFormat": MEDIA.get(Path(path).suffix, "text/plain")}
        if entry := manifest.get(path.removeprefix("results/")):
            properties |= {"contentSize": str(entry["bytes"]), "sha256": entry["sha256"]}
        if path in programs:
            properties |= {"@type": ["File", "SoftwareSourceCode"], "name": path}
        files[path] = crate.add_file(path, path, properties=properties)
    files["Snakefile"]["hasPart"] = [files[path] for path in sorted(programs)]
    return files


def _add_jobs(
    crate: ROCrate, files: Files, jobs: Sequence[Job]
) -> tuple[list[ContextEntity], list[ContextEntity]]:
    """Each job twice, as the format has it: that it was started, and what it did."""
    steps: dict[str, ContextEntity] = {}
    controls, actions = [], []
    for job in jobs:
        tool = files[_program(job)]
        if job.rule not in steps:
            steps[job.rule] = _entity(
                crate,
                f"#step-{job.rule}",
                "HowToStep",
                name=job.rule,
                position=str(len(steps)),
                workExample=tool,
            )
        name = job.log.relative_to("results/logs").with_suffix("").as_posix()
        end = datetime.fromtimestamp(max(Path(path).stat().st_mtime for path in job.outputs), UTC)
        start = end - timedelta(seconds=job.seconds)
        action = _entity(
            crate,
            f"#job-{name}",
            "CreateAction",
            name=name,
            description=job.command,
            instrument=tool,
            object=[files[path] for path in job.inputs],
            result=[files[path] for path in job.outputs],
            startTime=start.isoformat(timespec="seconds"),
            endTime=end.isoformat(timespec="seconds"),
        )
        control = _entity(
            crate,
            f"#control-{name}",
            "ControlAction",
            name=f"orchestrates {name}",
            instrument=steps[job.rule],
            object=action,
        )
        controls.append(control)
        actions.append(action)
    files["Snakefile"]["step"] = list(steps.values())
    return controls, actions


def _program(job: Job) -> str:
    """The step or figure that a job runs, as a file; empty for a rule that is Python."""
    found = re.search(r"\bpython -m icl_contrastive\.(\w+)[. ](\w+)", job.command)
    return f"src/icl_contrastive/{found[1]}/{found[2]}.py" if found else ""


def _entity(crate: ROCrate, identifier: str, kind: str, **properties: Any) -> ContextEntity:
    """Add something that is no file; other entities as properties become references to them."""
    entity = crate.add(ContextEntity(crate, identifier, {"@type": kind}))
    for name, value in properties.items():
        entity[name] = value[0] if isinstance(value, list) and len(value) == 1 else value
    return entity


def main() -> None:
    """Write the crate of the run in ``results``."""
    try:
        manifest = json.loads(MANIFEST.read_text("utf-8"))
        jobs = recorded_jobs("all")
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}\nA crate is made from a finished run: `make figures` first.")
    build(manifest, jobs).write_zip(CRATE)


if __name__ == "__main__":
    main()
