"""What a layer says at the query tokens of many prompts."""

from collections.abc import Callable, Iterable

import torch

from icl_contrastive.attention import Layer, ReadOut, read_out
from icl_contrastive.limits import FULL_WIDTH_PROMPTS
from icl_contrastive.variants import Variant


def read(layer: Layer, tokens: torch.Tensor, variant: Variant) -> ReadOut:
    """The layer as the variant for prompts (prompts, n, d), few of which are in memory at once."""
    mixing = variant.mixing(tokens.shape[-2] - 1)
    lots = torch.split(tokens, FULL_WIDTH_PROMPTS)
    return join_reads(read_out(layer.weights, lot, mixing, layer.features) for lot in lots)


def join_reads(
    reads: Iterable[ReadOut], of: Callable[[list[torch.Tensor]], torch.Tensor] = torch.cat
) -> ReadOut:
    """Those of several lots of prompts as one; with torch.stack, on an axis of their own."""
    return ReadOut(*(of(list(part)) for part in zip(*reads, strict=True)))
