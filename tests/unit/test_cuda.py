"""The batched program on a GPU: one graph of a step, replayed over prompts, epochs and redraws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from icl_contrastive.features.positive import Positive
from icl_contrastive.training import batched, initial_weights
from icl_contrastive.training.batched import BatchedRuns
from icl_contrastive.variants import build_variant

from .cases import EXACT_MODELS, MODELS, relative

RUNS, N, D, M, RATE = 3, 7, 12, 37, 0.02
ALL_MODELS = MODELS | EXACT_MODELS
every_model = pytest.mark.parametrize("model", ALL_MODELS.values(), ids=ALL_MODELS)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

Arrays = dict[str, np.ndarray]


def draw_features(seed: int, m: int = M) -> Arrays:
    rng = np.random.default_rng(seed)
    return {
        "omega": rng.standard_normal((RUNS, m, D)),
        "log_weight": 0.3 * rng.standard_normal((RUNS, m)),
    }


def prompts(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((RUNS, count, N + 1, D)), rng.standard_normal((RUNS, count, 1))


def trainer(model: dict[str, Any], device: str, m: int = M, dtype: Any = np.float64) -> BatchedRuns:
    variant = build_variant(model)
    starts = [initial_weights(variant, D, 0, "n", run) for run in range(RUNS)]
    weights = {n: np.stack([one[n] for one in starts]).astype(dtype) for n in starts[0]}
    features = None if model.get("attention") == "exact" else draw_features(0, m)
    return BatchedRuns(weights, Positive(), features, variant.mixing(N), 1, device)


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every graph that is captured from here on."""
    graphs: list[Any] = []
    make = torch.cuda.CUDAGraph

    def kept() -> torch.cuda.CUDAGraph:
        graphs.append(make())
        return graphs[-1]  # type: ignore[no-any-return]

    monkeypatch.setattr(torch.cuda, "CUDAGraph", kept)
    return graphs


def assert_same(cuda: BatchedRuns, cpu: BatchedRuns, tolerance: float = 1e-10) -> None:
    assert cuda.weights.keys() == cpu.weights.keys()
    for name, array in cpu.weights.items():
        assert relative(cuda.weights[name], array) < tolerance, name
    held_out = prompts(5, 99)
    expected = cpu.evaluate(*held_out)
    np.testing.assert_allclose(cuda.evaluate(*held_out), expected, rtol=100 * tolerance)


@needs_gpu
@every_model
@pytest.mark.parametrize("batch", [1, 4])
def test_a_graph_is_captured_once_for_all_epochs(
    model: dict[str, Any], batch: int, captured: list[Any]
) -> None:
    """New prompts and features are copied to where it reads; 4 does not divide 23."""
    cpu, cuda = (trainer(model, device) for device in ("cpu", "cuda"))
    for epoch in range(3):
        if model.get("attention") != "exact":
            for one in (cpu, cuda):
                one.redraw(draw_features(epoch))
        data = prompts(23, epoch)
        errors = cpu.train(*data, RATE, batch)
        np.testing.assert_allclose(cuda.train(*data, RATE, batch), errors, rtol=1e-10)
        assert_same(cuda, cpu)
    assert len(captured) == 1


@needs_gpu
def test_another_rate_batch_or_shape_has_another_graph(captured: list[Any]) -> None:
    cpu, cuda = (trainer(MODELS["g2"], device) for device in ("cpu", "cuda"))
    plans = [(6, 0.02, 1), (6, 0.01, 1), (6, 0.01, 4), (3, 0.01, 4), (1, 0.01, 1), (1, 0.01, 1)]
    for step, (count, rate, batch) in enumerate(plans):
        data = prompts(count, step)
        errors = cpu.train(*data, rate, batch)
        np.testing.assert_allclose(cuda.train(*data, rate, batch), errors, rtol=1e-10)
        assert len(captured) == len(set(plans[: step + 1]))
    assert_same(cuda, cpu)


@needs_gpu
@pytest.mark.parametrize("name", ["softmax", "g2"])
def test_single_precision_is_not_that_of_tensor_cores(name: str) -> None:
    """TF32 would keep 10 bits of each factor, 1e-3."""
    double = trainer(MODELS[name], "cpu", 1200)
    single = trainer(MODELS[name], "cuda", 1200, np.float32)
    for one in (double, single):
        one.train(*prompts(100, 0), 0.01)
    assert single.weights["W_Q"].dtype == np.float32
    assert_same(single, double, 5e-6)


@every_model
def test_evaluation_does_not_depend_on_its_pieces(
    model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One prompt, two prompts and all prompts at a time."""
    layer, data = trainer(model, "cpu"), prompts(7, 0)
    whole = layer.evaluate(*data)
    for features in (1, 2 * RUNS * (N + 1) * M):
        monkeypatch.setitem(batched.FEATURES_AT_ONCE, "cpu", features)
        np.testing.assert_allclose(layer.evaluate(*data), whole, rtol=1e-12)
