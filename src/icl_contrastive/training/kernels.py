"""The products with Ω, and the exponentials between them.

φ(k_i)ᵀφ(q) = (1/m) Σ_f exp(ω_f·(k_i + q) + 2 b_f) · exp(−(‖k_i‖² + ‖q‖²)/2), so the scores are
log-mean-exps over one (N+1) × m product, and their gradient needs only the tilted mean Σ_f p_f ω_f,
a second product. Three passes over that matrix remain, in tiles that stay in registers and in the
first level of cache: product, exponential, product.

The exponents need no shift while the longest ω times ‖k_i + q‖ is small, as it is with unit norm;
where it is large, the tokens of a tile are shifted by their largest exponents: one pass more.
"""

import math
from functools import partial
from typing import Any

import numpy as np

from icl_contrastive.training.compiled import jit
from icl_contrastive.training.layout import SAFE, Array, Kernel, Mix, Workspace
from icl_contrastive.training.simd import splat, store, totals
from icl_contrastive.training.tiles import (
    TILE,
    add_columns,
    exp_tile,
    fma_tiles,
    load_tile,
    raise_columns,
    splat_tile,
    store_tile,
    subtract_tiles,
)


@jit
def multiply_exp(
    z: Array,
    shift: Array,
    weight: Array,
    kernel: Kernel,
    start: int,
    row: int,
    out: Array,
    sums_by_lane: Array,
) -> None:
    """out = exp(z Ωᵀ + weight − shift) for a tile of tokens from ``row`` and a block of features.

    Its sums over features are added to the last entry of ``sums_by_lane``.
    """
    (d, rows), m, width = z.shape, kernel.omega_t.shape[1], kernel.lanes
    stride = sums_by_lane.shape[1] * width
    for f in range(start, min(start + kernel.block, m), TILE * width):
        e = load_tile(weight, f, 0, width)
        e = subtract_tiles(e, splat_tile(shift, row, 1))
        for c in range(d):
            omega = load_tile(kernel.omega_t, c * m + f, 0, width)
            e = fma_tiles(splat_tile(z, c * rows + row, 1), omega, e)
        e = exp_tile(e)
        add_columns(sums_by_lane, (row + 1) * stride - width, stride, e)
        store_tile(out, f - start, kernel.block, width, e)


@jit
def multiply_omega(
    exponentials: Array, kernel: Kernel, start: int, row: int, sums_by_lane: Array
) -> None:
    """Add exponentials Ω of a tile of tokens and a block of features to ``sums_by_lane``."""
    (padded_d, m), width, block = kernel.omega_t.shape, kernel.lanes, kernel.block
    stride = sums_by_lane.shape[1] * width
    for c in range(0, padded_d, TILE):
        p = row * stride + c * width
        sums = load_tile(sums_by_lane, p, stride, width)
        for f in range(0, min(block, m - start), width):
            e = load_tile(exponentials, f, block, 0)
            sums = fma_tiles(e, load_tile(kernel.omega_t, c * m + start + f, 0, m), sums)
        store_tile(sums_by_lane, p, stride, width, sums)


@jit
def clear(array: Array, lanes: int, zero: Any) -> None:
    """Fill an array of whole vectors with zeros."""
    for place in range(0, array.size, lanes):
        store(array, place, splat(zero))


@jit
def sum_exponentials(n: int, kernel: Kernel, work: Workspace, tilt: bool) -> None:
    """Fill ``work.tilted`` for the first n columns of ``work.sums``; its last row without tilt."""
    (d, rows), z, by_lane = work.sums.shape, work.sums, work.sums_by_lane
    out, stride = work.exponentials, by_lane.shape[1] * kernel.lanes
    clear(by_lane, kernel.lanes, work.zero)
    for start in range(0, kernel.omega_t.shape[1], kernel.block):
        for row in range(0, n, TILE):
            multiply_exp(z, work.shift, kernel.log_weight, kernel, start, row, out, by_lane)
            if tilt:
                multiply_omega(out, kernel, start, row, by_lane)
    for part in range(0, rows, kernel.lanes):
        last = (part + 1) * stride - kernel.lanes
        store(work.tilted, d * rows + part, totals(by_lane, last, stride))
        if tilt:
            for c in range(d):
                entry = part * stride + c * kernel.lanes
                store(work.tilted, c * rows + part, totals(by_lane, entry, stride))


@jit
def raise_shifts(row: int, kernel: Kernel, work: Workspace) -> None:
    """Set ``work.shift`` to the largest exponents of a tile of tokens."""
    (d, rows), m, width = work.sums.shape, kernel.omega_t.shape[1], kernel.lanes
    largest = work.exponentials
    for part in range(TILE):
        store(largest, part * kernel.block, splat(-work.one / work.zero))  # −∞
    for f in range(0, m, TILE * width):
        e = load_tile(kernel.log_weight, f, 0, width)
        for c in range(d):
            omega = load_tile(kernel.omega_t, c * m + f, 0, width)
            e = fma_tiles(splat_tile(work.sums, c * rows + row, 1), omega, e)
        raise_columns(largest, 0, kernel.block, e)
    for part in range(TILE):
        work.shift[row + part] = largest[part, 0]
        for lane in range(1, width):
            work.shift[row + part] = max(work.shift[row + part], largest[part, lane])


