"""What each head of a network comes to: its dual, and the random features that it needs."""

import argparse
import logging
from typing import Any

import pandas as pd

from icl_contrastive.artifacts.files import save_table
from icl_contrastive.artifacts.tables import MAY_BE_EMPTY
from icl_contrastive.command import StepError, run_step
from icl_contrastive.networks.layers import Layers
from icl_contrastive.networks.measures import measure_layer

log = logging.getLogger(__name__)

LARGEST_ERROR = 1e-12
"""Of a head's dual in float64; it has been seen to be 1e-14."""


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write network, layer, head, and what ``networks.measures`` finds.

    Raises StepError if the output of a head is not that of its reference models.
    """
    layers = Layers.load(arguments.layers)
    rows = []
    for layer in range(len(layers.queries)):
        for row in measure_layer(layers, layer, config["tolerance"], config["seed"]):
            if not row["equivalence_error"] <= LARGEST_ERROR:
                raise StepError(
                    f"{arguments.layers}: layer {row['layer']}, head {row['head']} is off from its "
                    f"reference models by {row['equivalence_error']:.1e}, more than rounding "
                    f"({LARGEST_ERROR:g}); its scores may be too large for float64"
                )
            rows.append({"network": config["network"], **row})
        log.info("layer %d of %d", layer + 1, len(layers.queries))
    save_table(arguments.output, pd.DataFrame(rows), MAY_BE_EMPTY["heads"])


if __name__ == "__main__":
    run_step(main, "layers", "output")
