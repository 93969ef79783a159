"""A universe's tables as the claims are judged by them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from icl_contrastive.claims import Evidence
from icl_contrastive.claims.evidence import NotTestableError

Failures = Mapping[tuple[str, str, str], str]
"""Why a table lacks the rows of a setting, and perhaps of a variant in it."""


class UniverseEvidence(Evidence):
    """Evidence that lacks what could not be trained.

    Attributes:
        missed: why it lacks what it was asked for, as long as that is a training that failed.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        tables: Mapping[str, pd.DataFrame],
        failures: Failures,
    ) -> None:
        super().__init__(config, tables)
        self.missed: list[str] = []
        self._failures = failures

    def table(self, name: str, **where: object) -> pd.DataFrame:
        try:
            return super().table(name, **where)
        except NotTestableError:
            key = name, str(where.get("setting", "")), str(where.get("variant", ""))
            if key in self._failures:
                self.missed.append(self._failures[key])
            raise


def median_predictions(controls: pd.DataFrame) -> pd.DataFrame:
    """A row for each run and predictor, whose squares are the medians over its prompts."""
    squares = controls.assign(square=controls["y_true"] ** 2)
    keys = ["setting", "run", "predictor"]
    medians = squares.groupby(keys, sort=False)[["squared_error", "square"]].median()
    medians["y_true"] = np.sqrt(medians.pop("square"))
    return medians.reset_index()


def median_errors(errors: pd.DataFrame, measures: list[str]) -> pd.DataFrame:
    """A row for each draw of the features, with the medians over its prompts."""
    keys = [name for name in errors if name not in ("prompt", *measures)]
    return errors.groupby(keys, sort=False)[measures].median().reset_index().assign(prompt=0)
