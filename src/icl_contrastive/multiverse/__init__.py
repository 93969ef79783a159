"""The multiverse: every combination of the decisions that the paper leaves open is a universe."""

TABLES = (
    "universes",
    "multiverse",
    "multiverse_tests",
    "multiverse_decisions",
    "multiverse_flips",
)
"""What is made of the verdicts; ``multiverse_joint`` needs those on fresh runs, too."""