@jit
def shift_exponents(n: int, kernel: Kernel, work: Workspace) -> bool:
    """Choose ``work.shift``: 0 where it is safe, else the largest exponent; whether all are 0."""
    safe = True
    for row in range(0, n, TILE):
        here = True
        for i in range(row, min(row + TILE, n)):
            here &= kernel.longest * math.sqrt(work.norm[i]) <= SAFE
        for i in range(row, row + TILE):
            work.shift[i] = 0
        if not here:
            raise_shifts(row, kernel, work)
        safe &= here
    return safe


@jit
def log_scores(i: int, n: int, kernel: Kernel, work: Workspace, scores: Array) -> None:
    """Scores of the first n keys for query i in the log domain, whatever their size."""
    d = work.sums.shape[0]
    for j in range(n):
        work.norm[j] = 0
        for c in range(d):
            work.sums[c, j] = work.keys[c, j] + work.queries[c, i]
            work.norm[j] += work.sums[c, j] * work.sums[c, j]
    shift_exponents(n, kernel, work)
    sum_exponentials(n, kernel, work, False)
    for j in range(n):
        scores[j] = math.log(work.tilted[d, j]) + work.shift[j] - work.key_norm[j] / 2


@jit
def fill_features(
    x: Array, n: int, weight: Array, kernel: Kernel, work: Workspace, features: Array
) -> None:
    """features = exp(x Ωᵀ + weight) of the first n columns of x, where that is safe."""
    clear(work.shift, kernel.lanes, work.zero)
    for part in range(features.shape[0]):
        for row in range(0, n, TILE):
            out = features[part, row : row + TILE]
            start = part * kernel.block
            multiply_exp(x, work.shift, weight, kernel, start, row, out, work.sums_by_lane)


@jit
def multiply_features(n: int, kernel: Kernel, work: Workspace) -> None:
    """own_scores[i, j] = features of query i · features of key j, tile by tile."""
    blocks, rows, block = work.key_features.shape
    width, m = kernel.lanes, kernel.omega_t.shape[1]
    for i in range(0, n, TILE):
        for j in range(0, n, TILE):
            sums = splat_tile(work.own_scores, rows * rows - 1, 0)
            sums = subtract_tiles(sums, sums)
            for part in range(blocks):
                q, k = (part * rows + i) * block, (part * rows + j) * block
                for f in range(0, min(block, m - part * block), width):
                    x = load_tile(work.query_features, q + f, block, 0)
                    sums = fma_tiles(x, load_tile(work.key_features, k + f, 0, block), sums)
            store_tile(work.products, 0, TILE * width, width, sums)
            for entry in range(TILE * TILE):
                total = work.products[entry, 0]
                for lane in range(1, width):
                    total += work.products[entry, lane]
                work.own_scores[i + entry // TILE, j + entry % TILE] = total


@jit
def rank(scores: Array, count: int, j: int) -> int:
    """Rank of scores[j] among the first ``count``, 0 for the lowest, ties by position."""
    position = 0
    for other in range(count):
        position += (scores[other] < scores[j]) | ((scores[other] == scores[j]) & (other < j))
    return position


@partial(jit, inline="always")
def own_negatives(n: int, kernel: Kernel, mix: Mix, work: Workspace) -> None:
    """Fill ``work.repulsion`` from the scores of every demonstration as the query (Eq. 18)."""
    demonstrations, d = n - 1, work.keys.shape[0]
    largest: Any = work.zero
    for i in range(demonstrations):
        squares = work.zero
        for c in range(d):
            squares += work.queries[c, i] * work.queries[c, i]
        largest = max(largest, work.key_norm[i], squares)
    small = 2 * kernel.longest * math.sqrt(largest) + largest / 2 <= SAFE
    if small and not kernel.exact:
        fill_features(work.queries, n, kernel.no_weight, kernel, work, work.query_features)
        fill_features(work.keys, n, kernel.log_weight, kernel, work, work.key_features)
        multiply_features(n, kernel, work)
    for i in range(demonstrations):
        scores = work.own_scores[i]
        if kernel.exact:
            for j in range(demonstrations):
                scores[j] = work.keys[0, j] * work.queries[0, i]
                for c in range(1, d):
                    scores[j] += work.keys[c, j] * work.queries[c, i]
        elif small:  # without ‖q‖²/2 and log m, which all keys share
            for j in range(demonstrations):
                scores[j] *= math.exp(-work.key_norm[j] / 2)
        else:
            log_scores(i, demonstrations, kernel, work, scores)
        scores[i] = np.inf  # ranks last, and repels itself by nothing
        for j in range(demonstrations):
            if i != j:
                work.repulsion[i, j] = mix.repulsion_by_rank[rank(scores, demonstrations, j)]
