"""The random-feature family that a step's slice of the config names."""

from collections.abc import Mapping
from typing import Any

from icl_contrastive.command import StepError
from icl_contrastive.features import Family, build_family


def load_family(features: Mapping[str, Any]) -> Family:
    """The family, which may be in a module of the user's own.

    Raises StepError if there is none of this name, or it lacks the projection.
    """
    try:
        return build_family(features)
    except ValueError as error:
        raise StepError(str(error)) from error
