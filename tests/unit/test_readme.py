"""The worked examples of README.md and of the pages in workflow/docs do what these say."""

import copy
import importlib.util
import re
from pathlib import Path

import pytest
import torch
import yaml
from snakemake.utils import update_config

from icl_contrastive import variants
from icl_contrastive.attention import Weights
from icl_contrastive.claims import read_claims
from icl_contrastive.config import ConfigError, jobs, read_experiment
from icl_contrastive.descent import descend
from icl_contrastive.dual import dual_problem
from icl_contrastive.features.base import ExponentialFeatures
from icl_contrastive.prediction import predict
from icl_contrastive.variants import Variant

from ..project import ROOT, block
from .processes import python

DOCS = ROOT / "workflow/docs"
EXTENDING = "workflow/docs/extending.md"


@pytest.fixture
def damped(tmp_path: Path) -> type[Variant]:
    path = tmp_path / "damped.py"
    path.write_text(block("variant", EXTENDING), encoding="utf-8")
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


def test_worked_example_is_called_what_the_page_says(damped: type[Variant]) -> None:
    label = damped().label
    assert label == "damped, γ = 0.5"
    assert f"`{label}`" in (ROOT / EXTENDING).read_text(encoding="utf-8")


def test_the_config_takes_the_worked_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "damped.py").write_text(block("variant", EXTENDING), encoding="utf-8")
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


def test_the_files_that_override_the_config_are_accepted() -> None:
    """And a removed part that something else names is not, as the page says."""
    base, schema = (
        yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
        for name in ("config.yaml", "workflow/schemas/config.schema.yaml")
    )
    page = (DOCS / "config.md").read_text(encoding="utf-8")
    for example in (
        block("override", "config/README.md"),
        *re.findall(r"`([^`\n]*: \{\w+: null\})`", page),
    ):
        config = copy.deepcopy(base)
        update_config(config, yaml.safe_load(example))
        assert "cosine" not in read_experiment(config, schema, base).figures
    config = copy.deepcopy(base)
    config["variants"]["softmax_elu"] = None
    with pytest.raises(ConfigError, match=r"families\.trained\.variants"):
        read_experiment(config, schema, base)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "page"), [("own-layer", "README.md"), ("mathematics", "workflow/docs/reuse.md")]
)
def test_mathematics_of_ones_own(name: str, page: str) -> None:
    python("-c", block(name, page), OMP_NUM_THREADS="1")


def test_the_list_of_claims_takes_the_worked_example() -> None:
    entries = yaml.safe_load((ROOT / "workflow/claims.yaml").read_text(encoding="utf-8"))
    entries["claims"] += yaml.safe_load(block("claim", EXTENDING))
    claim = read_claims(entries)[1][-1]
    assert "k = 5" in claim.claim
    config, schema = (
        yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
        for name in ("config.yaml", "workflow/schemas/config.schema.yaml")
    )
    wanted = {"k": 5, "beta": 0.1, "form": "section_5.5"}
    variants = read_experiment(config, schema).variants.values()
    assert any(wanted.items() <= variant.model.items() for variant in variants)


PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("config/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Of a page to files of the project, and to headings of its other pages."""
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        name, _, heading = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {title.lower().replace(" ", "-") for title in titles}, target


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_every_page_says_first_for_whom_it_is(page: Path) -> None:
    title, _, first, *_ = page.read_text(encoding="utf-8").splitlines()
    assert title.startswith("# ")
    assert first.startswith("For whoever")
