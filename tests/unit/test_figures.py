"""The figures: drawn from synthetic tables, without running the pipeline."""

import csv
import importlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterable
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

from icl_contrastive.figures import common, heatmap, style
from icl_contrastive.figures.common import Table
from icl_contrastive.figures.curves import draw_curve

from .synthetic import (
    AUGMENTED,
    CONFIGS,
    FIGURES,
    NEGATIVE,
    TABLES,
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
    inputs = {name: common.read_table(name, paths[key]) for name, key in TABLES[figure].items()}
    result = module.draw(common.read_config(json.dumps(CONFIGS[figure])), **inputs)
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
    common.main(importlib.import_module(f"icl_contrastive.figures.{figure}").draw, command_line)


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


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("figure", FIGURES)
def test_texts_lie_inside_the_figure_and_apart(figure: str, tables: dict[str, Path]) -> None:
    with style.applied():
        drawn = draw(figure, tables)
        texts = drawn_texts(drawn)
    assert texts
    width, height = drawn.bbox.width, drawn.bbox.height
    for text, box in texts:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        assert inside, f"{text!r} is cut off"
    for (one, first), (other, second) in itertools.combinations(texts, 2):
        common_width = min(first.x1, second.x1) - max(first.x0, second.x0)
        common_height = min(first.y1, second.y1) - max(first.y0, second.y0)
        # A pixel of the box's own padding does not count.
        assert min(common_width, common_height) <= 1.0, f"{one!r} lies on {other!r}"


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


@pytest.mark.parametrize("figure", FIGURES)
def test_widths_are_those_of_the_page(figure: str, tables: dict[str, Path]) -> None:
    with style.applied():
        width, height = draw(figure, tables).get_size_inches()
    assert width in (style.COLUMN_WIDTH, style.PAGE_WIDTH)
    assert height <= 5.0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("figure", FIGURES)
def test_two_runs_write_the_same_bytes(
    figure: str, tables: dict[str, Path], tmp_path: Path
) -> None:
    contents = []
    for attempt in ("one", "two"):
        outputs = [tmp_path / attempt / f"{figure}.{suffix}" for suffix in ("pdf", "png")]
        run(figure, arguments(figure, tables, outputs))
        contents.append([path.read_bytes() for path in outputs])
        assert sorted(outputs[0].parent.iterdir()) == sorted(outputs)
    assert contents[0] == contents[1]
    pdf, png = contents[0]
    assert pdf.startswith(b"%PDF")
    assert b"CreationDate" not in pdf
    assert png.startswith(b"\x89PNG")
    # Fonts are TrueType (type 42 is CIDFontType2 in a PDF), none is drawn as type 3.
    assert b"/CIDFontType2" in pdf
    assert b"/Type3" not in pdf


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
                *(sys.executable, "-m", "icl_contrastive.figures.figure_4"),
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
    with pytest.raises(SystemExit, match="rows are missing"):
        draw_curve(axes, Table(Path("table.csv"), rows[1:]), "epoch", "error", "run", color="k")
    axes.set_yscale("log")
    with pytest.raises(ValueError, match="logarithmic already"):
        draw_curve(axes, Table(Path("table.csv"), rows), "epoch", "error", "run", color="k")


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
    with pytest.raises(SystemExit, match=complaint) as caught:
        common.read_table("diagram", path)
    assert str(path) in str(caught.value)


def test_an_absent_table_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: .*absent\.csv does not exist"):
        common.read_table("diagram", tmp_path / "absent.csv")


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
    with pytest.raises(SystemExit, match=complaint) as caught:
        common.read_table("diagram", path).matrix(matrix="H")
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


def test_an_unknown_format_is_reported(
    tables: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run("figure_6", arguments("figure_6", tables, [tmp_path / "figure.gif"]))
    assert "neither in .pdf nor in .png" in capsys.readouterr().err


def test_a_failed_save_leaves_the_old_files(tmp_path: Path) -> None:
    """A figure that cannot be rendered in one format replaces none of its files."""
    path = tmp_path / "figure.pdf"
    path.write_text("old")
    figure = Figure()
    figure.text(0.5, 0.5, r"$\nosuchsymbol$")
    with pytest.raises(ValueError, match="nosuchsymbol"):
        common.save(figure, [path], {})
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_tables_are_read_to_the_last_bit(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal(1000) * 10.0 ** np.arange(-10, 10, 0.02)
    path = write(
        tmp_path / "diagram.csv",
        "matrix,row,column,value",
        (["H", row, 0, repr(float(value))] for row, value in enumerate(values)),
    )
    matrix = common.read_table("diagram", path).matrix(matrix="H")
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
    assert common.scientific(value) == text


def test_color_scales_keep_small_entries_apart_and_zero_in_the_middle() -> None:
    matrix = np.array([[-4.0, 0.0, 0.04, 1.0]])
    np.testing.assert_allclose(heatmap.signed_scale(matrix)(matrix), [[0.0, 0.5, 0.55, 0.75]])
    positive = np.abs(matrix)
    np.testing.assert_allclose(heatmap.positive_scale(positive)(positive), [[1.0, 0.0, 0.1, 0.5]])
    zeros = np.zeros((2, 2))
    np.testing.assert_array_equal(heatmap.signed_scale(zeros)(zeros), np.full((2, 2), 0.5))
