"""The tables of one universe, made by the ordinary steps from what the step ``universe`` wrote."""

import argparse
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from icl_contrastive.artifacts.files import load_table, load_tensors, save_tensors
from icl_contrastive.steps import controls
from icl_contrastive.steps.attention_errors import measure
from icl_contrastive.steps.collect_pretraining import tidy_curves
from icl_contrastive.steps.pretrain import CHECKPOINT
from icl_contrastive.steps.readings import read_both
from icl_contrastive.steps.universe import CURVES, data_path, write_data

Job = Mapping[str, Any]


class Universe:
    """What was trained in a universe, with its prompts.

    Args:
        path: what the step ``universe`` wrote.
        folder: for the files of the ordinary steps that are run on it.

    Attributes:
        failed: why a training did not end with numbers, by setting and variant.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self._tensors, made_by = load_tensors(path)
        self._cells = {(job["setting"], job["variant"]): job for job in made_by["cells"]}
        self.failed = {tuple(cell.split("/")): why for cell, why in made_by["failed"].items()}
        self._folder = folder
        write_data(made_by["data"], folder)

    def curves(self, epochs: Mapping[str, int]) -> pd.DataFrame:
        """As ``steps.collect_pretraining`` has them, to an epoch that depends on the setting."""
        tables = [pd.DataFrame(columns=["setting", "variant", "run", "epoch", *CURVES])]
        for setting, variant in (cell for cell in self._cells if cell not in self.failed):
            curves = {name: self._tensors[f"{setting}/{variant}/{name}"] for name in CURVES}
            errors = {name: curve[:, : epochs[setting]] for name, curve in curves.items()}
            tables.append(tidy_curves(setting, variant, errors))
        return pd.concat(tables[1:] or tables)

    def controls(self, job: Job, epoch: int) -> dict[str, pd.DataFrame]:
        """The two tables that ``steps.controls`` writes.

        Raises ArithmeticError for a layer whose predictions are no numbers.
        """
        setting = job["setting"]
        exact = [
            name
            for (where, name), cell in self._cells.items()
            if where == setting and cell["model"].get("attention") == "exact"
            if cell["checkpoints"] and (where, name) not in self.failed
        ]
        written = {name: self._folder / f"{name}.csv" for name in ("controls", "solutions")}
        arguments = argparse.Namespace(
            data=data_path(self._folder, setting),
            pretrained=[self._layer(setting, name, epoch) for name in (job["variant"], *exact)],
            code=[],
            **written,
        )
        controls.main(arguments, dict(job))
        return {name: load_table(path) for name, path in written.items()}

    def attention_errors(self, job: Job, epoch: int) -> dict[Hashable, dict[str, pd.DataFrame]]:
        """The two tables that ``steps.attention_errors`` writes, for each ``Reading``."""
        path = self._layer(job["setting"], job["variant"], epoch)
        found = measure(job, data_path(self._folder, job["setting"]), path, read_both)
        names = "attention_errors", "attention_bias"
        return {reading: dict(zip(names, two, strict=True)) for reading, two in found.items()}

    def _layer(self, setting: str, variant: str, epoch: int) -> Path:
        """A file such as ``steps.pretrain`` writes after so many epochs."""
        job, prefix = self._cells[setting, variant], f"{setting}/{variant}/"
        ended = {
            name.removeprefix(prefix): array
            for name, array in self._tensors.items()
            if name.startswith(prefix)
        }
        index = job["checkpoints"].index(epoch)
        then = {
            name: ended[CHECKPOINT + name][:, index] if CHECKPOINT + name in ended else array
            for name, array in ended.items()
            if not name.startswith(CHECKPOINT) and name not in CURVES
        }
        path = self._folder / f"layer_{setting}_{variant}_{epoch}.safetensors"
        save_tensors(path, then, job | {"epochs": epoch})
        return path
