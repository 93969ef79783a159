"""A pretrained layer and its prompts, as the steps after pretraining load them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch

from icl_contrastive.artifacts import load_tensors
from icl_contrastive.attention import Weights
from icl_contrastive.features.base import ExponentialFeatures

torch.set_num_threads(1)  # jobs run side by side; more threads each would only contend


class Layer(NamedTuple):
    """Weights and features of chosen runs, (..., d, d) and (..., m, d)."""

    weights: Weights
    features: ExponentialFeatures


def load_layer(path: Path, runs: Any, dtype: torch.dtype) -> Layer:
    """The layer of the runs that the index picks, in the precision asked for."""
    arrays, _ = load_tensors(path)
    tensors = {name: torch.from_numpy(array[runs]).to(dtype) for name, array in arrays.items()}
    return Layer(
        Weights.from_tensors(tensors),
        ExponentialFeatures(tensors["omega"], tensors["log_weight"]),
    )


def load_test_prompts(
    path: Path, runs: Any, prompts: Any, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Held-out tokens (..., n, d) and targets (..., d_y) of the chosen runs and prompts."""
    arrays, _ = load_tensors(path)
    tokens, targets = arrays["test_tokens"][runs, prompts], arrays["test_targets"][runs, prompts]
    return torch.from_numpy(tokens).to(dtype), torch.from_numpy(targets).to(dtype)
