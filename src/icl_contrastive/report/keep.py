"""The verdicts of a run below results/, kept in workflow/presets/ to stand beside those of others.

``python -m icl_contrastive.report.keep confirm`` does so in the project's folder (make confirm).
"""

import sys
from pathlib import Path

from icl_contrastive.artifacts.files import load_table, save_table
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY

VERDICT = [
    *("id", "measure", "criterion", "ours", "interval_low", "interval_high"),
    *("p_value", "p_corrected", "p_opposite", "verdict"),
]
"""What is kept of the scorecard, with what was asked."""


def keep(run: str, results: Path, presets: Path) -> None:
    """Write ``<run>_claims.csv`` and ``<run>_effects.csv`` from the run's tables."""
    tables = results / run / "results/tables"
    scorecard = load_table(tables / "claims.csv", VERDICT)
    save_table(presets / f"{run}_claims.csv", scorecard[VERDICT], MAY_BE_EMPTY["claims"])
    effects = load_table(tables / "effects.csv")
    save_table(presets / f"{run}_effects.csv", effects)


if __name__ == "__main__":
    keep(sys.argv[1], Path("results"), Path("workflow/presets"))
