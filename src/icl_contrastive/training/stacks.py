"""Projections of all tokens, and their gradients: matrices, GELU layers (Eq. 16), unit norm."""

import math
from typing import Any

from icl_contrastive.training.compiled import jit
from icl_contrastive.training.layout import Array, Workspace
from icl_contrastive.training.simd import (
    fma,
    inverse_root,
    load,
    multiply,
    splat,
    store,
)


@jit
def forward_stack(
    stack: Array,
    lanes: int,
    n: int,
    count: int,
    outputs: int,
    work: Workspace,
    x: Array,
    slope: Array,
) -> None:
    """x[l] = GELU(stack[l] x[l − 1]), without GELU in the first layer, whose inputs are tokens.

    Of the n tokens the last ``count``; of the last layer, only the last ``outputs`` coordinates.
    """
    layers, d, rows = x.shape
    start = (n - count) // lanes * lanes
    zero = splat(work.zero)
    for layer in range(layers):
        lowest = d - outputs if layer == layers - 1 else 0
        for o in range(lowest, d):
            for part in range(start, rows, lanes):
                above = zero
                for c in range(d):
                    below = (
                        load(x, ((layer - 1) * d + c) * rows + part)
                        if layer
                        else load(work.tokens_t, c * rows + part)
                    )
                    above = fma(splat(stack[layer, o, c]), below, above)
                store(x, (layer * d + o) * rows + part, above)
        if layer > 0:
            for o in range(lowest, d):
                for i in range(n):  # GELU(u) = u Φ(u), GELU'(u) = Φ(u) + u Φ'(u)
                    u = x[layer, o, i]
                    cdf = 0.5 * (1 + math.erf(u * math.sqrt(0.5)))
                    pdf = math.exp(-0.5 * u * u) / math.sqrt(2 * math.pi)
                    slope[layer, o, i] = cdf + u * pdf
                    x[layer, o, i] = u * cdf


@jit
def backward_stack(
    stack: Array,
    lanes: int,
    n: int,
    outputs: int,
    x: Array,
    slope: Array,
    work: Workspace,
    into: Array,
    rate: Any,
) -> None:
    """Add ``rate`` times the gradient of every layer to ``into``, which may be the stack itself.

    ``work.delta`` is the gradient at the output of the last layer, in its last ``outputs``
    coordinates.
    """
    layers, d, width = stack.shape
    rows = x.shape[2]
    delta, below = work.delta, work.below
    zero, step = splat(work.zero), splat(rate)
    for layer in range(layers - 1, -1, -1):
        lowest = d - outputs if layer == layers - 1 else 0
        inputs = work.tokens
        if layer > 0:
            inputs = work.inputs
            for i in range(n):
                for c in range(d):
                    inputs[i, c] = x[layer - 1, c, i]
            for o in range(lowest, d):
                for i in range(n):
                    delta[o, i] *= slope[layer, o, i]
            for c in range(d):
                for part in range(0, rows, lanes):
                    grad = zero
                    for o in range(lowest, d):
                        grad = fma(splat(stack[layer, o, c]), load(delta, o * rows + part), grad)
                    store(below, c * rows + part, grad)
        for o in range(lowest, d):
            for part in range(0, width, lanes):
                grad = zero
                for i in range(n):
                    grad = fma(splat(delta[o, i]), load(inputs, i * width + part), grad)
                place = (layer * d + o) * width + part
                store(into, place, fma(step, grad, load(into, place)))
        if layer > 0:
            for place in range(0, delta.size, lanes):
                store(delta, place, load(below, place))


@jit
def normalize(
    x: Array, lanes: int, n: int, count: int, work: Workspace, factor: Array, out: Array
) -> None:
    """out = columns of x, normalized, and by what: of the n tokens the last ``count``."""
    d, rows = out.shape
    zero = splat(work.zero)
    for part in range((n - count) // lanes * lanes, rows, lanes):
        by = splat(work.scale)
        if work.unit:
            squares = zero
            for c in range(d):
                entry = load(x, c * rows + part)
                squares = fma(entry, entry, squares)
            by = inverse_root(squares)
        store(factor, part, by)
        for c in range(d):
            store(out, c * rows + part, multiply(by, load(x, c * rows + part)))
