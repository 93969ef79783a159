"""Random layers, prompts and models for the tests: as hypothesis strategies and as lists."""

from __future__ import annotations

from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from hypothesis import strategies as st

from icl_contrastive.attention import Weights
from icl_contrastive.choices import Normalization
from icl_contrastive.features.base import ExponentialFeatures
from icl_contrastive.variants import Variant, build_variant

from . import naive

MODELS: dict[str, dict[str, Any]] = {
    "softmax": {"model": "softmax"},
    "eq14, positive alpha": {"model": "regularized", "form": "eq14", "alpha": 0.2},
    "eq14, negative alpha": {"model": "regularized", "form": "eq14", "alpha": -0.5},
    "eq15, positive alpha": {"model": "regularized", "form": "eq15", "alpha": 0.2},
    "eq15, negative alpha": {"model": "regularized", "form": "eq15", "alpha": -0.5},
    "g1": {"model": "augmented", "g1": 1},
    "g2": {"model": "augmented", "g2": 1},
    "g1 and g2": {"model": "augmented", "g1": 1, "g2": 1},
    "g2+": {"model": "augmented", "g2": 2},
    "section 5.5": {"model": "negative", "form": "section_5.5", "k": 3, "beta": 0.1},
    "section 5.5, k = 1": {"model": "negative", "form": "section_5.5", "k": 1, "beta": 0.5},
    "eq18": {"model": "negative", "form": "eq18", "k": 3, "beta": 0.1},
    "eq18, k = 1": {"model": "negative", "form": "eq18", "k": 1, "beta": 0.5},
}
"""Every kind of layer in every form, by a name for test reports; all fit N ≥ 4."""

NORMALIZATIONS: tuple[Normalization, ...] = get_args(Normalization)

EXACT_MODELS = {
    f"{name}, exact softmax": MODELS[name] | {"attention": "exact"}
    for name in ("softmax", "eq15, negative alpha", "g2+", "section 5.5", "eq18")
}


class Case(NamedTuple):
    """One prompt and the layer it goes through, for the library and for the plain loops."""

    model: dict[str, Any]
    layer: naive.Layer
    tokens: np.ndarray  # (n, d)

    @property
    def normalization(self) -> Normalization:
        return self.layer.normalization

    @property
    def variant(self) -> Variant:
        return build_variant(self.model)

    @property
    def weights(self) -> Weights:
        layer = self.layer
        named = {name: getattr(layer, name) for name in ("W_Q", "W_K", "W_V")}
        named |= {name: np.stack(g) for name in ("g1", "g2") if (g := getattr(layer, name))}
        tensors = {name: torch.from_numpy(array) for name, array in named.items()}
        return Weights.from_tensors(tensors, self.normalization)

    @property
    def features(self) -> ExponentialFeatures | None:
        if self.layer.omega is None or self.layer.log_weight is None:
            return None
        return ExponentialFeatures(
            torch.from_numpy(self.layer.omega), torch.from_numpy(self.layer.log_weight)
        )

    @property
    def h(self) -> torch.Tensor:
        return torch.from_numpy(self.tokens)

    @property
    def demonstrations(self) -> int:
        return len(self.tokens) - 1


def make_case(
    model: dict[str, Any],
    seed: int,
    *,
    demonstrations: int = 7,
    d: int = 5,
    m: int = 20,
    scale: float = 0.6,
    log_weights: float = 0.3,
    normalization: Normalization = "unit",
) -> Case:
    """Weights ~ N(0, scale²), tokens ~ U(−1, 1), ω ~ N(0, I), b ~ N(0, log_weights²)."""
    rng = np.random.default_rng(seed)
    W_Q, W_K, W_V = scale * rng.standard_normal((3, d, d))
    g1, g2 = (
        [rng.standard_normal((d, d)) for _ in range(model.get(name, 0))] for name in ("g1", "g2")
    )
    omega, log_weight = rng.standard_normal((m, d)), log_weights * rng.standard_normal(m)
    tokens = rng.uniform(-1, 1, (demonstrations + 1, d))
    layer = naive.Layer(W_Q, W_K, W_V, g1, g2, omega, log_weight, normalization)
    if model.get("attention") == "exact":
        layer.omega = layer.log_weight = None
    return Case(model, layer, tokens)


@st.composite
def models(draw: st.DrawFn, demonstrations: int) -> dict[str, Any]:
    """Any model, with any hyperparameters that its form allows for N demonstrations."""
    kinds = ["softmax", "eq14", "eq15", "augmented", "section_5.5"]
    kind = draw(st.sampled_from([*kinds, "eq18"] if demonstrations > 1 else kinds))
    layers = st.integers(0, 2)
    augmentations = {"g1": draw(layers), "g2": draw(layers)}
    if kind == "softmax":
        return {"model": "softmax"}
    if kind == "augmented":
        return {"model": "augmented", **augmentations, "g2": max(1, augmentations["g2"])}
    if kind in ("eq14", "eq15"):
        alpha = draw(st.floats(-2, 0.9))
        return {"model": "regularized", "form": kind, "alpha": alpha, **augmentations}
    most = demonstrations if kind == "section_5.5" else demonstrations - 1
    k, beta = draw(st.integers(1, most)), draw(st.floats(0, 2))
    return {"model": "negative", "form": kind, "k": k, "beta": beta, **augmentations}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any model with features, of any small shape."""
    demonstrations = draw(st.integers(1, 9))
    normalization = draw(st.sampled_from(NORMALIZATIONS))
    return make_case(
        draw(models(demonstrations)),
        draw(st.integers(0, 2**32 - 1)),
        demonstrations=demonstrations,
        # In one dimension all keys of unit norm are 1 or −1, and ranks are left to rounding.
        d=draw(st.integers(2 if normalization == "unit" else 1, 7)),
        m=draw(st.integers(1, 50)),
        scale=draw(st.sampled_from([0.1, 0.5, 1.0, 1.5])),
        log_weights=draw(st.sampled_from([0.0, 0.5])),
        normalization=normalization,
    )


def relative(value: torch.Tensor | np.ndarray, reference: torch.Tensor | np.ndarray) -> float:
    """‖value − reference‖ / ‖reference‖ of the whole arrays."""
    value, reference = np.asarray(value), np.asarray(reference)
    assert value.shape == reference.shape
    return float(np.linalg.norm(value - reference) / np.linalg.norm(reference))
