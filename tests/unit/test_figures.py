"""The figures: drawn from synthetic tables, without running the pipeline."""

import csv
import importlib
import itertools
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from icl_contrastive.artifacts.files import ArtifactError
from icl_contrastive.artifacts.tables import Table, read_table
from icl_contrastive.command import read_config
from icl_contrastive.figures import heatmap, style
from icl_contrastive.figures.command import main, save
from icl_contrastive.figures.curves import draw_curve
from icl_contrastive.figures.wording import scientific
from icl_contrastive.variants import Variant

from .synthetic import (
    AUGMENTED,
    CONFIGS,
    FIGURES,
    LAWS,
    NEGATIVE,
    TABLES,
    compared,
    regularized,
    write,
    write_tables,
)


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tables")
    return write_tables(folder, runs=3, prompts=3, repeats=8, epochs=12)


@pytest.fixture(scope="session")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("smallest")
    return write_tables(folder, runs=1, prompts=1, repeats=1, epochs=1)


def draw(figure: str, paths: dict[str, Path]) -> Figure:
    module = importlib.import_module(f"icl_contrastive.figures.{figure}")
    inputs = {name: read_table(name, paths[key]) for name, key in TABLES[figure].items()}
    result = module.draw(read_config(json.dumps(CONFIGS[figure])), **inputs)
    assert isinstance(result, Figure)
    return result


def arguments(
    figure: str,
    paths: dict[str, Path],
    outputs: Iterable[Path],
    config: dict[str, Any] | None = None,
) -> list[str]:
    """The command line of one figure."""
    options = [
        part for name, key in TABLES[figure].items() for part in (f"--{name}", str(paths[key]))
    ]
    text = json.dumps(CONFIGS[figure] if config is None else config)
    return ["--config", text, *options, "--output", *map(str, outputs)]


def run(figure: str, command_line: list[str]) -> None:
    main(importlib.import_module(f"icl_contrastive.figures.{figure}").draw, command_line)


class TextRecorder(RendererAgg):
    """A renderer that remembers every text it draws."""

    def __init__(self, figure: Figure) -> None:
        super().__init__(figure.bbox.width, figure.bbox.height, figure.dpi)  # type: ignore[no-untyped-call]
        self.texts: list[Text] = []

    def draw_text(self, *args: Any, **options: Any) -> None:
        if options.get("mtext") is not None:
            self.texts.append(options["mtext"])
        super().draw_text(*args, **options)  # type: ignore[no-untyped-call]


def drawn_texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """Every text on the figure with its box in pixels."""
    FigureCanvasAgg(figure)
    renderer = TextRecorder(figure)
    figure.draw(renderer)
    return [(text.get_text(), text.get_window_extent(renderer)) for text in renderer.texts]


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_is_as_wide_as_the_page_and_its_texts_lie_inside_and_apart(
    figure: str, tables: dict[str, Path]
) -> None:
    with style.applied():
        drawn = draw(figure, tables)
        texts = drawn_texts(drawn)
    inches, height = drawn.get_size_inches()
    assert inches in (style.COLUMN_WIDTH, style.PAGE_WIDTH)
    assert height <= 5.0
    assert texts
    width, height = drawn.bbox.width, drawn.bbox.height
    for text, box in texts:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        assert inside, f"{text!r} is cut off"
    assert not overlaps(texts)


def overlaps(texts: list[tuple[str, Bbox]]) -> list[tuple[str, str]]:
    """The texts that lie on each other."""
    found = []
    for (one, first), (other, second) in itertools.combinations(texts, 2):
        common_width = min(first.x1, second.x1) - max(first.x0, second.x0)
        common_height = min(first.y1, second.y1) - max(first.y0, second.y0)
        if min(common_width, common_height) > 1.0:  # a pixel of the box's own padding
            found.append((one, other))
    return found


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("figure", FIGURES)
def test_the_smallest_experiment_can_be_drawn(
    figure: str, smallest: dict[str, Path], tmp_path: Path
) -> None:
    """One run, epoch, prompt and repeat, and a single variant in each group."""
    config = CONFIGS[figure]
    if figure == "figure_5":
        config = config | {
            "regularized": config["regularized"]
            | {form: regularized(form)[-1:] for form in ("eq15", "eq14")},
            "augmented": config["augmented"] | {"variants": AUGMENTED[:1]},
            "negative": config["negative"] | {"variants": NEGATIVE[:1]},
        }
    output = tmp_path / "figure.png"
    run(figure, arguments(figure, smallest, [output], config))
    assert output.stat().st_size > 0


