"""What the keys of figures must agree on."""

from collections.abc import Iterator

from icl_contrastive.config.experiment import Experiment
from icl_contrastive.config.references import check_cell, check_limit, check_setting
from icl_contrastive.config.roles import OF_FIGURES, PANELS, PLAIN
from icl_contrastive.config.schema import as_list, one_of, show


def figure_disagreements(experiment: Experiment) -> Iterator[str]:
    """A line for each problem of a figure."""
    for figure in experiment.figures:
        yield from _figure(experiment, figure)
    yield from _diagrams(experiment)


def _figure(experiment: Experiment, name: str) -> Iterator[str]:
    """What a figure's keys must agree on."""
    key, figure = f"figures.{name}", experiment.figures[name]
    if "setting" not in figure:
        return  # it shows a whole table
    setting = figure["setting"]
    yield from check_setting(experiment, f"{key}.setting", setting)
    if name == "figure_5":
        for panel in ("regularized", "augmented", "negative"):
            at = f"{key}.{panel}"
            yield from check_cell(experiment, f"{at}.base", setting, figure[panel]["base"], PLAIN)
            for place in figure[panel].keys() - {"base"}:
                yield from _panel(experiment, f"{panel}.{place}", as_list(figure[panel][place]))
    if "variant" in figure:
        role = OF_FIGURES.get(name)
        yield from check_cell(experiment, f"{key}.variant", setting, figure["variant"], role)
    if name == "multitask":
        yield from check_setting(experiment, f"{key}.base", figure["base"])
        yield from check_cell(experiment, f"{key}.variant", figure["base"], figure["variant"])
        for place, tasks in (("setting", "per_prompt"), ("base", "shared")):
            fitting = [one for one, shape in experiment.settings.items() if shape["tasks"] == tasks]
            if figure[place] in experiment.settings and figure[place] not in fitting:
                yield (
                    f"{key}.{place}: {figure[place]!r} is not allowed; must be a setting with "
                    f"tasks: {tasks}, {one_of(fitting)}"
                )
    if "run" in figure:
        yield from check_limit(experiment, f"{key}.run", 0, "runs")
    if "prompt" in figure:
        yield from check_limit(experiment, f"{key}.prompt", 0, "test_prompts")


def _panel(experiment: Experiment, panel: str, names: list[str]) -> Iterator[str]:
    """Each variant of a panel of figure_5 must be of its kind, and there once."""
    key, setting = f"figures.figure_5.{panel}", experiment.figures["figure_5"]["setting"]
    owners: dict[str, str] = {}
    for name in names:
        yield from check_cell(experiment, key, setting, name, PANELS[panel], grid=True)
        for variant in experiment.named(name):
            first = owners.setdefault(variant.name, name)
            if first != name:
                yield f"{key}: {variant.name!r} is there as {first!r} and as {name!r}; must be once"
                break


def _diagrams(experiment: Experiment) -> Iterator[str]:
    """All diagrams show one prompt, from one table."""
    shown = {name: experiment.figures[name] for name in experiment.diagrams}
    for name, figure in shown.items():
        first = next(iter(shown))
        if figure != shown[first]:
            yield (
                f"figures.{name}: {show(figure)} is not allowed; must be as figures.{first}, "
                "since both draw the matrices of one prompt"
            )
