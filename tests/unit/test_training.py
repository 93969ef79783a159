"""Pretraining: the compiled loop and the batched program against a plainly written layer.

The plain layer builds φ, takes all queries at once, and leaves the gradient to autograd and the
step to torch's optimizer; the others do none of this.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn.functional import gelu

from icl_contrastive.attention import Weights, project
from icl_contrastive.choices import Normalization
from icl_contrastive.features import Family, Statistics
from icl_contrastive.features.base import ExponentialFeatures
from icl_contrastive.features.hyperbolic import Hyperbolic
from icl_contrastive.features.oprf import OPRF
from icl_contrastive.features.positive import Positive
from icl_contrastive.features.sderf import SDERF
from icl_contrastive.mixing import Mixing
from icl_contrastive.prediction import predict
from icl_contrastive.streams import stream
from icl_contrastive.tasks import Prompts, sample_prompts, sample_task
from icl_contrastive.training import (
    Pretrained,
    TrainingDivergedError,
    initial_weights,
    pretrain,
    resolve_device,
)
from icl_contrastive.training.batched import BatchedRuns
from icl_contrastive.training.fused import FusedRuns
from icl_contrastive.variants import build_variant

from .cases import EXACT_MODELS, MODELS, NORMALIZATIONS, relative
from .processes import python

Tensors = dict[str, np.ndarray]

ALL_MODELS = MODELS | EXACT_MODELS
every_model = pytest.mark.parametrize("model", ALL_MODELS.values(), ids=ALL_MODELS)
every_normalization = pytest.mark.parametrize("normalization", NORMALIZATIONS)


class PlainLayer(torch.nn.Module):
    """One run's layer as in the paper: Ĥ for all queries, of which the last is read."""

    omega: torch.Tensor  # (m, d)
    log_weight: torch.Tensor  # (m,)
    W_Q: torch.Tensor  # (d, d), as W_K and W_V
    W_K: torch.Tensor
    W_V: torch.Tensor

    def __init__(
        self,
        model: dict[str, Any],
        weights: Tensors,
        features: Tensors,
        normalization: Normalization,
    ) -> None:
        super().__init__()
        self.model, self.normalization = model, normalization
        self.omega = torch.from_numpy(features["omega"])
        self.log_weight = torch.from_numpy(features["log_weight"])
        for name, array in weights.items():
            setattr(self, name, torch.nn.Parameter(torch.from_numpy(array.copy())))

    def phi(self, x: torch.Tensor) -> torch.Tensor:
        """(n, d) → (n, m)."""
        exponent = x @ self.omega.T + self.log_weight - (x**2).sum(1, keepdim=True) / 2
        return exponent.exp() / math.sqrt(len(self.omega))

    def __call__(self, h: torch.Tensor) -> torch.Tensor:
        """(n, d) → (d,)."""
        n, d = h.shape
        q, k, v = h @ self.W_Q.T, h @ self.W_K.T, h @ self.W_V.T
        for weight in getattr(self, "g1", ()):
            v = gelu(v @ weight.T)
        for weight in getattr(self, "g2", ()):
            k = gelu(k @ weight.T)
        match self.normalization:
            case "unit":
                q, k = q / q.norm(dim=1, keepdim=True), k / k.norm(dim=1, keepdim=True)
            case "scaled":
                q, k = q / d**0.25, k / d**0.25
        exact = self.model.get("attention") == "exact"
        scores = torch.exp(k @ q.T) if exact else self.phi(k) @ self.phi(q).T
        a = scores / scores.sum(0)  # (n keys, n queries)
        match self.model:
            case {"form": "eq14", "alpha": alpha}:
                output = a.T @ v - alpha * torch.diag(a)[:, None] * v
            case {"form": "eq15", "alpha": alpha}:
                output = a.T @ v - alpha * v
            case {"form": "section_5.5", "k": count, "beta": beta}:
                edit = torch.full_like(a, beta / (n - count))
                for query in range(n):
                    edit[torch.topk(a[:, query], count, largest=False).indices, query] = (
                        -beta / count
                    )
                output = (a + edit).T @ v
            case {"form": "eq18", "k": count, "beta": beta}:
                shifted = list(v)
                for i in range(n - 1):
                    others = [j for j in range(n - 1) if j != i]
                    lowest = sorted(others, key=lambda j: a[j, i].item())[:count]
                    shifted[i] = v[i] - beta * v[lowest].mean(0)
                output = a.T @ torch.stack(shifted)
            case _:
                output = a.T @ v
        last: torch.Tensor = output[-1]
        return last

    def train_on(self, prompts: Prompts, learning_rate: float) -> float:
        """One step per prompt; mean of the squared errors met."""
        optimizer = torch.optim.SGD(self.parameters(), lr=learning_rate)
        total = 0.0
        for tokens, target in zip(prompts.tokens, prompts.targets, strict=True):
            optimizer.zero_grad()
            error = self(torch.from_numpy(tokens))[-len(target) :] - torch.from_numpy(target)
            loss = (error**2).sum()
            torch.autograd.backward(loss)
            optimizer.step()
            total += loss.item()
        return total / len(prompts.tokens)

    @property
    def weights(self) -> Tensors:
        return {name: p.detach().numpy() for name, p in self.named_parameters()}


