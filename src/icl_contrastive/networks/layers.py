"""Heads of several layers on several inputs: recorded of a network, or a file of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.torch import load_file

from icl_contrastive.artifacts.files import load_tensors, save_tensors
from icl_contrastive.command import StepError
from icl_contrastive.heads import read_heads

Array = npt.NDArray[Any]

PARTS = ("queries", "keys", "values")


@dataclass(frozen=True)
class Layers:
    """Queries, keys and values of all heads, the tokens of all inputs one after the other.

    Attributes:
        queries: (layers, heads, tokens, d).
        keys: (layers, heads, tokens, d).
        values: (layers, heads, tokens, d_v).
        prompt: which input each token is of, (tokens,).
        causal: whether tokens attend to earlier ones alone.
        scale: factor on the scores qᵀk.
    """

    queries: Array
    keys: Array
    values: Array
    prompt: Array
    causal: bool
    scale: float

    def save(self, path: Path, config: Mapping[str, Any], made_with: Mapping[str, Any]) -> None:
        """Write an artifact."""
        tensors = {name: getattr(self, name) for name in (*PARTS, "prompt")}
        about = {**config, "causal": self.causal, "scale": self.scale}
        save_tensors(path, tensors, about, made_with)

    @classmethod
    def load(cls, path: Path) -> Layers:
        """Read an artifact; raises as ``load_tensors``."""
        tensors, about = load_tensors(path)
        arrays = {name: tensors[name] for name in (*PARTS, "prompt")}
        return cls(**arrays, causal=about["causal"], scale=about["scale"])

    def attends(self, tokens: Array) -> Array:
        """Whether one of the tokens, by position, attends to another, (n, n)."""
        same = self.prompt[tokens][:, None] == self.prompt[tokens]
        return np.tril(same) if self.causal else same


def read_layers(path: Path, *, causal: bool, scale: float | None) -> Layers:
    """Heads of a safetensors file with ``queries``, ``keys`` and ``values`` of any float type.

    Each is (heads, n, d), (prompts, heads, n, d) or (layers, prompts, heads, n, d). Keys and values
    may have fewer heads.

    Raises StepError, naming the file, for what it lacks and for shapes that do not fit.
    """
    try:
        there = load_file(path)
    except (OSError, SafetensorError) as error:
        raise StepError(f"{path}: cannot be read ({error}); must be a safetensors file") from error
    if lacking := [name for name in PARTS if name not in there]:
        raise StepError(f"{path}: no {', '.join(lacking)}; there are {', '.join(sorted(there))}")
    q, k, v = (there[name] for name in PARTS)
    if not 3 <= q.ndim <= 5:
        raise StepError(
            f"{path}: queries {tuple(q.shape)} must be (heads, tokens, head size), with prompts, "
            "or layers and prompts, as axes before these"
        )
    try:
        heads = read_heads(q, k, v, "causal" if causal else None, 1.0)
    except ValueError as error:
        raise StepError(f"{path}: {error}") from error
    assert heads.values is not None  # noqa: S101 - they were given
    lacking_axes = (None,) * (5 - q.ndim)
    queries, keys, values = (
        one[lacking_axes].movedim(1, 2).flatten(2, 3).numpy()  # (layers, heads, prompts · n, d)
        for one in (heads.queries, heads.keys, heads.values)
    )
    prompts = 1 if q.ndim == 3 else q.shape[-4]
    if prompts * q.shape[-2] < 2:
        raise StepError(f"{path}: a single token; must be two at least, to fit on one of them")
    prompt = np.repeat(np.arange(prompts), q.shape[-2])
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return Layers(queries, keys, values, prompt, causal, scale)
