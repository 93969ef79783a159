"""What a config may refer to: its settings, its variants, and things that it counts."""

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from operator import getitem
from typing import Any

from icl_contrastive.config.experiment import Experiment
from icl_contrastive.config.roles import Role
from icl_contrastive.config.schema import listed, meant, one_of
from icl_contrastive.variants import build_variant


def check_setting(experiment: Experiment, key: str, setting: str) -> Iterator[str]:
    """The setting must be there."""
    if setting not in experiment.settings:
        yield f"{key}: {setting!r} is not a setting; must be {one_of(experiment.settings, setting)}"


def check_model(
    key: str, model: Mapping[str, Any], settings: Iterable[Mapping[str, Any]]
) -> Iterator[str]:
    """The model must take its hyperparameters, and the prompts of the settings."""
    try:
        built = build_variant(model)
        for setting in settings:
            built.check(setting["demonstrations"])
    except ValueError as error:
        yield f"{key}.{error}"


def check_cell(
    experiment: Experiment,
    key: str,
    setting: str,
    name: str,
    role: Role | None = None,
    *,
    grid: bool = False,
) -> Iterator[str]:
    """The variant must be there, in the setting, of the kind that its role needs.

    It must be a single one, or may be a grid.
    """
    if setting not in experiment.settings:
        return  # told by check_setting
    found = experiment.named(name)
    inside = [
        entry
        for entry in experiment.entries.values()
        if setting in entry[0].settings and (role is None or all(map(role.fits, entry)))
    ]
    choices = one_of(
        entry[0].name if len(entry) == 1 else f"{entry[0].name} … {entry[-1].name}"
        for entry in inside
    )
    if not found:
        known = [*experiment.variants, *experiment.entries] if grid else experiment.variants
        yield f"{key}: {name!r} is not a variant; must be {choices}{meant(name, known)}"
    elif name not in experiment.variants and not grid:
        yield f"{key}: {name!r} is a grid; must be {one_of(v.name for v in found)}"
    elif role is not None and not all(map(role.fits, found)):
        yield f"{key}: {name!r} is not allowed; must be {role.must}: {choices}"
    elif setting not in found[0].settings:
        where = listed(found[0].settings)
        yield f"{key}: {name!r} is trained in {where}, not in {setting!r}; must be {choices}"


def check_limit(experiment: Experiment, key: str, least: int, count_key: str) -> Iterator[str]:
    """The value, which starts at ``least``, must be one of as many as another key counts."""
    config: Any = experiment.config
    value, count = (reduce(getitem, one.split("."), config) for one in (key, count_key))
    most = least + count - 1
    if value > most:
        allowed = f"an integer from {least} to {most} ({count_key} is {count})"
        yield f"{key}: {value} is not allowed; must be {allowed}"
