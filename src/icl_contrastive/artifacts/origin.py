"""What an artifact says of its own origin; nothing of time, machine or path, so that bytes repeat.

A commit is not named either: one that changes nothing here would change every artifact.
"""

import hashlib
import json
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from icl_contrastive.artifacts.files import written
from icl_contrastive.streams import drawn

LIBRARIES = (
    *("torch", "numba", "llvmlite", "numpy", "scipy", "pandas", "safetensors"),
    *("matplotlib", "seaborn"),
)
"""Those that bear on numbers and figures."""


def origin(code: Sequence[Path]) -> dict[str, Any]:
    """What is true of all that this process has made so far.

    Args:
        code: the source files that the step consists of, if they are known.

    Returns:
        ``code``, their digest; ``versions`` of Python and of the libraries that are loaded;
        ``streams``, the names of the random streams that were drawn from.
    """
    return ({"code": code_digest(code)} if code else {}) | {
        "versions": versions(name for name in LIBRARIES if name in sys.modules),
        "streams": sorted("/".join(map(str, names)) for names in drawn),
    }


def record(step: str, config: Mapping[str, Any], code: Sequence[Path]) -> str:
    """The last line of a job's log: step, config, origin, checksums of what it wrote, as JSON."""
    about = {"step": step, "config": config, **origin(code), "wrote": written}
    return f"made with {json.dumps(about)}"


def versions(libraries: Iterable[str]) -> dict[str, str]:
    """Version of Python, and of each library that is installed."""
    found = {"Python": platform.python_version()}
    for name in libraries:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def code_digest(files: Iterable[Path]) -> str:
    """Digest of the contents of source files, wherever they lie."""
    contents = sorted(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    return hashlib.sha256("\n".join(contents).encode()).hexdigest()