def test_a_single_epoch_is_a_point(smallest: dict[str, Path]) -> None:
    """Else a line of one point is drawn, which cannot be seen."""
    for figure in ("figure_5", "multitask", "training_length"):
        with style.applied():
            axes = draw(figure, smallest).axes
        single = [line for one in axes for line in one.lines if len(line.get_xdata()) == 1]  # type: ignore[arg-type]
        assert single
        assert all(line.get_marker() not in ("None", "", None) for line in single)


def figure_5(tables: dict[str, Path], **panels: Any) -> Figure:
    """Figure 5 with other variants in some panels."""
    config = CONFIGS["figure_5"]
    for panel, places in panels.items():
        config = config | {panel: config[panel] | places}
    module = importlib.import_module("icl_contrastive.figures.figure_5")
    pretraining = read_table("pretraining", tables["pretraining"])
    with style.applied():
        drawn: Figure = module.draw(read_config(json.dumps(config)), pretraining=pretraining)
    return drawn


def legends(figure: Figure) -> list[dict[str, Any]]:
    """Looks by name, for each panel that has a legend."""
    found = [axes.get_legend() for axes in figure.axes]
    return [
        {
            text.get_text(): (line.get_color(), vars(line)["_unscaled_dash_pattern"])
            for text, line in zip(one.get_texts(), one.get_lines(), strict=True)
        }
        for one in found
        if one is not None
    ]


def ticks(axes: Any) -> dict[str, int]:
    """Labels below the dots, with how many runs there are above each."""
    labels = [label.get_text() for label in axes.get_xticklabels()]
    places = [line.get_xdata() for line in axes.lines if line.get_linestyle() == "None"]
    return {
        label: sum(int((abs(xs - place) < 0.5).sum()) for xs in places)
        for place, label in enumerate(labels)
    }


@pytest.mark.slow
def test_the_base_is_in_every_legend_of_figure_5(tables: dict[str, Path]) -> None:
    left, *others = legends(figure_5(tables))
    assert len(others) == 2
    assert left[r"$\alpha = 0$"] == others[0]["none"] == others[1]["none"]


def test_the_forms_of_figure_5_keep_their_markers_with_an_alpha_each(
    tables: dict[str, Path],
) -> None:
    one, other = regularized("eq15")[:1], regularized("eq14")[-1:]
    drawn = figure_5(tables, regularized={"eq15": one, "eq14": other})
    finals = [axes for axes in drawn.axes if axes.get_xlabel() == r"$\alpha$"]
    dots = [line for line in finals[0].lines if line.get_linestyle() == "None"]
    assert [line.get_marker() for line in dots] == ["o", "o", "D"]  # base, Eq. 15, Eq. 14


@pytest.mark.slow
def test_no_two_variants_of_figure_5_share_a_tick_or_a_look(tables: dict[str, Path]) -> None:
    slower = NEGATIVE[0] | {"variant": "negative_k3_beta0.1"}
    drawn = figure_5(
        tables,
        augmented={"variants": [cell | {"variant": "augmented_g1"} for cell in AUGMENTED[:2] * 6]},
        negative={"variants": [NEGATIVE[0], slower]},
    )
    finals = {axes.get_xlabel(): ticks(axes) for axes in drawn.axes}
    assert finals[r"$k$, $\beta$"] == {"none": 3, NEGATIVE[0]["variant"]: 3, slower["variant"]: 3}
    betas = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    many = [
        compared("negative_k1_beta0.1", 0.005, model="negative", form="section_5.5", k=1, beta=beta)
        for beta in betas
    ]
    with_many = legends(figure_5(tables, negative={"variants": many}))[-1]
    assert len(set(with_many.values())) == len(with_many) == 1 + len(betas)


def test_a_model_of_one_s_own_has_a_panel_and_its_label(
    tables: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True)
    class Damped(Variant):
        gamma: float = -0.5

    module = importlib.import_module("icl_contrastive.figures.figure_5")
    known = module.build_variant
    monkeypatch.setattr(
        module, "build_variant", lambda model: Damped() if "gamma" in model else known(model)
    )
    own = compared("augmented_g2", 0.005, model="damped", gamma=-0.5)
    drawn = figure_5(tables, augmented={"variants": [AUGMENTED[0], own]})
    texts = drawn_texts(drawn)
    shown = [text for text, _ in texts]
    assert {"other models", "augmented-model and others", "variant"} <= set(shown)
    assert shown.count("damped, γ = −0.5") == 2  # legend and tick
    assert all(box.y0 >= 0 for _, box in texts)


