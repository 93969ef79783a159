"""The multiverse: every combination of the decisions that the paper leaves open is a universe."""
