"""The full run that workflow/docs/results.md is about, and in what another run differs from it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from icl_contrastive.config.schema import leaves, show

_ABSENT = "absent"
_CLAIMS = "workflow/claims.yaml"


def subject(config: Mapping[str, Any], claims: Mapping[str, Any]) -> dict[str, Any]:
    """What a run is about: its config with all defaults, and a digest of its claims.

    ``execution`` is left out, since no result depends on it but for rounding.
    """
    of_results = {key: value for key, value in config.items() if key != "execution"}
    digest = hashlib.sha256(json.dumps(claims, sort_keys=True).encode()).hexdigest()
    return of_results | {_CLAIMS: digest}


def differences(run: Mapping[str, Any], reference: Mapping[str, Any]) -> list[str]:
    """A text for each key in which two subjects differ: ``runs: 2 instead of 10``."""
    here, there = (dict(leaves(one)) for one in (run, reference))
    other_claims = here.pop(_CLAIMS, None) != there.pop(_CLAIMS, None)
    return [
        f"{key}: {_told(here, key)} instead of {_told(there, key)}"
        for key in there | here
        if here.get(key, _ABSENT) != there.get(key, _ABSENT)
    ] + [f"the criteria in {_CLAIMS}"] * other_claims


def one_key_a_line(run: Mapping[str, Any]) -> str:
    """A subject as JSON that is read, and compared, line by line."""
    lines = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in run.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _told(values: Mapping[str, Any], key: str) -> str:
    return show(values[key], limit=40) if key in values else _ABSENT
