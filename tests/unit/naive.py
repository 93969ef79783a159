"""The paper's formulas in plain loops over tokens and features, for the tests to compare with.

Written from the paper, section by section, without the library: a second opinion, not a copy.
Tokens are rows; ``n`` = N + 1 and the last token is the query.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from icl_contrastive.choices import Normalization

Array = np.ndarray
Model = dict[str, Any]


@dataclass
class Layer:
    """One layer: projections, augmentations and random features (none: the exact softmax)."""

    W_Q: Array
    W_K: Array
    W_V: Array
    g1: list[Array] = field(default_factory=list)
    g2: list[Array] = field(default_factory=list)
    omega: Array | None = None
    log_weight: Array | None = None
    normalization: Normalization = "unit"

    @property
    def d(self) -> int:
        return len(self.W_Q)


def gelu(x: Array) -> Array:
    """u Φ(u) for every entry (Hendrycks and Gimpel)."""
    return np.array([u * 0.5 * (1 + math.erf(u / math.sqrt(2))) for u in x])


def augmented(x: Array, layers: list[Array]) -> Array:
    """σ(W_L … σ(W_1 x)) (section 5.4)."""
    for weight in layers:
        x = gelu(weight @ x)
    return x


def normalized(layer: Layer, x: Array) -> Array:
    """A key or query as section 3.1 may mean it: of unit norm, or with a share d^(−1/4) of 1/√d."""
    if layer.normalization == "unit":
        norm = math.sqrt(sum(float(entry) ** 2 for entry in x))
        return x / norm if norm else x
    return x / layer.d**0.25 if layer.normalization == "scaled" else x


def queries(layer: Layer, tokens: Array) -> list[Array]:
    """W_Q h, normalized."""
    return [normalized(layer, layer.W_Q @ h) for h in tokens]


def keys(layer: Layer, tokens: Array) -> list[Array]:
    """g2(W_K h), normalized last (Eq. 16)."""
    return [normalized(layer, augmented(layer.W_K @ h, layer.g2)) for h in tokens]


def values(layer: Layer, tokens: Array) -> list[Array]:
    """g1(W_V h) (Eq. 16)."""
    return [augmented(layer.W_V @ h, layer.g1) for h in tokens]


def phi(layer: Layer, x: Array) -> Array:
    """φ_f(x) = exp(ω_fᵀx + b_f − ‖x‖²/2) / √m."""
    assert layer.omega is not None
    assert layer.log_weight is not None
    m = len(layer.omega)
    return np.array(
        [
            math.exp(float(w @ x) + b - float(x @ x) / 2) / math.sqrt(m)
            for w, b in zip(layer.omega, layer.log_weight, strict=True)
        ]
    )


def kernel(layer: Layer, key: Array, query: Array) -> float:
    """φ(k)ᵀφ(q), or exp(kᵀq) without features."""
    if layer.omega is None:
        return math.exp(float(key @ query))
    return float(phi(layer, key) @ phi(layer, query))


def attention(layer: Layer, tokens: Array) -> list[float]:
    """a_i at the query token, which attends to itself too (Eq. 2, 12)."""
    q = queries(layer, tokens)[-1]
    scores = [kernel(layer, k, q) for k in keys(layer, tokens)]
    return [score / sum(scores) for score in scores]


def lowest(scores: dict[int, float], k: int) -> list[int]:
    """The k tokens with the lowest scores."""
    return sorted(scores, key=lambda j: scores[j])[:k]


def own_negatives(model: Model, layer: Layer, tokens: Array) -> list[list[int]]:
    """N(i) of Eq. 18: the k demonstrations j ≠ i with the lowest scores when h_i is the query."""
    k, q = keys(layer, tokens), queries(layer, tokens)
    demonstrations = range(len(tokens) - 1)
    return [
        lowest({j: kernel(layer, k[j], q[i]) for j in demonstrations if j != i}, model["k"])
        for i in demonstrations
    ]


def common_negatives(model: Model, layer: Layer, tokens: Array) -> list[int]:
    """The k lowest of all N + 1 scores of the query (section 5.5)."""
    return lowest(dict(enumerate(attention(layer, tokens))), model["k"])


def output(model: Model, layer: Layer, tokens: Array) -> Array:
    """ĥ_{N+1} of the model's layer."""
    a, v = attention(layer, tokens), values(layer, tokens)
    n = len(tokens)
    if model["model"] == "negative" and model["form"] == "section_5.5":
        negatives = common_negatives(model, layer, tokens)
        for i in range(n):
            if i in negatives:
                a[i] -= model["beta"] / model["k"]
            else:
                a[i] += model["beta"] / (n - model["k"])
    h = np.zeros(layer.d)
    for i in range(n):
        h = h + a[i] * v[i]
    if model["model"] == "regularized":
        last = a[-1] * v[-1] if model["form"] == "eq14" else v[-1]
        h = h - model["alpha"] * last
    if model["model"] == "negative" and model["form"] == "eq18":
        for i, negatives in enumerate(own_negatives(model, layer, tokens)):
            mean = sum(v[j] for j in negatives) / model["k"]
            h = h - model["beta"] * a[i] * mean
    return h


