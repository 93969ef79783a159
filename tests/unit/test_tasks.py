"""Prompts of linear regression (section 5.1)."""

from __future__ import annotations

import numpy as np
import pytest

from icl_contrastive.streams import stream
from icl_contrastive.tasks import Prompts, sample_part, sample_prompts, sample_task

D_X = 11


def prompts_of(task: np.ndarray, prompts: int = 500, demonstrations: int = 15) -> Prompts:
    return sample_prompts(stream(1, "prompts"), task, prompts, demonstrations)


@pytest.fixture(params=[1, 2], ids=["d_y = 1", "d_y = 2"])
def d_y(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_shapes_and_types(d_y: int) -> None:
    prompts = prompts_of(sample_task(stream(1, "task"), d_y, D_X))
    assert prompts.tokens.shape == (500, 16, D_X + d_y)
    assert prompts.targets.shape == (500, d_y)
    assert prompts.tokens.dtype == prompts.targets.dtype == np.float32


@pytest.mark.parametrize("tasks", [1, 500], ids=["shared", "per prompt"])
def test_labels_are_those_of_the_task(d_y: int, tasks: int) -> None:
    """y_i = W x_i for the demonstrations and, hidden from the tokens, for the query."""
    task = sample_task(stream(1, "task"), d_y, D_X, tasks)
    assert task.shape == (tasks, d_y, D_X)
    prompts = prompts_of(task)
    x, y = prompts.tokens[..., :D_X].astype(float), prompts.tokens[..., D_X:]
    for p in range(500):
        W = task[p if tasks > 1 else 0].astype(float)
        expected = np.array([W @ x_i for x_i in x[p]])
        np.testing.assert_allclose(y[p, :-1], expected[:-1], atol=1e-5)
        np.testing.assert_allclose(prompts.targets[p], expected[-1], atol=1e-5)
        np.testing.assert_array_equal(y[p, -1], 0)


def test_masking_the_query_leaves_its_target_alone() -> None:
    prompts = prompts_of(sample_task(stream(1, "task"), 1, D_X))
    assert np.count_nonzero(prompts.targets) == 500
    prompts.tokens[:] = 0
    assert np.count_nonzero(prompts.targets) == 500


def test_x_is_uniform() -> None:
    """88,000 entries: mean and variance of U(−1, 1) within 4 standard errors, and its range."""
    x = prompts_of(sample_task(stream(1, "task"), 1, D_X)).tokens[..., :D_X].astype(float)
    assert abs(x.mean()) < 4 * np.sqrt(1 / 3 / x.size)
    assert abs((x**2).mean() - 1 / 3) < 4 * np.sqrt((1 / 5 - 1 / 9) / x.size)
    assert -1 <= x.min() < -0.999
    assert 0.999 < x.max() <= 1


def test_tasks_are_normal() -> None:
    """22,000 entries: mean and variance of N(0, 1) within 4 standard errors, and its tails."""
    task = sample_task(stream(1, "task"), 2, D_X, 1000).astype(float)
    assert abs(task.mean()) < 4 / np.sqrt(task.size)
    assert abs((task**2).mean() - 1) < 4 * np.sqrt(2 / task.size)
    assert 0.0455 * 0.85 < (np.abs(task) > 2).mean() < 0.0455 * 1.15


def test_prompts_and_tasks_differ_from_each_other() -> None:
    tasks = sample_task(stream(1, "task"), 1, D_X, 50)
    assert len({t.tobytes() for t in tasks}) == 50
    tokens = prompts_of(tasks[:1], 50).tokens
    assert len({token.tobytes() for token in tokens[..., :D_X].reshape(-1, D_X)}) == 50 * 16


def test_settings_pair_their_shared_tasks() -> None:
    """One W for each run, whatever the setting; the prompts of another setting are its own."""
    shape = {"seed": 1, "setting": "a", "tasks": "shared", "demonstrations": 7, "d_x": 4, "d_y": 2}
    longer = shape | {"setting": "b", "demonstrations": 9}
    W, prompts = sample_part(shape, 0, "train", 3)
    W_longer, others = sample_part(longer, 0, "test", 5)
    np.testing.assert_array_equal(W, W_longer)
    assert not np.isin(prompts.tokens[..., :4], others.tokens[..., :4]).any()
    assert not np.isin(W, sample_part(shape, 1, "train", 3)[0]).any()

    apart = {"tasks": "per_prompt"}
    own = sample_part(shape | apart, 0, "train", 3)[0]
    for other in (sample_part(longer | apart, 0, "train", 3)[0], W):
        assert not np.isin(own, other).any()
