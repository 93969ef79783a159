"""The README's worked example of a variant does what the README says."""

import importlib.util
import re
import textwrap
from pathlib import Path

import pytest
import torch
import yaml

from icl_contrastive import variants
from icl_contrastive.attention import Weights
from icl_contrastive.config import ConfigError, jobs, read_experiment
from icl_contrastive.descent import descend
from icl_contrastive.dual import dual_problem
from icl_contrastive.features.base import ExponentialFeatures
from icl_contrastive.prediction import predict
from icl_contrastive.variants import Variant

from .processes import python

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def block(name: str) -> str:
    """A block of code of the README, between comments that name it."""
    text = README.read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name}:begin -->\s*?\n( *```\w+\n.*?)```", text, re.DOTALL)
    assert found is not None, name
    return textwrap.dedent(found[1]).partition("\n")[2]


@pytest.fixture
def damped(tmp_path: Path) -> type[Variant]:
    path = tmp_path / "damped.py"
    path.write_text(block("variant"), encoding="utf-8")
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


def test_worked_example_is_called_what_the_readme_says(damped: type[Variant]) -> None:
    label = damped().label
    assert label == "damped, γ = 0.5"
    assert f"`{label}`" in README.read_text(encoding="utf-8")


def test_the_config_takes_the_worked_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "damped.py").write_text(block("variant"), encoding="utf-8")
    monkeypatch.setattr(variants, "__path__", [*variants.__path__, str(tmp_path)])
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config["variants"]["damped"] = {"model": "damped", "learning_rate": 0.003, "settings": ["n15"]}
    schema = yaml.safe_load(
        (ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8")
    )
    experiment = read_experiment(config, schema)
    assert experiment.variants["damped"].model == {"model": "damped", "gamma": 0.5}
    config["figures"]["figure_5"]["augmented"]["variants"].append("damped")
    shown = jobs.figure(read_experiment(config, schema), "figure_5")
    assert shown["augmented"]["variants"][-1]["variant"] == "damped"
    config["variants"]["damped"]["gama"] = 1
    with pytest.raises(ConfigError, match=r"variants\.damped\.gama"):
        read_experiment(config, schema)


def test_mathematics_of_ones_own() -> None:
    python("-c", block("mathematics"))
