"""The example of workflow/docs/reuse.md for the mathematics of one's own layer."""

import runpy
from typing import Any

import numpy as np
import pytest
import torch

from ..project import block


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the example ends with, by name."""
    path = tmp_path_factory.mktemp("reuse") / "example.py"
    path.write_text(block("errors", "workflow/docs/reuse.md"), encoding="utf-8")
    return runpy.run_path(str(path))


def test_the_errors_are_those_of_every_head(example: dict[str, Any]) -> None:
    """The same from φ itself, prompt by prompt and head by head."""
    keys, queries, phi = (example[name] for name in ("keys", "queries", "features"))
    squared, absolute = [], []
    for prompt in range(example["prompts"]):
        for head in range(example["heads"]):
            k, q = keys[prompt, head], queries[prompt, head]
            estimate, exact = phi(k) @ phi(q).T, torch.exp(k @ q.T)
            error = estimate / estimate.sum(0) - exact / exact.sum(0)
            squared.append(float((error**2).mean()))
            absolute.append(float(error.abs().mean()))
    assert example["errors"].mse == pytest.approx(np.mean(squared), rel=1e-10)
    assert example["errors"].mae == pytest.approx(np.mean(absolute), rel=1e-10)


def test_the_deviation_is_that_of_many_draws(example: dict[str, Any]) -> None:
    family, statistics = example["family"], example["statistics"]
    keys, queries = example["keys"][0, 0], example["queries"][0, 0]
    rng = np.random.default_rng(1)
    ratios = []
    for _ in range(2000):
        drawn = family.draw(rng, example["d_h"], example["d_r"], statistics)
        phi = family.feature_map({n: torch.from_numpy(a).double() for n, a in drawn.items()})
        ratios.append((phi(keys) @ phi(queries).T / torch.exp(keys @ queries.T)).numpy())
    expected = example["deviation"][0, 0]
    mild = expected <= np.quantile(expected, 0.1)  # of others, the tails are too heavy
    assert np.std(ratios, axis=0)[mild] == pytest.approx(expected[mild], rel=0.2)