@pytest.mark.slow
def test_many_variants_and_settings_have_room(tables: dict[str, Path], tmp_path: Path) -> None:
    grid = [
        compared("negative_eq18", 0.005, model="negative", form="section_5.5", k=k, beta=beta)
        for k in range(1, 8)
        for beta in (0, 0.1, 0.2, 0.3)
    ]
    drawn = [figure_5(tables, negative={"variants": grid})]
    for figure in ("training_length", "controls"):
        others = {}
        for table in TABLES[figure].values():
            rows = pd.read_csv(tables[table])
            one = rows[rows["setting"] == "n15"]
            others[table] = tmp_path / f"{table}.csv"
            many = [one.assign(setting=f"a_long_name_of_a_setting_{i}") for i in range(6)]
            pd.concat(many).to_csv(others[table], index=False)
        with style.applied():
            drawn.append(draw(figure, tables | others))
    for shown in drawn:
        with style.applied():
            texts = [(text, box) for text, box in drawn_texts(shown) if text]
        assert not overlaps(texts)
        assert all(box.x0 >= 0 and box.x1 <= shown.bbox.width for _, box in texts)


@pytest.mark.parametrize("count", [1, 6, 7, 30])
def test_hues_are_all_different(count: int) -> None:
    assert len(set(style.hues(count))) == count


@pytest.mark.parametrize(
    ("reached", "note"),
    [
        (["at once"], r"$d_r \leq 12$"),
        (["yes"], "$d_r = 12$"),
        (["at once", "yes"], r"$d_r \leq 12$–13"),
        (["yes", "no"], "$d_r = 12$\n(1 of 2)"),
    ],
)
def test_the_features_needed_are_told_as_far_as_they_are_known(
    reached: list[str], note: str, tables: dict[str, Path], tmp_path: Path
) -> None:
    rows = [
        ["n15", matrix, "mse", "sderf", law, one, "" if one == "no" else 12 + index]
        for matrix in ("attention", "output")
        for index, (one, law) in enumerate(zip(reached, LAWS, strict=False))
    ]
    header = "setting,matrix,error,family,projection,reached,d_r"
    other = write(tmp_path / "needed.csv", header, rows)
    families = pd.read_csv(tables["families"])
    only = write(
        tmp_path / "families.csv",
        ",".join(families.columns),
        families[families["family"].isin(["sderf"])].to_numpy().tolist(),
    )
    inputs = {"families": only, "family_requirements": other}
    theory = pd.read_csv(tables["family_closed_forms"]).assign(mse="")  # none is known
    unknown = theory.to_numpy().tolist()
    inputs["family_closed_forms"] = write(tmp_path / "none.csv", ",".join(theory.columns), unknown)
    config = {"setting": "n15", "features": {"family": "sderf", "d_r": 1200}}
    module = importlib.import_module("icl_contrastive.figures.families")
    with style.applied():
        drawn = module.draw(
            read_config(json.dumps(config)),
            **{name: read_table(name, path) for name, path in inputs.items()},
        )
    notes = [text.get_text() for axes in drawn.axes for text in axes.texts]
    assert notes == [f"target at\n{note}"] * 2
    assert {line.get_linestyle() for line in drawn.axes[0].lines} == {"None"}


def test_ticks_lie_apart_over_a_short_sweep(
    tables: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CONFIGS, "figure_3", CONFIGS["figure_3"] | {"d_r": 96})
    rows = pd.read_csv(tables["approximation"])
    short = rows[rows["d_r"].between(12, 192)]
    path = tmp_path / "approximation.csv"
    short.to_csv(path, index=False)
    with style.applied():
        drawn = draw("figure_3", tables | {"approximation": path})
        texts = [(text, box) for text, box in drawn_texts(drawn) if text]
    assert not overlaps(texts)