class Job(NamedTuple):
    """What several runs of one model train on; first axis of every array: run."""

    model: dict[str, Any]
    weights: Tensors
    features: Tensors
    prompts: Prompts
    normalization: Normalization = "unit"

    @property
    def data(self) -> tuple[np.ndarray, np.ndarray]:
        return self.prompts.tokens, self.prompts.targets

    @property
    def shape(self) -> tuple[Mixing, int]:
        demonstrations = self.prompts.tokens.shape[2] - 1
        return build_variant(self.model).mixing(demonstrations), self.prompts.targets.shape[-1]

    @property
    def draws(self) -> Tensors | None:
        return None if self.model.get("attention") == "exact" else self.features

    def fused(self) -> FusedRuns:
        return FusedRuns(self.weights, self.draws, *self.shape, self.normalization)

    def batched(self, device: str = "cpu") -> BatchedRuns:
        return BatchedRuns(
            self.weights, Positive(), self.draws, *self.shape, device, self.normalization
        )

    def plain(self, run: int = 0) -> PlainLayer:
        weights, features = (
            {name: array[run] for name, array in arrays.items()}
            for arrays in (self.weights, self.features)
        )
        return PlainLayer(self.model, weights, features, self.normalization)

    def run(self, run: int) -> Prompts:
        return Prompts(self.prompts.tokens[run], self.prompts.targets[run])


def cast(job: Job, dtype: Any) -> Job:
    def all_of(arrays: Tensors) -> Tensors:
        return {name: array.astype(dtype) for name, array in arrays.items()}

    data: Any = (array.astype(dtype) for array in job.data)
    return job._replace(
        weights=all_of(job.weights), features=all_of(job.features), prompts=Prompts(*data)
    )


def make_job(
    model: dict[str, Any],
    *,
    runs: int = 1,
    prompts: int = 200,
    demonstrations: int = 7,
    d: int = 12,
    m: int = 37,
    d_y: int = 1,
    log_weights: float = 0.4,
    dtype: Any = np.float64,
    seed: int = 0,
    normalization: Normalization = "unit",
) -> Job:
    variant = build_variant(model)
    starts = [initial_weights(variant, d, seed, "n", run) for run in range(runs)]
    weights = {name: np.stack([s[name] for s in starts]).astype(dtype) for name in starts[0]}
    rng = np.random.default_rng(seed)
    features = {
        "omega": rng.standard_normal((runs, m, d)).astype(dtype),
        "log_weight": (log_weights * rng.standard_normal((runs, m))).astype(dtype),
    }
    sampled = [
        sample_prompts(rng, sample_task(rng, d_y, d - d_y), prompts, demonstrations)
        for _ in range(runs)
    ]
    tokens = np.stack([p.tokens for p in sampled]).astype(dtype)
    targets = np.stack([p.targets for p in sampled]).astype(dtype)
    return Job(model, weights, features, Prompts(tokens, targets), normalization)


