"""What one universe says to the claims, for every choice of what is decided after training."""

import argparse
import json
import logging
from collections.abc import Mapping
from functools import cache, partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from icl_contrastive.analysis.estimates import BiasVariance, EntryErrors
from icl_contrastive.artifacts.files import load_table, load_tensors, save_table, save_tensors
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY
from icl_contrastive.claims import Claim
from icl_contrastive.command import run_step
from icl_contrastive.multiverse.judge import (
    OF_EVERY_PROMPT,
    UniverseEvidence,
    judge,
    judged,
    median_errors,
    median_predictions,
)
from icl_contrastive.multiverse.space import universe_name
from icl_contrastive.steps import controls
from icl_contrastive.steps.attention_errors import Reading, measure
from icl_contrastive.steps.claim_list import read_claim_list
from icl_contrastive.steps.collect_pretraining import tidy_curves
from icl_contrastive.steps.pretrain import CHECKPOINT
from icl_contrastive.steps.universe import CURVES, data_path, write_data

log = logging.getLogger(__name__)

Choices = Mapping[str, Any]
Job = Mapping[str, Any]

READINGS = [Reading(*both) for both in product(("normalized", "unnormalized"), ("all", "last"))]


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

    def attention_errors(self, job: Job, epoch: int) -> dict[Reading, dict[str, pd.DataFrame]]:
        """The two tables that ``steps.attention_errors`` writes, for each ``Reading``."""
        path = self._layer(job["setting"], job["variant"], epoch)
        found = measure(job, data_path(self._folder, job["setting"]), path, READINGS)
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


class Readings:
    """A universe's tables after so many epochs, however they are read."""

    def __init__(self, universe: Universe, config: Mapping[str, Any], epochs: Mapping[str, int]):
        self.failures = {("pretraining", *cell): why for cell, why in universe.failed.items()}
        self._config = config["claims"]
        self._curves = universe.curves(epochs)

        def of_settings(table: str) -> list[Any]:
            """What the table is made of; of a setting without, the reason is noted."""
            made = []
            for job in config[table]:
                setting = job["setting"]
                try:
                    if why := universe.failed.get((setting, job["variant"])):
                        raise ArithmeticError(why)
                    made.append(getattr(universe, table)(job, epochs[setting]))
                except ArithmeticError as error:
                    self.failures[table, setting, ""] = str(error)
            return made

        self._predictions, self._errors = map(of_settings, ("controls", "attention_errors"))

    @cache  # noqa: B019
    def evidence(self, reading: Reading, average: str) -> UniverseEvidence:
        """As some choices have it."""
        tables = {"pretraining": self._curves}
        if self._predictions:
            tables["solutions"] = pd.concat(one["solutions"] for one in self._predictions)
            every = pd.concat(one["controls"] for one in self._predictions)
            numbers = ["prediction", "y_true", "squared_error"]
            every[numbers] = every[numbers].apply(pd.to_numeric)
            tables["controls"] = every if average == "mean" else median_predictions(every)
        if self._errors:
            kinds = ("attention_errors", EntryErrors), ("attention_bias", BiasVariance)
            for name, kind in kinds:
                errors = pd.concat(one[reading][name] for one in self._errors)
                errors["trained"] = errors["trained"].astype(str)
                if average == "median":
                    errors = median_errors(errors, list(kind._fields))
                tables[name] = errors
        return UniverseEvidence(self._config, tables, self.failures)

    def evidence_for(self, choices: Choices, claim: Claim) -> UniverseEvidence:
        """What a claim is judged by; without a decision, as in the ordinary steps."""
        reading = Reading(**{name: choices[name] for name in Reading._fields if name in choices})
        whole = claim.measure in OF_EVERY_PROMPT
        return self.evidence(reading, "mean" if whole else choices.get("average", "mean"))


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write universe, trained, id, ours, its interval, p_value, verdict and effects."""
    settings, claims = read_claim_list(arguments.claims)
    rows = []
    with TemporaryDirectory() as folder:
        universe = Universe(arguments.trained, Path(folder))
        for share, epochs in config["epochs"]:
            readings = Readings(universe, config, epochs)
            for choices in config["analyses"]:
                if choices.get("epochs", share) != share:
                    continue
                name = universe_name(config["choices"] | choices)
                about = {"universe": name, "trained": config["universe"]}
                evidence_for = partial(readings.evidence_for, choices)
                rows += [about | row for row in judge(judged(claims), evidence_for, settings)]
            log.info("after %s: judged", json.dumps(epochs))
    save_table(arguments.output, pd.DataFrame(rows), MAY_BE_EMPTY["universe_claims"])


if __name__ == "__main__":
    run_step(main, "trained", "claims", "output")
