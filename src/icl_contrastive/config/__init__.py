"""The config: what it may say, what it stands for, and what each job needs of it.

Nothing here knows of Snakemake, and nothing heavy is imported: the workflow loads this whenever it
is asked for anything.
"""

from collections.abc import Mapping
from typing import Any

from icl_contrastive.config.complete import complete
from icl_contrastive.config.consistency import disagreements
from icl_contrastive.config.experiment import Experiment
from icl_contrastive.config.figure_files import FIGURES
from icl_contrastive.config.files import check_file
from icl_contrastive.config.schema import ConfigError, problems, with_defaults, without_nulls
from icl_contrastive.features import FAMILIES

__all__ = [
    "FIGURES",
    "ConfigError",
    "Experiment",
    "check_file",
    "read_experiment",
]


def read_experiment(
    config: Mapping[str, Any], schema: Mapping[str, Any], base: Mapping[str, Any] | None = None
) -> Experiment:
    """The experiment that a config describes, under the schema in ``workflow/schemas``.

    Args:
        config: as its files and the command line say.
        schema: what a config may say.
        base: the config that it overrides, of which a null takes a key away.

    Raises ConfigError with every problem found: those of single keys, or, if there are none, those
    of keys that do not agree.
    """
    schema = complete(schema)
    config = without_nulls(config, base or {}, schema)
    if found := problems(config, schema):
        raise ConfigError(found)
    filled = with_defaults(config, schema)
    features = filled["features"]
    family = FAMILIES.get(features["family"])
    if family and features.get("projection") == family.default_projection():
        features.pop("projection", None)  # one experiment, said in one way
    experiment = Experiment(filled)
    if found := list(dict.fromkeys(disagreements(experiment))):
        raise ConfigError(found)
    return experiment