def assert_same_weights(weights: Tensors, expected: Tensors, tolerance: float) -> None:
    assert weights.keys() == expected.keys()
    for name, array in expected.items():
        assert weights[name].dtype == array.dtype
        assert relative(weights[name], array) < tolerance, name


# Three forms, one mathematics


@every_normalization
@every_model
def test_compiled_loop_against_the_plain_layer(
    model: dict[str, Any], normalization: Normalization
) -> None:
    """300 steps, in which the weights move by a good part of their size."""
    job = make_job(model, prompts=300, normalization=normalization)
    plain, fused = job.plain(), job.fused()
    error = plain.train_on(job.run(0), 0.02)
    assert fused.train(*job.data, 0.02)[0] == pytest.approx(error, rel=1e-10)
    weights = {name: array[0] for name, array in fused.weights.items()}
    assert_same_weights(weights, plain.weights, 1e-10)
    assert relative(weights["W_V"], job.weights["W_V"][0]) > 0.1


SHAPES: dict[str, dict[str, Any]] = {
    "N = 2": {"demonstrations": 2, "d": 5, "m": 9},
    "N = 8, d_y = 2": {"demonstrations": 8, "d": 15, "m": 64, "d_y": 2},
    "N = 15": {"demonstrations": 15, "d": 16, "m": 100},
    "N = 31, d_y = 3": {"demonstrations": 31, "d": 20, "m": 33, "d_y": 3},
    "N = 7, one feature": {"demonstrations": 7, "d": 7, "m": 1, "d_y": 2},
    "d = 2": {"demonstrations": 4, "d": 2, "m": 5},
}
SHAPED = (
    "softmax",
    "eq15, negative alpha",
    "g1 and g2",
    "g2+",
    "section 5.5, k = 1",
    "eq18, k = 1",
    "softmax, exact softmax",
    "g2+, exact softmax",
)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", SHAPED)
def test_compiled_loop_at_any_shape(name: str, shape: dict[str, Any]) -> None:
    """Tokens, features and coordinates that fill no whole tile or vector, or just fill it."""
    job = make_job(ALL_MODELS[name], prompts=60, **shape)
    plain, fused = job.plain(), job.fused()
    error = plain.train_on(job.run(0), 0.01)
    assert fused.train(*job.data, 0.01)[0] == pytest.approx(error, rel=1e-10)
    assert_same_weights({n: a[0] for n, a in fused.weights.items()}, plain.weights, 1e-10)


@pytest.mark.parametrize("name", ["softmax", "eq18"])
def test_compiled_loop_with_the_features_of_the_paper(name: str) -> None:
    """d_r = 1200 at N = 15, and more features than fit one block of any cache."""
    for m in (1200, 5003):
        job = make_job(MODELS[name], prompts=20, demonstrations=15, m=m, log_weights=0.0)
        plain, fused = job.plain(), job.fused()
        plain.train_on(job.run(0), 0.01)
        fused.train(*job.data, 0.01)
        assert_same_weights({n: a[0] for n, a in fused.weights.items()}, plain.weights, 1e-10)


@every_model
@pytest.mark.slow
def test_batched_runs_against_the_compiled_loop(model: dict[str, Any]) -> None:
    job = make_job(model, runs=3, prompts=60)
    fused, batched = job.fused(), job.batched()
    errors = fused.train(*job.data, 0.02)
    np.testing.assert_allclose(batched.train(*job.data, 0.02), errors, rtol=1e-10)
    assert_same_weights(batched.weights, fused.weights, 1e-10)
    held_out = fused.evaluate(*job.data)
    np.testing.assert_allclose(batched.evaluate(*job.data), held_out, rtol=1e-9)
    assert (held_out != errors).all()


@every_model
def test_single_precision_agrees_to_rounding(model: dict[str, Any]) -> None:
    double, single = (make_job(model, prompts=100, dtype=t) for t in (np.float64, np.float32))
    expected, fused, batched = double.fused(), single.fused(), single.batched()
    errors = expected.train(*double.data, 0.01)
    for trainer in (fused, batched):
        np.testing.assert_allclose(trainer.train(*single.data, 0.01), errors, rtol=1e-4)
        for name, array in expected.weights.items():
            assert trainer.weights[name].dtype == np.float32
            assert relative(trainer.weights[name], array) < 2e-5, name


