"""The controls: altered prompts are what they say, and regression finds the task."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from icl_contrastive.analysis.controls import (
    altered_prompts,
    least_squares,
    value_cosine,
    zero_shot_part,
    zero_shot_share,
)
from icl_contrastive.artifacts.files import load_table, save_tensors
from icl_contrastive.artifacts.tables import read_table
from icl_contrastive.attention import Layer
from icl_contrastive.features.positive import Positive
from icl_contrastive.limits import FULL_WIDTH_PROMPTS
from icl_contrastive.prediction import predict
from icl_contrastive.steps import controls
from icl_contrastive.steps import data as data_step
from icl_contrastive.streams import stream
from icl_contrastive.tasks import sample_prompts, sample_task
from icl_contrastive.training import initial_weights
from icl_contrastive.variants import build_variant

from . import naive
from .cases import MODELS, make_case

D_X, N = 4, 7


@pytest.fixture
def prompts() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, targets and their task."""
    rng = np.random.default_rng(0)
    task = sample_task(rng, 1, D_X)
    sample = sample_prompts(rng, task, 6, N)
    tokens, targets = torch.from_numpy(sample.tokens), torch.from_numpy(sample.targets)
    return tokens.double(), targets.double(), torch.from_numpy(task[0]).double()


def alterations(
    tokens: torch.Tensor, targets: torch.Tensor, task: torch.Tensor | None
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    altered = altered_prompts(tokens, targets, task, np.random.default_rng(1))
    return {name: (changed, labels) for name, changed, labels in altered}


def test_altered_prompts(prompts: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    tokens, targets, task = prompts
    before = tokens.clone()
    found = alterations(tokens, targets, 2 * task)
    assert torch.equal(tokens, before)
    query = tokens[:, -1]
    for changed, _ in found.values():
        assert torch.equal(changed[:, -1], query)

    shuffled, labels = found["shuffled labels"]
    assert labels is targets
    assert torch.equal(shuffled[..., :D_X], tokens[..., :D_X])
    assert not torch.equal(shuffled, tokens)
    for one, other in zip(shuffled, tokens, strict=True):
        assert sorted(one[:-1, -1].tolist()) == sorted(other[:-1, -1].tolist())

    unlabeled, _ = found["zero labels"]
    assert torch.equal(unlabeled[..., :D_X], tokens[..., :D_X])
    assert not unlabeled[..., D_X:].any()

    assert not found["zeroed demonstrations"][0][:, :-1].any()
    half, _ = found["half the demonstrations"]
    assert half.shape == (6, 5, D_X + 1)
    assert torch.equal(half[:, :4], tokens[:, :4])

    fresh, labels = found["fresh task"]
    torch.testing.assert_close(labels, 2 * targets)
    torch.testing.assert_close(fresh[:, :-1, -1], 2 * tokens[:, :-1, -1])
    assert "fresh task" not in alterations(tokens, targets, None)


def test_least_squares_finds_the_task(
    prompts: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    tokens, targets, _ = prompts
    torch.testing.assert_close(least_squares(tokens, 1), targets, rtol=1e-6, atol=1e-6)
    ridge = least_squares(tokens, 1, ridge=1e-9)
    torch.testing.assert_close(ridge, targets, rtol=1e-5, atol=1e-5)
    assert least_squares(tokens, 1, ridge=1e9).abs().max() < 1e-6


def test_ridge_is_least_squares_with_a_row_for_each_weight(
    prompts: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    tokens, _, _ = prompts
    for prompt, prediction in zip(tokens.numpy(), least_squares(tokens, 1, 0.3), strict=True):
        x = np.vstack([prompt[:-1, :-1], np.sqrt(0.3) * np.eye(D_X)])
        y = np.append(prompt[:-1, -1], np.zeros(D_X))
        weight = np.linalg.lstsq(x, y, rcond=None)[0]
        assert float(prediction) == pytest.approx(prompt[-1, :-1] @ weight, rel=1e-10)


def test_too_few_demonstrations_still_give_a_prediction() -> None:
    rng = np.random.default_rng(2)
    sample = sample_prompts(rng, sample_task(rng, 1, D_X), 3, D_X - 2)
    assert least_squares(torch.from_numpy(sample.tokens), 1).isfinite().all()


def test_the_zero_shot_part_is_what_the_query_gives_itself() -> None:
    """a_{N+1} v_{N+1} in the plain layer; with it, the demonstrations' sum is ŷ."""
    case = make_case({"model": "softmax"}, 0)
    a, v = naive.attention(case.layer, case.tokens), naive.values(case.layer, case.tokens)
    found = zero_shot_part(Layer(case.weights, case.features), case.h[None], case.variant, 2)
    torch.testing.assert_close(found[0], torch.from_numpy(a[-1] * v[-1])[-2:])
    whole = predict(case.weights, case.h[None], case.variant, case.features)[..., -2:]
    others = sum(weight * value for weight, value in zip(a[:-1], v[:-1], strict=True))
    torch.testing.assert_close((whole - found)[0], torch.from_numpy(others)[-2:])


@pytest.mark.parametrize("name", MODELS)
def test_the_zero_shot_part_is_the_reference_model_s_start(name: str) -> None:
    case = make_case(MODELS[name], 1)
    expected = naive.reference(case.model, case.layer, case.tokens)
    tokens = case.h.expand(2 * FULL_WIDTH_PROMPTS + 1, *case.h.shape)
    found = zero_shot_part(Layer(case.weights, case.features), tokens, case.variant, 1)
    assert found.shape == (len(tokens), 1)
    start = (expected.W_0 @ expected.test_input)[-1:]
    torch.testing.assert_close(found, torch.from_numpy(start).expand(found.shape))


def test_the_value_cosine_tells_a_solution_that_needs_no_demonstrations(
    prompts: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    tokens, _, task = prompts
    direction = torch.cat([task[0], -torch.ones(1).double()])
    weight = torch.zeros(D_X + 1, D_X + 1).double()
    weight[-1] = 3 * direction
    assert value_cosine(weight, task) == pytest.approx(1)
    assert (tokens[:, :-1] @ weight.mT).abs().max() < 1e-5  # the demonstrations' values
    assert value_cosine(-weight, task) == pytest.approx(-1)
    weight[-1, :-1] = 0  # only labels are read: the first kind
    expected = 1 / np.sqrt(1 + (task[0].numpy() ** 2).sum())
    assert value_cosine(weight, task) == pytest.approx(expected)


def test_the_value_cosine_of_several_labels_is_their_mean() -> None:
    rng = np.random.default_rng(3)
    task, weight = torch.from_numpy(rng.standard_normal((2, 3))), torch.zeros(5, 5).double()
    weight[3] = torch.tensor([*task[0], -1, 0])
    weight[4] = torch.tensor([*task[1], 0, 1])
    squares = (task[1].numpy() ** 2).sum()
    expected = (1 + (squares - 1) / (squares + 1)) / 2
    assert value_cosine(weight, task) == pytest.approx(expected)


def test_the_shares_of_the_parts_sum_to_one() -> None:
    rng = np.random.default_rng(4)
    part, other = torch.from_numpy(rng.standard_normal((2, 50, 2)))
    share, rest = (zero_shot_share(one, part + other) for one in (part, other))
    assert share + rest == pytest.approx(1)
    whole = (part + other)[:, -1].numpy()
    covariance = np.cov(part[:, -1].numpy(), whole)
    assert share == pytest.approx(covariance[0, 1] / covariance[1, 1])
    assert np.isnan(zero_shot_share(part, torch.ones_like(part)))


SHARED = {
    "layer",
    "zero-shot part",
    "demonstrations' part",
    "fresh features",
    "exact softmax",
    "exact softmax, trained",
    "shuffled labels",
    "zero labels",
    "zeroed demonstrations",
    "half the demonstrations",
    "fresh task",
    "least squares",
    "ridge regression",
    "true task",
    "zero",
}


@pytest.mark.parametrize("tasks", ["shared", "per_prompt"])
def test_the_table(tasks: str, tmp_path: Path) -> None:
    runs, count, d = 2, 5, D_X + 1
    common = {"seed": 1, "runs": runs, "setting": "s"}
    shape = {"demonstrations": N, "prompts": 3, "test_prompts": count, "tasks": tasks}
    data = tmp_path / "data.safetensors"
    data_step.main(
        argparse.Namespace(output=data, code=[]), common | shape | {"d_x": D_X, "d_y": 1}
    )
    model = {"model": "softmax", "attention": "kernel"}
    features = {"family": "positive", "d_r": 20}
    start = [initial_weights(build_variant(model), d, 1, "s", run) for run in range(runs)]
    draws = [Positive().draw(stream(1, "omega", run), d, 20) for run in range(runs)]
    tensors = {name: np.stack([one[name] for one in start]) for name in start[0]}
    exact = tmp_path / "exact.safetensors"
    made_by = {"model": model, "features": features, "normalization": "unit"}
    save_tensors(exact, tensors, made_by | {"model": model | {"attention": "exact"}})
    base = tmp_path / "base.safetensors"
    tensors |= {name: np.stack([one[name] for one in draws]) for name in draws[0]}
    save_tensors(base, tensors, made_by)

    output, kinds = tmp_path / "controls.csv", tmp_path / "solutions.csv"
    controls.main(
        argparse.Namespace(data=data, pretrained=[base, exact], controls=output, solutions=kinds),
        common | {"model": model, "features": features, "ridge": 0.1},
    )
    table = load_table(output)
    columns = {"run": int, "prompt": int, "squared_error": float, "y_true": float}
    table = table.astype(columns | {"prediction": float})
    expected = SHARED if tasks == "shared" else SHARED - {"true task", "fresh task"}
    assert set(table["predictor"]) == expected
    assert len(table) == runs * count * len(expected)

    def of(name: str) -> pd.DataFrame:
        return table[table["predictor"] == name].reset_index(drop=True)

    np.testing.assert_allclose(
        table["squared_error"], (table["prediction"] - table["y_true"]) ** 2, atol=1e-12
    )
    parts = [of(name)["prediction"] for name in ("zero-shot part", "demonstrations' part")]
    np.testing.assert_allclose(sum(parts), of("layer")["prediction"], atol=1e-14)
    solutions = read_table("solutions", kinds).rows
    assert solutions["run"].tolist() == list(range(runs))
    assert solutions["value_cosine"].isna().all() == (tasks == "per_prompt")
    for run, row in solutions.iterrows():
        part, whole = (
            one[of("layer")["run"] == run] for one in (parts[0], of("layer")["prediction"])
        )
        covariance = np.cov(part, whole)
        assert row["zero_shot_share"] == pytest.approx(covariance[0, 1] / covariance[1, 1])
    assert (of("zero")["squared_error"] == of("layer")["y_true"] ** 2).all()
    assert of("least squares")["squared_error"].max() < 1e-10
    # The exact softmax of the base's weights is that of the other layer, whose weights they are.
    for one in ("exact softmax", "exact softmax, trained"):
        pd.testing.assert_series_equal(of(one)["prediction"], of("exact softmax")["prediction"])
    assert (of("fresh features")["prediction"] != of("layer")["prediction"]).all()
    if tasks == "shared":
        assert of("true task")["squared_error"].max() < 1e-10
        assert (of("fresh task")["y_true"] != of("layer")["y_true"]).all()