@dataclass
class Reference:
    """What the reference model starts from and learns: W_0, φ(k_i), their labels, φ(q) and D'."""

    W_0: Array
    inputs: list[Array]
    labels: list[Array]
    test_input: Array
    D: float
    alpha: float

    def gradient(self, W: Array, samples: range, eta: float) -> Array:
        """∂L/∂W of Eq. 13: −(1/ηD) Σ label_i φ(k_i)ᵀ + (α/η) W, for the samples alone."""
        total = self.alpha / eta * W
        for i in samples:
            total = total - np.outer(self.labels[i], self.inputs[i]) / (eta * self.D)
        return total

    def loss(self, W: Array, samples: range, eta: float, decay: float) -> float:
        """−(1/ηD) Σ label_iᵀ W φ(k_i) + decay (α/2η) ‖W‖²_F."""
        agreement = sum(float(self.labels[i] @ W @ self.inputs[i]) for i in samples)
        return -agreement / (eta * self.D) + decay * self.alpha / (2 * eta) * float((W**2).sum())

    def one_step(self) -> Array:
        """Ŵ in closed form: (1 − α) W_0 + (1/D) Σ label_i φ(k_i)ᵀ (section 4.1)."""
        W = (1 - self.alpha) * self.W_0
        for label, x in zip(self.labels, self.inputs, strict=True):
            W = W + np.outer(label, x) / self.D
        return W

    def path(self, epochs: int, shared_decay: bool) -> list[Array]:
        """W before the first and after every single-sample step, η_gd = η_loss / N_CL."""
        decay = self.alpha / epochs / (len(self.labels) if shared_decay else 1)
        path = [self.W_0]
        for _ in range(epochs):
            for label, x in zip(self.labels, self.inputs, strict=True):
                path.append((1 - decay) * path[-1] + np.outer(label, x) / (epochs * self.D))
        return path


def reference(model: Model, layer: Layer, tokens: Array) -> Reference:
    """The dual of the model's layer at the query token."""
    k, v, n = keys(layer, tokens), values(layer, tokens), len(tokens)
    test_input = phi(layer, queries(layer, tokens)[-1])
    inputs = [phi(layer, key) for key in k]
    D = sum(float(x @ test_input) for x in inputs)
    labels = list(v)
    alpha, scale = 0.0, 1.0
    if model["model"] == "regularized":
        alpha = model["alpha"]
        if model["form"] == "eq15":
            a = attention(layer, tokens)[-1]
            scale = (a - alpha) / ((1 - alpha) * a)
    elif model["model"] == "negative":
        beta = model["beta"]
        if model["form"] == "section_5.5":
            negatives = common_negatives(model, layer, tokens)
            others = [i for i in range(n) if i not in negatives]
            shift = np.mean([v[i] for i in others], 0) - np.mean([v[i] for i in negatives], 0)
            labels = [label + beta * shift for label in labels]
        else:
            for i, negatives in enumerate(own_negatives(model, layer, tokens)):
                labels[i] = v[i] - beta * np.mean([v[j] for j in negatives], 0)
    W_0 = scale * np.outer(labels[-1], inputs[-1]) / D
    return Reference(W_0, inputs[:-1], labels[:-1], test_input, D, alpha)