@every_model
def test_evaluation_is_the_mean_squared_error_and_moves_nothing(model: dict[str, Any]) -> None:
    job = make_job(model, prompts=30, d_y=2)
    plain, fused = job.plain(), job.fused()
    with torch.no_grad():
        outputs = torch.stack([plain(torch.from_numpy(t)) for t in job.prompts.tokens[0]])
    expected = ((outputs[:, -2:].numpy() - job.prompts.targets[0]) ** 2).sum(1).mean()
    assert fused.evaluate(*job.data)[0] == pytest.approx(expected, rel=1e-12)
    assert_same_weights(fused.weights, job.weights, 1e-300)


# Gradients


def gradient_of(job: Job, build: Callable[[], FusedRuns | BatchedRuns]) -> Tensors:
    """The gradient of one prompt's squared error, from the difference of one step."""
    trainer = build()
    trainer.train(*job.data, 1.0)
    return {name: (job.weights[name] - array)[0] for name, array in trainer.weights.items()}


@every_normalization
@every_model
@pytest.mark.parametrize("seed", range(3))
def test_gradient_of_one_prompt_against_autograd(
    model: dict[str, Any], seed: int, normalization: Normalization
) -> None:
    job = make_job(model, prompts=1, seed=seed, d_y=2, normalization=normalization)
    plain = job.plain()
    tokens, target = (torch.from_numpy(a[0, 0]) for a in job.data)
    loss = ((plain(tokens)[-2:] - target) ** 2).sum()
    torch.autograd.backward(loss)
    expected = {n: p.grad.numpy() for n, p in plain.named_parameters() if p.grad is not None}
    assert expected.keys() == job.weights.keys()
    for build in (job.fused, job.batched):
        for name, gradient in gradient_of(job, build).items():
            np.testing.assert_allclose(
                gradient, expected[name], rtol=1e-9, atol=1e-13 * np.abs(expected[name]).max()
            )


@every_model
def test_gradient_of_one_prompt_against_finite_differences(model: dict[str, Any]) -> None:
    """Of the compiled loop's own evaluation, along a random direction in all weights."""
    job = make_job(model, prompts=1)
    rng = np.random.default_rng(0)
    direction = {name: rng.standard_normal(array.shape) for name, array in job.weights.items()}
    step = 1e-5
    ahead, behind = (
        job._replace(weights={n: w + sign * step * direction[n] for n, w in job.weights.items()})
        .fused()
        .evaluate(*job.data)[0]
        for sign in (1, -1)
    )
    gradient = gradient_of(job, job.fused)
    slope = sum((gradient[name] * direction[name][0]).sum() for name in gradient)
    assert slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-6)


@every_normalization
@every_model
def test_gradient_of_the_layer_with_gradcheck(
    model: dict[str, Any], normalization: Normalization
) -> None:
    job = make_job(model, prompts=1, demonstrations=4, d=3, m=6)
    variant, tokens = build_variant(model), torch.from_numpy(job.prompts.tokens[0, 0])
    features = None
    if model.get("attention") != "exact":
        features = ExponentialFeatures(
            *(torch.from_numpy(job.features[name][0]) for name in ("omega", "log_weight"))
        )

    def output(*parameters: torch.Tensor) -> torch.Tensor:
        named = dict(zip(job.weights, parameters, strict=True))
        weights = Weights.from_tensors(named, normalization)
        return predict(weights, tokens, variant, features)

    parameters = (torch.from_numpy(a[0]).requires_grad_() for a in job.weights.values())
    assert torch.autograd.gradcheck(output, tuple(parameters))


# Extremes


