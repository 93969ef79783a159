"""Other processes that import the library as this one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def python(
    *arguments: str | Path, check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Python with warnings as errors, from a folder that is not the repository's."""
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        capture_output=True,
        text=True,
        check=check,
        cwd="/",
        env=os.environ | paths | environment,
    )
