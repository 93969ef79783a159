"""The report page and its parts: texts, captions, contradictions, provenance."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections import defaultdict
from pathlib import Path

import pandas as pd
import pytest
import yaml

from icl_contrastive.artifacts.files import save_table
from icl_contrastive.config import FIGURES as FILES
from icl_contrastive.config import jobs
from icl_contrastive.figures import wording
from icl_contrastive.report import text
from icl_contrastive.report.captions import caption_numbers, read_claimed, write_caption
from icl_contrastive.report.contradictions import read_contradictions
from icl_contrastive.report.numbers import CaptionNumbers
from icl_contrastive.report.page import (
    VERDICTS,
    Results,
    count_verdicts,
    render,
    tallies,
    tally,
)
from icl_contrastive.report.provenance import Provenance, job_seconds, trace
from icl_contrastive.report.reference import differences, subject

from ..project import FIGURE_TABLES
from .results import CLAIMS, ROOT, TEXTS, write_results
from .synthetic import FIGURES, TABLES, write, write_tables

STATISTICS = {"level": 0.05, "confidence": 0.95}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return write_results(tmp_path_factory.mktemp("results"))


def provenance(results: Results) -> Provenance:
    artifacts = sorted(results.folder.rglob("*.csv"))
    return trace(artifacts, results.folder / "benchmarks", ROOT, results.experiment.config)


@pytest.fixture(scope="module")
def page(results: Results) -> str:
    return render(results, TEXTS, STATISTICS, provenance(results), [])


def words(page: str) -> str:
    """What is to be read on the page."""
    body = re.sub(r"(?s)<(style|script|svg).*?</\1>", "", page)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


# Texts


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (0.2345, "0.23"),
        (-12.34, "−12"),
        (4321.0, "4,321"),
        (3.14e-16, "3.1 × 10⁻¹⁶"),
        (-2e7, "−2.0 × 10⁷"),
        (0.00999, "0.010"),
        (float("nan"), "–"),
    ],
)
def test_numbers(value: float, shown: str) -> None:
    assert wording.number(value) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0, "0 %"), (1, "100 %"), (0.37, "37 %"), (0.0021, "0.21 %"), (0.997, "99.7 %")],
)
def test_shares(share: float, shown: str) -> None:
    assert wording.percent(share) == shown


def test_a_rounded_zero_has_no_sign() -> None:
    assert wording.fixed(-0.001, 2) == "0.00"
    assert wording.fixed(-0.649) == "−0.6490"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(3.2, "4 s"), (89, "89 s"), (600, "10 min"), (5700, "1 h 35 min")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("plain", "shown"),
    [
        ("d_r of h_{N+1}", "<var>d</var><sub>r</sub> of <var>h</var><sub>N+1</sub>"),
        ("regularized_eq14_alpha0.01", "regularized_eq14_alpha0.01"),
        ("at most 1e-10", "at most 10<sup>−10</sup>"),
        ("2.5e+06", "2.5\u00a0×\u00a010<sup>6</sup>"),
        ("-0.6 for 3-5 and a-1", "−0.6 for 3-5 and a-1"),
        ("d_out^(−1/4)", "<var>d</var><sub>out</sub><sup>−1/4</sup>"),
        ("a < b & `x_y`", "a &lt; b &amp; <code>x_y</code>"),
        ("N = 15 is 37 % of it", "N\u00a0=\u00a015 is 37\u00a0% of it"),
    ],
)
def test_mathematical_text(plain: str, shown: str) -> None:
    assert str(text.mathematical(plain)) == shown


# Captions


def paths(results: Results, figure: str) -> dict[str, Path]:
    found = {
        option: results.table(results.experiment.figure_table(figure, option))
        for option in FIGURE_TABLES[figure]
    }
    return found | ({"claims": results.table("claims")} if FILES[figure].quotes_claims else {})


@pytest.mark.parametrize("figure", FIGURES)
def test_a_caption_has_the_numbers_of_the_run_and_the_words_of_the_paper(
    results: Results, figure: str
) -> None:
    experiment = results.experiment
    numbers = caption_numbers(
        figure, jobs.as_json(jobs.figure(experiment, figure)), paths(results, figure)
    )
    assert numbers
    template = (TEXTS / f"{figure}.rst").read_text("utf-8")
    caption = write_caption(template, figure, experiment.config, numbers)
    assert caption.title.endswith((".", "?"))
    assert 60 < len(caption.alt) < 500
    body = words(caption.body)
    assert re.search(r"This run :.*\d.*The paper :", body)
    assert not re.search(r"[*`{}]|\bnan\b|alt:", body)
    # Every number is used, but for those that a figure computes as another one does.
    if figure not in (*("figure_3", "figure_8"), *("figure_4", "figure_9"), "controls"):
        unused = [name for name in numbers if f"n.{name}" not in template]
        assert unused == []


def test_every_figure_has_a_caption() -> None:
    config = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    assert set(config["figures"]) <= set(FIGURE_TABLES)
    assert {path.stem for path in TEXTS.glob("*.rst")} == {*FILES, "claims", "workflow"}


def test_a_caption_has_the_numbers_of_the_scorecard(results: Results, tmp_path: Path) -> None:
    claims = {"quoted_prompt_n15": 0.123, "attention_mse_falls": -0.5, "output_mae_falls": -0.25}
    table = pd.DataFrame([{"id": name, "ours": ours} for name, ours in claims.items()])
    save_table(tmp_path / "claims.csv", table)
    tables = paths(results, "figure_3") | {"claims": tmp_path / "claims.csv"}
    numbers = caption_numbers(
        "figure_3", jobs.as_json(jobs.figure(results.experiment, "figure_3")), tables
    )
    assert numbers["better_than_quoted"] == "12 %"
    assert (numbers["attention_mse_slope"], numbers["output_mae_slope"]) == ("−0.50", "−0.25")
    assert numbers["attention_mae_slope"] == "–"  # no such claim
    absent = tables | {"claims": tmp_path / "absent.csv"}
    numbers = caption_numbers(
        "figure_3", jobs.as_json(jobs.figure(results.experiment, "figure_3")), absent
    )
    assert (numbers["better_than_quoted"], numbers["attention_mse_slope"]) == ("–", "–")


def test_the_scorecard_has_the_claims_that_captions_quote() -> None:
    listed = yaml.safe_load((ROOT / "workflow/claims.yaml").read_text("utf-8"))["claims"]
    slopes = {f"{m}_{e}_falls" for m in ("attention", "output") for e in ("mse", "mae")}
    assert {"quoted_prompt_n15", "quoted_prompt_n31", *slopes} <= {one["id"] for one in listed}


def test_a_caption_has_the_ends_of_the_sweep(results: Results, tmp_path: Path) -> None:
    rows = [
        ["n15", d_r, repeat, matrix, 5 / d_r, 3 / d_r**0.5]
        for d_r in (10, 100, 1000)
        for repeat in (0, 1)
        for matrix in ("attention", "output")
    ]
    made_up = write(tmp_path / "approximation.csv", "setting,d_r,repeat,matrix,mse,mae", rows)
    tables = paths(results, "figure_3") | {"approximation": made_up}
    numbers = caption_numbers(
        "figure_3", jobs.as_json(jobs.figure(results.experiment, "figure_3")), tables
    )
    assert (numbers["attention_mse_first"], numbers["attention_mse_last"]) == ("0.50", "0.0050")


def families_caption(results: Results, tmp_path: Path, reached: str) -> dict[str, str]:
    """With the family of the trained features alone, which gets there or not."""
    d_r = "" if reached == "no" else 12
    rows = [
        ["n15", matrix, "mse", "positive", law, reached, d_r]
        for matrix in ("attention", "output")
        for law in ("independent", "simplex")
    ]
    header = "setting,matrix,error,family,projection,reached,d_r"
    needed = {"family_requirements": write(tmp_path / "needed.csv", header, rows)}
    config = jobs.as_json(jobs.figure(results.experiment, "families"))
    return caption_numbers("families", config, paths(results, "families") | needed)


def test_a_caption_tells_bounds_as_such(results: Results, tmp_path: Path) -> None:
    found = families_caption(results, tmp_path, "at once")
    assert found["attention_least"] == "≤ 12 (positive, independent)"
    assert found["output_own"] == "≤ 12 (independent), ≤ 12 (simplex)"
    found = families_caption(results, tmp_path, "no")
    assert found["attention_least"] == "more than were tried"
    assert found["attention_missed"] == "2 of 2"


def test_a_caption_names_the_variants_that_are_trained_otherwise(results: Results) -> None:
    config = jobs.figure(results.experiment, "figure_5")
    tables = paths(results, "figure_5")
    assert caption_numbers("figure_5", json.dumps(config), tables)["unlike"] == ""
    config["augmented"]["variants"][1]["learning_rate"] = 0.1
    config["negative"]["variants"][0]["features"]["family"] = "oprf"
    found = caption_numbers("figure_5", json.dumps(config), tables)
    assert found["unlike"] == ", but for those of augmented_g2, negative_k1_beta0.1"
    assert found["augmented"].startswith("g₁: ")


@pytest.mark.parametrize(("figure", "n"), [("figure_3", "n31"), ("figure_8", "n15")])
def test_the_paper_s_prompt_is_compared_with_prompts_as_long(
    results: Results, figure: str, n: str
) -> None:
    """And of the layer that the scorecard looks at."""
    template = (TEXTS / f"{figure}.rst").read_text("utf-8")
    numbers: dict[str, str] = defaultdict(lambda: "1")
    shown = results.experiment.config
    own = shown["figures"][figure]
    for change, compared in (
        ({}, True),
        ({"setting": n}, False),
        ({"variant": "softmax_lr0.005"}, False),
    ):
        config = {**shown, "figures": {figure: {**own, **change}}}
        body = write_caption(template, figure, config, numbers).body
        assert ("that the paper quotes" in body) == compared


def test_the_smallest_experiment_has_captions(results: Results, tmp_path: Path) -> None:
    tables = write_tables(tmp_path, runs=1, prompts=1, repeats=1, epochs=1)
    experiment = results.experiment
    config = {**experiment.config, "runs": 1}
    for figure, wanted in TABLES.items():
        read = {name: tables[key] for name, key in wanted.items()}
        if FILES[figure].quotes_claims:
            read["claims"] = tmp_path / "no such table"
        numbers = caption_numbers(figure, jobs.as_json(jobs.figure(experiment, figure)), read)
        template = (TEXTS / f"{figure}.rst").read_text("utf-8")
        assert "1 runs" not in words(write_caption(template, figure, config, numbers).body)


def test_the_error_of_a_single_d_r_has_no_trend(results: Results, tmp_path: Path) -> None:
    rows = pd.read_csv(results.table("matrices"))
    path = tmp_path / "matrices.csv"
    rows[rows["d_r"].isna() | (rows["d_r"] == 1200)].to_csv(path, index=False)
    found = caption_numbers(
        "figure_6", jobs.as_json(jobs.figure(results.experiment, "figure_6")), {"matrices": path}
    )
    assert found["trend"] == "is that of one d_r alone"


def test_a_look_that_begins_after_the_other_figures_end_has_a_caption(results: Results) -> None:
    found = caption_numbers(
        "training_length", json.dumps({"epochs": {"n15": 0}}), paths(results, "training_length")
    )
    assert found["usual_epoch"] == "1"


def test_a_caption_counts_what_is_shown(results: Results, tmp_path: Path) -> None:
    header = (
        "setting,variant,run,prompt,scheme,step,y_reference,cosine,cosine_others,y_layer,y_true"
    )
    rows = [
        [
            "n31",
            "softmax",
            0,
            prompt,
            "single_sample",
            step,
            1.0 - 0.5 * (1 - step),
            0.5,
            0,
            1.0,
            true,
        ]
        for prompt, true in enumerate([1.01, 1.5, 1.5, 1.5])
        for step in (0, 1)
    ]
    tables = paths(results, "figure_8")
    tables["trajectory"] = write(tmp_path / "softmax.csv", header, rows)
    numbers = caption_numbers(
        "figure_8", jobs.as_json(jobs.figure(results.experiment, "figure_8")), tables
    )
    assert (numbers["largest_gap"], numbers["prompts"], numbers["runs"]) == (
        "0",
        "4 prompts",
        "1 run",
    )


@pytest.mark.slow
def test_the_ablations_are_on_the_page_once_they_are_made(tmp_path: Path) -> None:
    results = write_results(tmp_path / "results")
    columns = "train_mse,test_mse,equivalence_error,relative_deviation,weight_error"
    errors = {("base", "none"): 0.2, ("batch", "16"): 0.3, ("init", "standard_normal"): 4.0}
    rows = [
        [*key, "-", run, 0.1, error, 0, 0.1, 0.1] for key, error in errors.items() for run in (0, 1)
    ]
    write(results.table("ablations"), f"decision,value,default,run,{columns}", rows)
    assert "ablations" not in results.figure_names
    figures = results.folder / "figures"
    (figures / "ablations.png").write_bytes((figures / "cosine.png").read_bytes())
    entry = results.figures(TEXTS)[-1]
    assert entry.name == "ablations"
    body = words(entry.caption.body)
    assert "is 0.20 as configured" in body
    assert "of 1.5 (batch 16), 20 (init standard normal) at the lower end" in body


def test_a_figure_without_template_is_shown_under_its_name() -> None:
    caption = write_caption("", "new_figure", {}, {})
    assert (caption.title, caption.body.strip(), caption.alt) == ("new figure", "", "")


def test_numbers_are_read_when_they_are_asked_for(results: Results, tmp_path: Path) -> None:
    tables = {name: str(path) for name, path in paths(results, "cosine").items()}
    config = jobs.as_json(jobs.figure(results.experiment, "cosine"))
    assert CaptionNumbers("cosine", config, tables).runs == "2 runs"
    with pytest.raises(AttributeError, match="nothing"):
        _ = CaptionNumbers("cosine", config, tables).nothing
    absent = CaptionNumbers("cosine", config, {"trajectory": str(tmp_path / "absent.csv")})
    assert "absent" not in str(absent)


# Contradictions


def test_each_contradiction_quotes_the_scorecard(results: Results) -> None:
    quoted = defaultdict(lambda: 0.25, new_task=math.nan)
    config = results.experiment.config
    found = read_contradictions(TEXTS / "contradictions.yaml", quoted, config)
    assert len(found) == 8
    missing, without = "Not measured in this run.", "A “Gaussian distribution x ~ U(−1, 1)”"
    assert [one.title for one in found if not one.number] == [without]
    assert [one.number for one in found if "learned by heart" in one.title] == [missing]
    said = [one.number for one in found if one.number not in ("", missing)]
    assert len(said) == 6
    assert all("25 %" in number or "0.25" in number for number in said)


def test_contradictions_of_an_empty_run(tmp_path: Path, results: Results) -> None:
    nothing = read_claimed(tmp_path / "claims.csv")
    found = read_contradictions(TEXTS / "contradictions.yaml", nothing, results.experiment.config)
    assert {one.number for one in found} == {"Not measured in this run.", ""}


# Provenance


def test_the_page_knows_what_made_the_run(results: Results) -> None:
    found = provenance(results)
    assert (found.jobs, found.job_seconds) == (1, 61.5)
    assert found.versions.keys() >= {"Python", "numpy", "snakemake"}
    assert yaml.safe_load(found.config) == results.experiment.config


def test_a_folder_outside_git_has_no_commit(results: Results, tmp_path: Path) -> None:
    (tmp_path / "artifact").touch()
    found = trace([tmp_path / "artifact"], tmp_path, tmp_path, results.experiment.config)
    assert (found.commit, found.modified, found.job_seconds) == ("", False, None)
    assert "not in a git repository" in render(results, TEXTS, STATISTICS, found, [])


def test_job_seconds_are_read_by_name(tmp_path: Path) -> None:
    path = tmp_path / "job.tsv"
    path.write_text("h:m:s\ts\tcpu_time\n0:00:02\t2.25\t1.0\n")
    assert job_seconds(path) == 2.25


# The page


def test_the_page_needs_nothing_else(page: str) -> None:
    sources = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", page)
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|https?://", page)


def test_links_lead_somewhere(page: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def test_the_policy_allows_the_page_s_own_code(page: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    for tag in ("style", "script"):
        (code,) = re.findall(rf"(?s)<{tag}>(.*?)</{tag}>", page)
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in html.unescape(policy[1])
    assert not re.search(r"\s(?:style|on\w+)=", page)


def test_claims_are_shown_with_word_and_sign(page: str) -> None:
    shown = words(page)
    for verdict in VERDICTS.values():
        assert f"{verdict.sign} {verdict.word}" in shown
    assert (
        "The paper makes 2 statements that a run can check by measurement. In a confirmatory run, "
        "with a fresh seed and after everything had been settled, 1 is reproduced, 0 partly; 1 is "
        "contradicted, 0 left open. Apart from these, 1 of 1 identity, which algebra decides "
        "whatever the layers have learned, holds to rounding. In the 10 exploratory runs that this "
        "page shows, 0 are reproduced and 1 contradicted."
    ) in shown
    assert (
        "1 claim had the measure or the criterion changed after a run had shown its results"
        in shown
    )
    assert "other reading of the paper’s section 3.1, 0 are reproduced, in a run" in shown
    assert "0.94 0.90 to 0.98 ✓ Reproduced 0.70 ○ Inconclusive 0.80 Figure 5 right" in shown
    assert "0.0010, corrected 0.040; of the opposite, corrected 0.030" in shown
    assert "Before Not reproduced (0.90), by the criteria that there were" in shown
    assert "Stricter: it was less. Verdict of the first full run: reproduced." in shown
    for claim in CLAIMS:
        kind = "identity · " if claim["kind"] == "identity" else ""
        assert f"Section {claim['section']} · {kind}{claim['id']}" in shown
    assert "0.94 0.90 to 0.98" in shown
    assert "Reason 2 runs are too few" in shown
    assert "−0.6490 for −0.5927" in shown


@pytest.mark.slow
def test_without_a_confirmatory_run_the_page_counts_its_own(tmp_path: Path) -> None:
    results = write_results(tmp_path / "results", "confirm", "scaled", "before")
    shown = words(render(results, TEXTS, STATISTICS, provenance(results), []))
    assert (
        "The paper makes 3 statements that a run can check by measurement. Here 0 are reproduced, "
        "1 partly; 1 is contradicted, 0 left open; 1 could not be tested."
    ) in shown
    for words_of_others in ("confirmatory", "exploratory", "Where keys and queries", "Before Not"):
        assert words_of_others not in shown


def test_another_run_than_the_full_one_says_so_and_compares_itself_with_nothing(
    results: Results, page: str
) -> None:
    claims = yaml.safe_load((ROOT / "workflow/claims.yaml").read_text("utf-8"))
    smaller = {**results.experiment.config, "runs": 2, "execution": {"device": "cuda"}}
    full = subject(results.experiment.config, claims)
    found = differences(subject(smaller, claims), full)
    assert found == ["runs: 2 instead of 10"]
    assert differences(subject({**results.experiment.config, "execution": {}}, claims), full) == []
    other = render(results, TEXTS, STATISTICS, provenance(results), found)
    assert "A miniature or a variation, not the full experiment" in words(other)
    assert "differs from it in runs: 2 instead of 10." in words(other)
    assert "first full run" not in words(other)
    assert "confirmatory" not in words(other)
    assert "not the full experiment" not in words(page)


def test_differences_are_told_by_key(results: Results) -> None:
    config = results.experiment.config
    fewer = {key: value for key, value in config.items() if key != "families"}
    fewer |= {"settings": config["settings"] | {"n7": {"demonstrations": 7}}}
    found = differences(subject(fewer, {}), subject(config, {"claims": []}))
    assert "settings.n7.demonstrations: 7 instead of absent" in found
    assert "families.compared.elu+1: absent instead of []" in found
    assert found[-1] == "the criteria in workflow/claims.yaml"


def test_text_of_tables_is_no_html(page: str) -> None:
    assert "&lt;b&gt;Predictions&lt;/b&gt; are very close &amp; exact." in page


def test_claims_and_figures_refer_to_each_other(page: str) -> None:
    assert '<a href="#figure_5">Figure 5 right</a>' in page
    (article,) = re.findall(r'(?s)<article class="figure" id="figure_5".*?</article>', page)
    assert 'href="#claim-faster"' in article
    assert 'href="#claim-exact"' not in article


def test_every_figure_is_on_the_page(page: str, results: Results) -> None:
    assert re.findall(r'<article class="figure" id="(\w+)"', page) == sorted(
        results.experiment.figures, key=lambda name: not name.startswith("figure_")
    )
    for image in re.findall(r"<img [^>]*>", page):
        assert 'width="2100" height="800"' in image
        alt = re.search(r'alt="([^"]*)"', image)
        assert alt is not None
        assert len(alt[1]) > 60


@pytest.mark.slow
def test_a_run_without_scorecard_has_a_page(tmp_path: Path) -> None:
    results = write_results(tmp_path / "results")
    results.table("claims").unlink()
    page = render(results, TEXTS, STATISTICS, provenance(results), [])
    assert 'id="verdicts"' not in page
    assert 'id="figure_1"' in page


def test_verdicts_are_counted_in_their_order() -> None:
    none = {"reproduced": 0, "partly": 0, "inconclusive": 0, "contradicted": 0}
    assert list(count_verdicts([]).items()) == list(none.items())
    found = count_verdicts(["not tested", "partly", "contradicted", "partly"])
    expected = none | {"partly": 2, "contradicted": 1, "not tested": 1}
    assert list(found.items()) == list(expected.items())


def test_statements_are_counted_and_identities_and_motivations_apart() -> None:
    identities = ["reproduced", "partly", "contradicted", "not tested"]
    found = tally(
        [
            ("measured", "a", "reproduced"),
            ("measured", "b", "contradicted"),
            ("measured", "a", "inconclusive"),  # so a is partly so
            ("motivation", "c", "reproduced"),
            *(("identity", name, name) for name in identities),
            ("identity", "reproduced", "reproduced"),
        ]
    )
    measured = {"reproduced": 0, "partly": 1, "inconclusive": 0, "contradicted": 1}
    assert found == (measured, 3, 1)


def test_every_run_is_counted_by_the_claims_that_it_has(results: Results) -> None:
    found = tallies(results.claims())
    assert found.keys() == {"here", "confirm", "scaled"}
    assert found["here"].measured["not tested"] == 1
    assert found["here"].measured["contradicted"] == 1  # of two claims, contradicted and open
    measured = {"reproduced": 1, "partly": 0, "inconclusive": 0, "contradicted": 1}
    assert found["confirm"].measured == measured
    assert found["confirm"][1:] == (1, 1)
    assert found["scaled"][1:] == (0, 0)
