"""Queries, keys and values of a network's heads while it reads its inputs, or of a user's file."""

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from icl_contrastive.artifacts.origin import origin
from icl_contrastive.command import StepError, run_step
from icl_contrastive.networks.layers import read_layers
from icl_contrastive.networks.packages import PACKAGES
from icl_contrastive.streams import stream


def main(arguments: argparse.Namespace, config: dict[str, Any]) -> None:
    """Write the layers; raise StepError without what reads networks, or if one is not as read."""
    name, source = config["network"], config["source"]
    # The file; or config.json, or the lock of the packages, and texts.
    path, *rest = arguments.inputs
    if "file" in source:
        causal = source.get("mask") == "causal"
        layers = read_layers(path, causal=causal, scale=source.get("scale"))
        layers.save(arguments.output, config, origin(arguments.code))
        return
    if find_spec("transformers") is None:
        raise StepError(
            f"networks.read.{name}: the library that reads networks is not installed; `make "
            "networks` sets it up and runs, or leave the network out with "
            f'--config \'networks={{"read": {{"{name}": null}}}}\''
        )
    from icl_contrastive.networks.recording import Network

    texts = [text for one in rest for text in read_texts(one)]
    if "package" in source:
        package = PACKAGES[source["package"]]
        network = Network(package.find())
        inputs = package.encode(network, texts, stream(config["seed"], "networks", name))
    else:
        network = Network(path.parent)
        inputs = [network.encode(text) for text in texts]
    network.record(inputs).save(arguments.output, config, origin(arguments.code))


def read_texts(path: Path) -> list[str]:
    """The inputs of a file, with blank lines between them; lines that start with # are remarks."""
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = "\n".join(line for line in lines if not line.startswith("#"))
    texts = [text.strip() for text in kept.split("\n\n") if text.strip()]
    if not texts:
        raise StepError(f"{path}: no inputs; must have some, with blank lines between them")
    return texts


if __name__ == "__main__":
    run_step(main, "output", many=["inputs"])
