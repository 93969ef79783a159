"""Numbers and verdicts of a finished run rederived: the smoke run, or the one in RESULTS."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ..rederive import CLAIMS, differences


def test_every_number_and_every_verdict_of_a_run_is_rederived(
    request: pytest.FixtureRequest,
) -> None:
    if "RESULTS" in os.environ:
        results = Path(os.environ["RESULTS"])
    else:
        results = request.getfixturevalue("smoke").root / "results"
    assert differences(results / "tables") == (len(CLAIMS["claims"]), [])
