"""All trainings of one universe: the cells that the claims need, under its decisions."""

import argparse
import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from icl_contrastive.artifacts.files import load_tensors, save_tensors
from icl_contrastive.artifacts.origin import origin
from icl_contrastive.command import StepError, run_step
from icl_contrastive.steps import data, pretrain
from icl_contrastive.training import TrainingDivergedError

log = logging.getLogger(__name__)

CURVES = ("train_mse", "test_mse")


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write each cell's curves, (run, epoch), under ``<setting>/<variant>/``.

    And all that pretraining ends with where it keeps checkpoints, which are read off later. A
    training that diverges is a result: the config in the file says so under ``failed``.
    """
    tensors: dict[str, Any] = {}
    failed: dict[str, str] = {}
    with TemporaryDirectory() as folder:
        write_data(config["data"], Path(folder))
        for job in config["cells"]:
            cell, output = f"{job['setting']}/{job['variant']}", Path(folder) / "cell.safetensors"
            inputs = [data_path(Path(folder), job["setting"])]
            options = {"inputs": inputs, "output": output, "device": arguments.device, "code": []}
            try:
                pretrain.main(argparse.Namespace(**options), job)
            except StepError as error:
                if not isinstance(error.__cause__, TrainingDivergedError):
                    raise
                failed[cell] = str(error.__cause__)
                log.info("%s failed: %s", cell, failed[cell])
                continue
            arrays, _ = load_tensors(output)
            kept = arrays if job["checkpoints"] else CURVES
            tensors |= {f"{cell}/{name}": arrays[name] for name in kept}
    save_tensors(arguments.output, tensors, config | {"failed": failed}, origin(arguments.code))


def write_data(jobs: list[dict[str, Any]], folder: Path) -> None:
    """The prompts of every setting, as the step ``data`` draws them."""
    for job in jobs:
        output = data_path(folder, job["setting"])
        data.main(argparse.Namespace(output=output, code=[]), job)


def data_path(folder: Path, setting: str) -> Path:
    """Where they are; no artifact has this name."""
    return folder / f"prompts_{setting}.safetensors"


if __name__ == "__main__":
    run_step(main, "output", options=("device",))