@pytest.mark.parametrize("demonstrations", [4, 5, 6, 7])
@pytest.mark.parametrize("size", [1.0, 8.0])
def test_steps_are_finite_and_right_far_from_the_origin(demonstrations: int, size: float) -> None:
    """However many tokens a tile is padded by; in single precision, as in training."""
    job = make_job({"model": "softmax"}, prompts=5, demonstrations=demonstrations, m=600, d=12)
    far = {name: (5 * size if name != "W_V" else 1) * w for name, w in job.weights.items()}
    single = cast(job._replace(weights=far, normalization="none"), np.float32)
    fused, double = single.fused(), cast(single, np.float64).batched()
    fused.train(*single.data, 1e-6)
    double.train(*single.data, 1e-6)
    for name, array in double.weights.items():
        assert relative(fused.weights[name], array) < 1e-4, name


FAMILIES: dict[str, Family] = {
    "positive": Positive(),
    "orthogonal": Positive("orthogonal"),
    "hyperbolic": Hyperbolic(),
    "oprf": OPRF(),
    "sderf": SDERF(),
}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("name", ["softmax", "eq18", "g2+"])
@given(
    norm=st.floats(0.1, 20),
    demonstrations=st.integers(4, 9),
    m=st.sampled_from([2, 30, 700]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=10)
def test_scores_of_any_size(
    name: str, family: Family, norm: float, demonstrations: int, m: int, seed: int
) -> None:
    """Up to ‖k + q‖² = 400: e^{ωᵀz} may over- or underflow float32 by hundreds of orders."""
    job = make_job(MODELS[name], prompts=3, demonstrations=demonstrations, m=m, seed=seed)
    job = job._replace(normalization="none")
    tokens = torch.from_numpy(job.prompts.tokens[0])
    weights = Weights.from_tensors({n: torch.from_numpy(w[0]) for n, w in job.weights.items()})
    queries, keys, _ = project(replace(weights, normalization="none"), tokens)
    factor = norm / float((queries[:, -1:] + keys).norm(dim=-1).max())
    moved = {n: (factor if n in ("W_Q", "W_K") else 1) * w for n, w in job.weights.items()}
    if name == "g2+":  # GELU keeps no factor: the largest norm is what it becomes
        assume(factor < 3)
    statistics = Statistics.of(factor * keys.numpy(), factor * queries[:, -1].numpy())
    drawn = family.draw(np.random.default_rng(seed), 12, m, statistics)
    # Both precisions take the very same numbers.
    features = {n: a[None] for n, a in drawn.items()}
    single = cast(job._replace(weights=moved, features=features), np.float32)
    double = cast(single, np.float64)
    expected = double.batched().evaluate(*double.data)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(double.fused().evaluate(*double.data), expected, rtol=1e-9)
    # Scores of hundreds have an absolute error of some 1e-5 in single precision.
    np.testing.assert_allclose(single.fused().evaluate(*single.data), expected, rtol=1e-2)


# Pretraining as a whole


def pretrained(
    model: dict[str, Any] | None = None, runs: int = 2, epochs: int = 2, **arguments: Any
) -> Pretrained:
    """The first runs of one job; as many as are asked for."""
    train, test = (
        Prompts(np.stack([p.tokens for p in part]), np.stack([p.targets for p in part]))
        for part in ([_sample(name, run) for run in range(runs)] for name in ("train", "test"))
    )
    job: dict[str, Any] = {"seed": 3, "setting": "n7", "d_r": 40, "device": "cpu"}
    variant = build_variant(model or {"model": "softmax"})
    return pretrain(train, test, variant, epochs=epochs, **(job | arguments))


def _sample(part: str, run: int) -> Prompts:
    task = sample_task(stream(3, "task", run), 1, 11)
    return sample_prompts(stream(3, part, run), task, 64, 7)


def digest(result: Pretrained) -> str:
    arrays = [*result.tensors.values(), result.train_mse, result.test_mse]
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


@every_model
def test_pretrained_tensors(model: dict[str, Any]) -> None:
    result = pretrained(model)
    shapes = {"W_Q": (2, 12, 12), "W_K": (2, 12, 12), "W_V": (2, 12, 12)}
    shapes |= {g: (2, model[g], 12, 12) for g in ("g1", "g2") if g in model}  # type: ignore[misc]
    if model.get("attention") != "exact":
        shapes |= {"omega": (2, 40, 12), "log_weight": (2, 40)}  # type: ignore[dict-item]
    assert {name: array.shape for name, array in result.tensors.items()} == shapes
    assert {array.dtype for array in result.tensors.values()} == {np.dtype(np.float32)}
    assert result.train_mse.shape == result.test_mse.shape == (2, 2)
    assert np.isfinite(result.train_mse).all()


@every_model
def test_pretraining_is_epochs_of_plain_steps(model: dict[str, Any]) -> None:
    """Weights, and both curves: errors met during the epoch, held-out errors after it."""
    result = pretrained(model, runs=1, epochs=2, learning_rate=0.01)
    start = {
        name: array.astype(np.float64)
        for name, array in initial_weights(build_variant(model), 12, 3, "n7", 0).items()
    }
    features = {
        name: result.tensors.get(name, np.zeros((1, *shape)))[0].astype(np.float64)
        for name, shape in (("omega", (40, 12)), ("log_weight", (40,)))
    }
    plain = PlainLayer(model, start, features, "unit")
    train, test = (
        Prompts(p.tokens.astype(np.float64), p.targets.astype(np.float64))
        for p in (_sample("train", 0), _sample("test", 0))
    )
    for epoch in range(2):
        error = plain.train_on(train, 0.01)
        assert result.train_mse[0, epoch] == pytest.approx(error, rel=1e-4)
        with torch.no_grad():
            outputs = torch.stack([plain(torch.from_numpy(t))[-1] for t in test.tokens])
        error = float(((outputs.numpy() - test.targets[:, 0]) ** 2).mean())
        assert result.test_mse[0, epoch] == pytest.approx(error, rel=1e-4)
    for name, array in plain.weights.items():
        assert relative(result.tensors[name][0], array) < 2e-5


def test_one_run_alone_is_the_same_run_in_a_batch() -> None:
    alone, batch = pretrained(runs=1), pretrained(runs=3)
    for name, array in alone.tensors.items():
        np.testing.assert_array_equal(array[0], batch.tensors[name][0])
    np.testing.assert_array_equal(alone.train_mse[0], batch.train_mse[0])
    np.testing.assert_array_equal(alone.test_mse[0], batch.test_mse[0])


def test_other_variants_change_nothing() -> None:
    before = digest(pretrained())
    for model in MODELS.values():
        pretrained(model, runs=1, epochs=1)
    assert digest(pretrained()) == before


def test_variants_share_their_start_and_their_features() -> None:
    """Runs are paired: the same ω and the same initial weights across variants."""
    results = {name: pretrained(m, learning_rate=0.0) for name, m in ALL_MODELS.items()}
    base = results["softmax"].tensors
    for name, result in results.items():
        for shared in result.tensors.keys() & base.keys():
            np.testing.assert_array_equal(result.tensors[shared], base[shared], err_msg=name)
    first_layers = [results[name].tensors["g2"][:, 0] for name in ("g2", "g2+", "g1 and g2")]
    assert all(np.array_equal(layer, first_layers[0]) for layer in first_layers)


def test_everything_else_starts_apart() -> None:
    result = pretrained(MODELS["g1 and g2"], runs=3, learning_rate=0.0)
    matrices = [
        m.tobytes()
        for name in ("W_Q", "W_K", "W_V", "g1", "g2")
        for m in result.tensors[name].reshape(-1, 12, 12)
    ]
    assert len(set(matrices)) == len(matrices) == 15
    assert len({omega.tobytes() for omega in result.tensors["omega"]}) == 3
    for change in ({"seed": 4}, {"setting": "n8"}):
        other = pretrained(MODELS["g1 and g2"], runs=3, learning_rate=0.0, **change)
        for name in ("W_Q", "g1", "omega"):
            assert not np.array_equal(other.tensors[name], result.tensors[name])


def test_initial_weights_are_uniform() -> None:
    """U(−1/√d, 1/√d): range, mean and variance within 4 standard errors, over 50 runs."""
    weights = [initial_weights(build_variant(MODELS["g2+"]), 12, 0, "n", run) for run in range(50)]
    x = np.concatenate([a.ravel() for w in weights for a in w.values()]).astype(float) * 12**0.5
    assert x.size == 50 * 5 * 144
    assert 0.999 < np.abs(x).max() <= 1.000001
    assert abs(x.mean()) < 4 * np.sqrt(1 / 3 / x.size)
    assert abs((x**2).mean() - 1 / 3) < 4 * np.sqrt((1 / 5 - 1 / 9) / x.size)


def test_training_learns() -> None:
    result = pretrained(epochs=30, learning_rate=0.01)
    assert (result.train_mse[:, -1] < 0.5 * result.train_mse[:, 0]).all()


@every_model
def test_bytes_do_not_depend_on_where_arrays_lie_in_memory(model: dict[str, Any]) -> None:
    """A compiled loop may come in several versions, chosen by the addresses of its arrays."""
    job = make_job(model, prompts=40, dtype=np.float32)
    rng, kept, results = np.random.default_rng(0), [], set()
    for _ in range(20):
        kept.append(np.empty(rng.integers(1, 5000), np.uint8))
        fused = job.fused()
        fused.train(*job.data, 0.02)
        results.add(b"".join(array.tobytes() for array in fused.weights.values()))
        kept.append(np.empty(rng.integers(1, 100_000), np.uint8))
    assert len(results) == 1


SCRIPT = "from tests.unit.test_training import digest, pretrained; print(digest(pretrained()))"


@pytest.mark.slow
def test_bytes_are_the_same_in_other_processes() -> None:
    """Whatever the hash seed and the number of threads."""
    expected = digest(pretrained())
    for seed, threads in (("1", "1"), ("2", "2")):
        done = python("-c", SCRIPT, PYTHONHASHSEED=seed, OMP_NUM_THREADS=threads)
        assert done.stdout.strip() == expected


# Divergence


@pytest.mark.parametrize("attention", ["kernel", "exact"])
def test_divergence_names_run_and_epoch(attention: str) -> None:
    with pytest.raises(TrainingDivergedError, match=r"run \d .*epoch \d.*learning rate .*50"):
        pretrained({"model": "softmax", "attention": attention}, learning_rate=50.0, epochs=9)


@pytest.mark.parametrize("value", [1e20, 1e30])
@pytest.mark.parametrize("bad", [0, 1, 2])
def test_divergence_names_the_run_that_diverged(
    monkeypatch: pytest.MonkeyPatch, bad: int, value: float
) -> None:
    sample = _sample

    def poisoned(part: str, run: int) -> Prompts:
        prompts = sample(part, run)
        if run == bad and part == "train":
            prompts.targets[40] = value
        return prompts

    monkeypatch.setitem(globals(), "_sample", poisoned)
    with pytest.raises(TrainingDivergedError, match=f"run {bad} is not finite after epoch 1;"):
        pretrained(runs=3)


def test_divergence_on_held_out_prompts_alone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = _sample

    def poisoned(part: str, run: int) -> Prompts:
        prompts = sample(part, run)
        if part == "test":
            prompts.targets[3] = 1e30
        return prompts

    monkeypatch.setitem(globals(), "_sample", poisoned)
    with pytest.raises(TrainingDivergedError, match="held-out error of run 0"):
        pretrained()


# Devices


def test_without_a_driver_auto_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert resolve_device("auto") == "cpu"
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("cuda") == "cuda"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@every_model
def test_cuda_against_the_compiled_loop(model: dict[str, Any]) -> None:
    job = make_job(model, runs=3, prompts=60)
    fused, batched = job.fused(), job.batched("cuda")
    for _ in range(2):
        errors = fused.train(*job.data, 0.02)
        np.testing.assert_allclose(batched.train(*job.data, 0.02), errors, rtol=1e-8)
    assert_same_weights(batched.weights, fused.weights, 1e-8)
    held_out = fused.evaluate(*job.data)
    np.testing.assert_allclose(batched.evaluate(*job.data), held_out, rtol=1e-8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_pretraining_on_cuda() -> None:
    cpu, cuda = (pretrained(epochs=2, device=device) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(cuda.train_mse, cpu.train_mse, rtol=1e-3)
    for name, array in cpu.tensors.items():  # some are zero
        distance = np.linalg.norm(cuda.tensors[name] - array)
        assert distance <= 1e-4 * np.linalg.norm(array), name