@pytest.mark.filterwarnings("error")
@pytest.mark.slow
def test_bytes_do_not_depend_on_the_process(tables: dict[str, Path], tmp_path: Path) -> None:
    """Hash seed, time zone, locale and the user's own matplotlib settings change nothing."""
    (tmp_path / "matplotlibrc").write_text("font.size: 20\naxes.grid: True\n")
    contents = []
    for number, environment in enumerate(
        (
            {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C"},
            {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo", "MATPLOTLIBRC": str(tmp_path)},
        )
    ):
        outputs = [tmp_path / f"{number}.{suffix}" for suffix in ("pdf", "png")]
        subprocess.run(
            [
                *(sys.executable, "-m", "icl_contrastive.figures", "figure_4"),
                *arguments("figure_4", tables, outputs),
            ],
            env=os.environ | environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
        )
        contents.append([path.read_bytes() for path in outputs])
    assert contents[0] == contents[1]


def test_a_curve_is_the_median_between_the_quartiles() -> None:
    rng = np.random.default_rng(0)
    values = rng.lognormal(size=(7, 3))
    index = [(run, epoch) for run in range(7) for epoch in (1, 2, 3)]
    rows = pd.DataFrame(index, columns=["run", "epoch"]).assign(error=values.ravel())
    axes = Figure().subplots()
    draw_curve(axes, Table(Path("table.csv"), rows), "epoch", "error", "run", color="k")
    middle = np.asarray(axes.lines[0].get_ydata(), np.float64)
    np.testing.assert_allclose(middle, np.median(values, axis=0))
    band = np.asarray(axes.collections[0].get_paths()[0].vertices, np.float64)
    low, high = np.quantile(values, (0.25, 0.75), axis=0)
    for epoch in (1, 2, 3):
        heights = band[band[:, 0] == epoch, 1]
        np.testing.assert_allclose(
            [heights.min(), heights.max()], [low[epoch - 1], high[epoch - 1]]
        )
    with pytest.raises(ArtifactError, match="rows are missing"):
        draw_curve(axes, Table(Path("table.csv"), rows[1:]), "epoch", "error", "run", color="k")
    axes.set_yscale("log")
    with pytest.raises(ValueError, match="logarithmic already"):
        draw_curve(axes, Table(Path("table.csv"), rows), "epoch", "error", "run", color="k")


@pytest.mark.slow
def test_no_figure_imports_torch() -> None:
    imports = "; ".join(f"import icl_contrastive.figures.{figure}" for figure in FIGURES)
    code = f"import sys; {imports}; print('torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert result.stdout.strip() == "False"


def test_the_user_s_settings_survive() -> None:
    before = dict(matplotlib.rcParams)
    with style.applied():
        assert matplotlib.rcParams["pdf.fonttype"] == 42
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("figure", "option"), [(figure, option) for figure in FIGURES for option in TABLES[figure]]
)
def test_a_missing_column_is_reported_with_its_file(
    figure: str, option: str, tables: dict[str, Path], tmp_path: Path
) -> None:
    key = TABLES[figure][option]
    damaged = tmp_path / "damaged.csv"
    with tables[key].open() as file:
        rows = list(csv.reader(file))
    write(damaged, ",".join(rows[0][:-1]), [row[:-1] for row in rows[1:]])
    output = tmp_path / "figure.pdf"
    with pytest.raises(SystemExit) as caught:
        run(figure, arguments(figure, tables | {key: damaged}, [output]))
    assert str(damaged) in str(caught.value)
    assert repr(rows[0][-1]) in str(caught.value)
    assert not output.exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"matrix,row,column,value\n", "no rows"),
        (b"matrix,row,column,value\nH,0,0,0.5\nH,0,1,0.", "last row is cut off"),
        (b"matrix,row,column,value\nH,0,0,0.5\nH,0\n", "damaged"),
        (b"matrix,row,column,value\nH,0,0,\n", "line 2: the value of 'value' is ''"),
        (
            b"matrix,row,column,value\nH,0,0,0.5\nH,0,1,inf\n",
            "line 3: the value of 'value' is 'inf'",
        ),
        (b"matrix,row,column,value\nH,0,0,much\n", "line 2: the value of 'value'"),
        (b"matrix,row,column,value\nH,0.5,0,1\n", "line 2: the value of 'row' is '0.5'"),
        (b"matrix,row,column,value\n,0,0,1\n", "line 2: the value of 'matrix' is ''"),
        (b"matrix,row,column,value\nH,0,0,0.5,7,8\n", "damaged"),
        (b"\x89PNG\xff\xfe\n", "utf-8"),
    ],
)
def test_a_damaged_table_is_reported_with_its_file(
    content: bytes, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "diagram.csv"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=complaint) as caught:
        read_table("diagram", path)
    assert str(path) in str(caught.value)


