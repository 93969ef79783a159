"""What is measured of each head: the equivalence, and the random features that it needs."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from icl_contrastive.kernel_dual import check_equivalence
from icl_contrastive.networks.layers import Layers
from icl_contrastive.requirements import required_features

FAMILIES = ("positive", "balanced")
JUDGED = 4
"""One input in so many is judged; families with constants are fitted on tokens of the others."""

DRAWS, MOST = 10, 4096
"""Draws that confirm a prediction, and the features that one may have."""

Array = npt.NDArray[Any]


def judged_inputs(layers: Layers) -> Array:
    """The inputs that are judged, evenly spaced; the only one if there are no others."""
    return np.arange(0, layers.prompt[-1] + 1, JUDGED)


def measure_layer(
    layers: Layers, layer: int, tolerance: float, seed: int
) -> Iterator[dict[str, Any]]:
    """A row of the table ``heads`` for each head of a layer."""
    judged = judged_inputs(layers)
    mask: Literal["causal"] | None = "causal" if layers.causal else None
    found, weights = [], []
    for prompt in judged:
        tokens = np.flatnonzero(layers.prompt == prompt)
        q, k, v = _parts(layers, layer, tokens)
        found.append(check_equivalence(q, k, v, mask=mask, scale=layers.scale, epochs=1))
        weights.append(_weights(q, k, layers.attends(tokens), layers.scale))
    needed = _features(layers, layer, tolerance, seed)
    for head in range(layers.queries.shape[1]):
        errors = np.concatenate([one.one_step_error[head] for one in found])
        shares = np.concatenate([one.own_share[head] for one in found])
        gains = np.concatenate([(one.cosine_after - one.cosine_before)[head] for one in found])
        others = ~np.isnan(gains)  # the first token of a causal layer has none
        yield {
            "layer": layer + 1,
            "head": head + 1,
            "equivalence_error": errors.max(),
            "own_share": np.median(shares[others]),
            "cosine_gain": np.median(gains[others]),
            **needed[head],
            "median_weight": np.median(np.concatenate([one[head][mask] for one, mask in weights])),
            "largest_weight": np.median(
                np.concatenate([one[head].max(-1)[mask.sum(-1) > 1] for one, mask in weights])
            ),
        }


def _weights(queries: Array, keys: Array, attends: Array, scale: float) -> tuple[Array, Array]:
    """Attention weights, (heads, n, n), and which of them there are, (n, n)."""
    q, k = queries.astype(np.float64), keys.astype(np.float64)
    scores = np.where(attends, scale * q @ k.swapaxes(-1, -2), -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True), attends


def _features(layers: Layers, layer: int, tolerance: float, seed: int) -> list[dict[str, float]]:
    """log₁₀ of the d_r that each head's output needs, by family: predicted, and by draws."""
    is_judged = np.isin(layers.prompt, judged_inputs(layers))
    tokens, others = np.flatnonzero(is_judged), np.flatnonzero(~is_judged)
    q, k, v = _parts(layers, layer, tokens)
    fitted_on = _parts(layers, layer, others)[:2] if len(others) else None
    table = required_features(
        q,
        k,
        tolerance,
        values=v,
        mask=layers.attends(tokens),
        scale=layers.scale,
        families=FAMILIES,
        projections=["independent"],
        fitted_on=fitted_on,
        draws=DRAWS,
        most=MOST,
        seed=seed,
    ).table
    rows = table.set_index(["head", "family"])
    return [
        {
            f"log10_d_r_{family}{suffix}": float(rows[column][head, family])
            for family in FAMILIES
            for suffix, column in (("", "log10_predicted"), ("_drawn", "log10_measured"))
        }
        for head in range(len(q))
    ]


def _parts(layers: Layers, layer: int, tokens: Array) -> tuple[Array, Array, Array]:
    """Queries, keys and values of some tokens, (heads, n, d) each."""
    q, k, v = (one[layer][:, tokens] for one in (layers.queries, layers.keys, layers.values))
    return q, k, v
