"""What the steps after pretraining have in common: a layer, its prompts, a matrix as rows."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from icl_contrastive.artifacts.files import Contents, load_tensors
from icl_contrastive.attention import Layer, Projections, Weights, project
from icl_contrastive.features import Family, Statistics
from icl_contrastive.features.base import FeatureMap
from icl_contrastive.steps.family import load_family

torch.set_num_threads(1)  # jobs run side by side; more threads each would only contend

_load = lru_cache(maxsize=3)(load_tensors)  # a step picks one run after the other


def load_layer(path: Path, runs: Any, dtype: torch.dtype) -> Layer:
    """The layer of the runs that the index picks, in the precision asked for."""
    arrays, made_by = _load(path)
    of_runs = {name: torch.as_tensor(array[runs]).to(dtype) for name, array in arrays.items()}
    tensors = Contents(path, of_runs)
    weights = Weights.from_tensors(tensors, made_by["normalization"])
    if made_by["model"].get("attention") == "exact":
        return Layer(weights, None)
    return Layer(weights, load_family(made_by["features"]).feature_map(tensors))


def draw_map(
    family: Family, rng: np.random.Generator, d: int, d_r: int, statistics: Statistics
) -> FeatureMap:
    """A fresh draw of the features, in float64."""
    drawn = family.draw(rng, d, d_r, statistics)
    return family.feature_map({name: torch.as_tensor(drawn[name]).double() for name in drawn})


def load_test_prompts(
    path: Path, runs: Any, prompts: Any, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Held-out tokens (..., n, d) and targets (..., d_y) of the chosen runs and prompts."""
    arrays, _ = _load(path)
    tokens, targets = arrays["test_tokens"][runs, prompts], arrays["test_targets"][runs, prompts]
    return torch.from_numpy(tokens).to(dtype), torch.from_numpy(targets).to(dtype)


def load_projections(
    data: Path, pretrained: Path, run: int, judged: int | slice
) -> tuple[Projections, Statistics]:
    """Projections of a run's held-out prompts that are judged, and statistics of all others.

    What a family's constants are fitted on is then not what its errors are measured on. Where there
    are no other prompts, it is.
    """
    weights, _ = load_layer(pretrained, run, torch.float64)
    tokens, _ = load_test_prompts(data, run, slice(None), torch.float64)
    others = np.ones(len(tokens), bool)
    others[judged] = False
    fitted = project(weights, tokens[others if others.any() else ~others])
    return project(weights, tokens[judged]), Statistics.of(fitted.keys, fitted.queries)


def entries(matrix: torch.Tensor, /, **about: object) -> pd.DataFrame:
    """row, column, value of every entry, row by row, after what else is to be said of each."""
    row, column = np.indices(matrix.shape)
    values = {"row": row.ravel(), "column": column.ravel(), "value": matrix.numpy().ravel()}
    return pd.DataFrame(about | values)