def test_an_absent_table_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.csv does not exist"):
        read_table("diagram", tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("H,0,0,1\nH,0,1,2\nH,1,0,3\n", "missing"),
        ("H,0,0,1\nH,0,0,2\n", "several"),
        ("K,0,0,1\n", "no row with matrix = H"),
    ],
)
def test_an_incomplete_matrix_is_reported(rows: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "diagram.csv"
    path.write_text(f"matrix,row,column,value\n{rows}")
    with pytest.raises(ArtifactError, match=complaint) as caught:
        read_table("diagram", path).matrix(matrix="H")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("figure", ["figure_3", "figure_4", "figure_5", "multitask"])
def test_a_variant_or_setting_that_is_not_there_is_reported(
    figure: str, tables: dict[str, Path], tmp_path: Path
) -> None:
    config = CONFIGS[figure] | {"setting": "n63"}
    with pytest.raises(SystemExit, match=r"no row with setting = n63.* n15") as caught:
        run(figure, arguments(figure, tables, [tmp_path / "figure.pdf"], config))
    assert ".csv" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("{", "not valid JSON"), ("[1]", "expected a JSON object"), ("{}", "'setting' is missing")],
)
def test_a_bad_config_is_reported(
    text: str, complaint: str, tables: dict[str, Path], tmp_path: Path
) -> None:
    command_line = arguments("figure_6", tables, [tmp_path / "figure.pdf"])
    command_line[1] = text
    with pytest.raises(SystemExit, match=complaint):
        run("figure_6", command_line)


@pytest.mark.parametrize("name", ["", "figure_11", "../style"])
def test_a_figure_that_there_is_not_is_reported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["", name])
    with pytest.raises(SystemExit, match=f"there is no figure '{name}'"):
        runpy.run_module("icl_contrastive.figures", run_name="__main__")


def test_a_figure_is_a_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["", "figure_6", "--help"])
    with pytest.raises(SystemExit):
        runpy.run_module("icl_contrastive.figures", run_name="__main__")
    told = capsys.readouterr().out
    assert told.startswith("usage: python -m icl_contrastive.figures figure_6 ")
    assert "Figure 6: the exact attention matrix" in told


def test_an_unknown_format_is_reported(tables: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"neither in \.pdf nor in \.png"):
        run("figure_6", arguments("figure_6", tables, [tmp_path / "figure.gif"]))


def test_a_failed_save_leaves_the_old_files(tmp_path: Path) -> None:
    """A figure that cannot be rendered in one format replaces none of its files."""
    path = tmp_path / "figure.pdf"
    path.write_text("old")
    figure = Figure()
    figure.text(0.5, 0.5, r"$\nosuchsymbol$")
    with pytest.raises(ValueError, match="nosuchsymbol"):
        save(figure, [path], {})
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_files_of_a_figure_do_not_depend_on_those_before(tmp_path: Path) -> None:
    figure = Figure()
    figure.add_subplot().imshow(np.eye(50))
    paths = [tmp_path / "one.pdf", tmp_path / "other.pdf", tmp_path / "one.png"]
    save(figure, paths, {})
    first = [path.read_bytes() for path in paths]
    save(figure, paths, {})
    assert [path.read_bytes() for path in paths] == first
    assert first[0] == first[1]


def test_tables_are_read_to_the_last_bit(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal(1000) * 10.0 ** np.arange(-10, 10, 0.02)
    path = write(
        tmp_path / "diagram.csv",
        "matrix,row,column,value",
        (["H", row, 0, repr(float(value))] for row, value in enumerate(values)),
    )
    matrix = read_table("diagram", path).matrix(matrix="H")
    np.testing.assert_array_equal(matrix[:, 0], values)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.25, "0.25"),
        (3.14e-16, r"$3.1\times10^{-16}$"),
        (9.99e-16, r"$1.0\times10^{-15}$"),
        (2e5, r"$2.0\times10^{5}$"),
    ],
)
def test_scientific_notation(value: float, text: str) -> None:
    assert scientific(value) == text


def test_color_scales_keep_small_entries_apart_and_zero_in_the_middle() -> None:
    matrix = np.array([[-4.0, 0.0, 0.04, 1.0]])
    np.testing.assert_allclose(heatmap.signed_scale(matrix)(matrix), [[0.0, 0.5, 0.55, 0.75]])
    positive = np.abs(matrix)
    np.testing.assert_allclose(heatmap.positive_scale(positive)(positive), [[1.0, 0.0, 0.1, 0.5]])
    zeros = np.zeros((2, 2))
    np.testing.assert_array_equal(heatmap.signed_scale(zeros)(zeros), np.full((2, 2), 0.5))
