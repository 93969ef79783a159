"""The scorecard: what the run's tables say to each claim of the paper."""

import argparse
import logging
from typing import Any

from icl_contrastive.artifacts.files import load_table, save_table
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY, columns_of
from icl_contrastive.claims import Evidence, evaluate
from icl_contrastive.command import run_step
from icl_contrastive.steps.claim_list import read_claim_list

log = logging.getLogger(__name__)


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write a row for each claim, and the numbers of every run that it rests on.

    ``config["tables"]`` names the tables in their order.
    """
    settings, claims = read_claim_list(arguments.claims)
    paths = zip(config["tables"], arguments.tables, strict=True)
    tables = {name: load_table(path, columns_of(name)) for name, path in paths}
    others = {
        path.name.removesuffix("_claims.csv"): load_table(path, ["id", "ours", "verdict"])
        for path in arguments.others
    }
    found = evaluate(claims, Evidence(config, tables), settings, others)
    for verdict, count in found.scorecard["verdict"].value_counts().items():
        log.info("%s: %d", verdict, count)
    save_table(arguments.output, found.scorecard, MAY_BE_EMPTY["claims"])
    save_table(arguments.effects, found.effects)


if __name__ == "__main__":
    run_step(main, "claims", "output", "effects", many=["tables", "others"])
