"""The README's worked example of a variant does what the README says."""

import importlib.util
import re
import textwrap
from pathlib import Path

import pytest
import torch

from icl_contrastive.attention import Weights, predict
from icl_contrastive.dual import descend, dual_problem
from icl_contrastive.features.base import ExponentialFeatures
from icl_contrastive.variants import Variant

from .processes import python

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def damped(tmp_path: Path) -> type[Variant]:
    text = README.read_text(encoding="utf-8")
    block = re.search(r"<!-- variant:begin -->\s*```python\n(.*?)```", text, re.DOTALL)
    assert block is not None
    path = tmp_path / "damped.py"
    path.write_text(textwrap.dedent(block[1]), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("damped", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kind: type[Variant] = module.Damped
    return kind


@pytest.mark.parametrize("gamma", [0.5, 0.0, -1.0])
def test_worked_example_is_exact(damped: type[Variant], gamma: float) -> None:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    weights = Weights(normal(5, 5) / 2, normal(5, 5) / 2, normal(5, 5))
    features = ExponentialFeatures(normal(40, 5), torch.zeros(40, dtype=torch.float64))
    tokens = normal(8, 7, 5)
    variant = damped(gamma=gamma)  # type: ignore[call-arg]
    output = predict(weights, tokens, variant, features)
    plain = predict(weights, tokens, damped(gamma=1.0), features)  # type: ignore[call-arg]
    problem = dual_problem(weights, tokens, features)
    reference = descend(problem, variant, "single_sample", epochs=3).prediction
    torch.testing.assert_close(reference, output, rtol=1e-10, atol=1e-12)
    share = problem.query_attention[:, None] * problem.query_value
    torch.testing.assert_close(output, plain - (1 - gamma) * share, rtol=1e-10, atol=1e-12)


def test_mathematics_of_ones_own() -> None:
    text = README.read_text(encoding="utf-8")
    block = re.search(r"<!-- mathematics:begin -->\s*```python\n(.*?)```", text, re.DOTALL)
    assert block is not None
    python("-c", block[1])
