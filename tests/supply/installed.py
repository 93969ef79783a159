"""What of the project's dependencies is installed."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def installed() -> dict[str, Distribution]:
    """Packages of this environment that the locks name, by name; others are the user's business."""
    locks = ((ROOT / lock).read_text("utf-8") for lock in ("requirements.lock", "torch.lock"))
    locked = {canonicalize_name(name) for text in locks for name in re.findall("(?m)^(.+)==", text)}
    found = ((canonicalize_name(one.metadata["Name"]), one) for one in distributions())
    return {name: one for name, one in found if name in locked}
