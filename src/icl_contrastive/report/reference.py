"""The full run that README.md is about, and in what another run differs from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from icl_contrastive.config.schema import show


def subject(config: Mapping[str, Any], claims: Mapping[str, Any]) -> dict[str, Any]:
    """What a run is about, as JSON: its config with all defaults, and a digest of its claims.

    ``execution`` is left out, since no result depends on it but for rounding.
    """
    of_results = {key: value for key, value in config.items() if key != "execution"}
    digest = hashlib.sha256(json.dumps(claims, sort_keys=True).encode()).hexdigest()
    return {"config": of_results, "claims_digest": digest}


def differences(run: Mapping[str, Any], reference: Mapping[str, Any]) -> list[str]:
    """A text for each key in which two subjects differ: ``runs: 2 instead of 10``."""
    here, there = (dict(_leaves(one["config"])) for one in (run, reference))
    found = [
        f"{key}: {here.get(key, 'absent')} instead of {there.get(key, 'absent')}"
        for key in there | here
        if here.get(key) != there.get(key)
    ]
    if run["claims_digest"] != reference["claims_digest"]:
        found.append("the criteria in workflow/claims.yaml")
    return found


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys with the values that are no mappings."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else name)
    else:
        yield key, show(value, limit=40)
