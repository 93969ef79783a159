"""Damaged, foreign and outdated files: told by name, never drawn."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
import yaml

from icl_contrastive.artifacts.files import (
    DamagedArtifactError,
    OtherArtifactError,
    load_table,
    load_tensors,
)
from icl_contrastive.artifacts.manifest import EditedArtifactError, write_manifest
from icl_contrastive.artifacts.verify import verify
from icl_contrastive.config import ConfigError, check_file, read_experiment

from ..project import ROOT, Project
from .running import Folder

ARTIFACTS = (
    "data/n31.safetensors",
    "pretrained/n31/softmax.safetensors",
    "pretrained/n15/augmented_g2.safetensors",
    "equivalence/n31/softmax.safetensors",
    "training_length/n15.safetensors",
)
TABLES = ("pretraining", "equivalence", "approximation", "matrices", "controls")


def positions(size: int, count: int, seed: int) -> list[int]:
    """Places in a file: half of them in its first 400 bytes, where headers are."""
    rng = random.Random(seed)
    first = [rng.randrange(min(400, size)) for _ in range(count // 2)]
    return first + [rng.randrange(size) for _ in range(count - len(first))]


def flipped(whole: bytes, position: int, bit: int) -> bytes:
    damaged = bytearray(whole)
    damaged[position] ^= 1 << bit
    return bytes(damaged)


@pytest.mark.fault("A cut, a flipped bit or nothing at all in a safetensors file")
def test_damaged_tensors(smoke: Project, tmp_path: Path) -> None:
    for artifact in ARTIFACTS:
        whole = (smoke.root / "results" / artifact).read_bytes()
        damages = [whole[:cut] for cut in positions(len(whole), 19, 1)] + [b""]
        damages += [flipped(whole, at, at % 8) for at in positions(len(whole), 60, 2)]
        for damage in damages:
            path = tmp_path / "x.safetensors"
            path.write_bytes(damage)
            with pytest.raises(DamagedArtifactError, match=r"x\.safetensors is damaged.*run again"):
                load_tensors(path)


@pytest.mark.fault("A cut or nothing at all in a table")
def test_cut_tables(smoke: Project, tmp_path: Path) -> None:
    """Anywhere but at the end of a row."""
    for name in TABLES:
        whole = (smoke.root / "results/tables" / f"{name}.csv").read_bytes()
        cuts = [at for at in positions(len(whole), 60, 3) if whole[at - 1 : at] != b"\n"][:39]
        for damage in [whole[:at] for at in cuts] + [b""]:
            path = tmp_path / "x.csv"
            path.write_bytes(damage)
            with pytest.raises(DamagedArtifactError, match=r"x\.csv is damaged.*run again"):
                load_table(path)


@pytest.fixture
def listed(smoke: Project, tmp_path: Path) -> Path:
    """Results of which only the manifest and what a test puts there are left."""
    folder = tmp_path / "results"
    (folder / "tables").mkdir(parents=True)
    shutil.copy2(smoke.root / "results/manifest.json", folder)
    return folder


def put(smoke: Project, listed: Path, name: str, contents: bytes) -> Path:
    """Put a damaged table there, which `make verify` and the manifest's job must name."""
    path = listed / "tables" / f"{name}.csv"
    path.write_bytes(contents)
    assert verify(listed).damaged == [f"tables/{name}.csv"]
    with pytest.raises(EditedArtifactError, match=rf"tables/{name}\.csv"):
        write_manifest(listed / "manifest.json", [path], smoke.root / "results/logs/tables")
    return path


@pytest.mark.fault("A table cut at the end of a row")
def test_tables_without_their_last_rows(smoke: Project, listed: Path) -> None:
    rng = random.Random(8)
    for name in TABLES:
        whole = (smoke.root / "results/tables" / f"{name}.csv").read_bytes()
        rows = whole.splitlines(keepends=True)
        for count in rng.choices(range(2, len(rows)), k=10):  # the header and one row or more
            path = put(smoke, listed, name, b"".join(rows[:count]))
            assert len(load_table(path)) < len(rows) - 1
            path.unlink()


@pytest.mark.fault("A flipped bit in a table")
def test_flipped_bits_in_tables(smoke: Project, listed: Path) -> None:
    """Found, or a table with another field, as an edit by hand would leave it."""
    found = unseen = 0
    for name in TABLES:
        path = smoke.root / "results/tables" / f"{name}.csv"
        whole, right = path.read_bytes(), load_table(path)
        for at in positions(len(whole), 40, 6):
            damaged = put(smoke, listed, name, flipped(whole, at, at % 8))
            try:
                table = load_table(damaged, map(str, right))
            except (DamagedArtifactError, OtherArtifactError):
                found += 1
            else:
                assert not table.equals(right)
                unseen += 1
            damaged.unlink()
    assert found
    assert unseen


@pytest.mark.fault("A cut, a flipped bit or nothing at all in config.yaml")
def test_damaged_config(tmp_path: Path) -> None:
    """Either refused in words, or a sound config, which is another experiment's."""
    whole = (ROOT / "config.yaml").read_bytes()
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text("utf-8"))
    right = read_experiment(yaml.safe_load(whole), schema).config
    damages = [whole[:cut] for cut in positions(len(whole), 19, 4)] + [b""]
    damages += [flipped(whole, at, at % 8) for at in positions(len(whole), 60, 5)]
    refused = changed = 0
    lines: list[str] = []
    for damage in damages:
        path = tmp_path / "config.yaml"
        path.write_bytes(damage)
        try:
            check_file(path)
            experiment = read_experiment(yaml.safe_load(damage) or {}, schema)
        except ConfigError as error:
            refused += 1
            lines += error.problems
        else:
            changed += experiment.config != right
    assert refused > changed  # and the rest was in comments
    assert refused > len(damages) / 2
    assert all(": " in line for line in lines)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(flipped(whole, len(whole) // 2, 3))


@pytest.mark.fault("A damaged artifact in the middle of the pipeline")
def test_damage_in_the_middle(finished: Folder, whole: Folder) -> None:
    """What hangs on it is told what to do; doing it gives the same bytes."""
    for artifact, damage, target in (
        ("data/n31.safetensors", flip, "results/pretrained/n31/softmax.safetensors"),
        ("equivalence/n31/softmax.safetensors", empty, "figure_8"),
        ("tables/matrices.csv", cut, "figure_6"),
    ):
        path = finished.path(artifact)
        damage(path)
        run = finished.run(target)
        assert run.returncode == 1
        log = "".join(p.read_text("utf-8") for p in finished.path("logs").rglob("*.log"))
        assert f"error: results/{artifact} is damaged (" in log
        assert "delete it and run again to make it anew" in log
        finished.holds_nothing_but(whole, artifact)
        path.unlink()
        finished.make(f"results/{artifact}", target)
        finished.holds_nothing_but(whole)
