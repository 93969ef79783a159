"""One run's per-step SGD on the query's squared error, compiled into a single loop.

Only the query's column is trained on, and φ(k_i)ᵀφ(q) = (1/m) Σ_f exp(ω_f·(k_i + q) + 2 b_f)
· exp(−(‖k_i‖² + ‖q‖²)/2). So the scores are log-mean-exps over one (N+1) × m product and their
gradient needs only the tilted mean Σ_f p_f ω_f, a second product:

    ∂s_i/∂k_i = Σ_f p_f ω_f − k_i        ∂s_i/∂q = Σ_f p_f ω_f − q

Three passes remain over the (N+1) × m matrix, in tiles that stay in registers and in the first
levels of cache: product, exponential, product. The shift that keeps the exponential in range
rides in the first, the sum over features in the second.

Everything else is small: a *stack* of d × d matrices leads from the tokens to the keys
([W_K, g2 layers]) and to the values ([W_V, g1 layers]), GELU after each but the first. Matrices
are stored transposed here (input × output), tokens as rows.
"""

from __future__ import annotations

import hashlib
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from icl_contrastive.training.simd import add, exp, fma, lanes, load, splat, store, subtract, total

if TYPE_CHECKING:
    from icl_contrastive.variants.base import Mixing

Array = npt.NDArray[Any]

# Numba's cache does not notice an edit in a module that a cached function imports from: so the
# cache belongs to the contents of both modules.
_HERE = Path(__file__).parent
_SOURCES = hashlib.sha256(b"".join((_HERE / n).read_bytes() for n in ("simd.py", "fused.py")))
_CACHE = _HERE / "__pycache__" / f"numba-{_SOURCES.hexdigest()[:16]}"

ROWS = 8  # tokens per tile
COLUMNS = 4  # coordinates of ω per tile
BLOCK = 608  # features, at most, whose exponentials and ω stay in the first level of cache


class Kernel(NamedTuple):
    """Random features of one run, laid out for the two products.

    Features are padded to whole vectors, with log weight −∞ so that they count nothing.
    """

    omega_t: Array  # (rows, m): Ωᵀ, with rows of zeros up to a multiple of COLUMNS
    log_weight: Array  # (m,): 2 b, less its maximum
    no_weight: Array  # (m,): zeros
    block: int  # features that are worked on at a time
    lanes: int  # entries of a vector
    shift_slope: Any  # shift of the exponent per unit of the norm
    exact: bool  # exact softmax scores kᵀq instead


class Stacks(NamedTuple):
    """Weights or gradients of one run, transposed, output coordinates padded to whole vectors."""

    query: Array  # (1, d, width)
    key: Array  # (1 + g2 layers, d, width)
    value: Array  # (1 + g1 layers, d, width)


class Mix(NamedTuple):
    """``variants.base.Mixing`` in the precision of training."""

    gain: Array
    offset: Array
    offset_by_rank: Array
    repulsion_by_rank: Array
    has_ranks: bool
    has_repulsion: bool


class Workspace(NamedTuple):
    """Memory of one prompt's forward and backward pass.

    The n tokens are padded to whole tiles of ROWS, d + 1 to the whole vectors of ``width``.
    """

    key_x: Array  # (2 + g2 layers, rows, width): tokens, then the output of every layer
    key_slope: Array  # (1 + g2 layers, rows, width): derivative of every layer's activation
    value_x: Array  # (2 + g1 layers, rows, width)
    value_slope: Array  # (1 + g1 layers, rows, width)
    query_x: Array  # (2, rows, width); only the last token, unless there are own negatives
    keys: Array  # (rows, d)
    queries: Array  # (rows, d); likewise
    sums: Array  # (rows, d): k_i + q
    shift: Array  # (rows,)
    exponentials: Array  # (ROWS, block)
    sums_by_lane: Array  # (rows, padded d + 1, lanes): ``tilted`` before its lanes are summed
    tilted: Array  # (rows, d + 1): Σ_f exp(…) ω_f, and Σ_f exp(…) in the last column
    attention: Array  # (n,): scores, then weights
    coefficients: Array  # (n,)
    repulsion: Array  # (N, N): weight of value j in the repulsion from i
    key_features: Array  # (blocks, rows, block), only for own negatives
    query_features: Array  # (blocks, rows, block), likewise
    key_factor: Array  # (rows,): what key_features lack to be φ(k)
    own_scores: Array  # (rows,)
    error: Array  # (d_y,)
    grad_coefficients: Array  # (n,)
    grad_attention: Array  # (n,)
    delta: Array  # (rows, width)
    delta_below: Array  # (rows, width)
    scale: Any  # d^(−1/4), on keys and queries


def jit(function: Any) -> Any:
    """Compile, and keep the compiled code on disk.

    Sums keep their order: LLVM would choose between a reordered and a plain loop by where the
    arrays happen to lie in memory, and the same job would not give the same bytes again.
    """
    elsewhere = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    if os.access(_HERE, os.W_OK) and not elsewhere:
        numba.config.CACHE_DIR = str(_CACHE)  # type: ignore[attr-defined]
    try:
        return numba.njit(cache=True, error_model="numpy", fastmath={"contract"})(function)
    finally:
        numba.config.CACHE_DIR = elsewhere  # type: ignore[attr-defined]


@jit
def multiply_exp(
    z: Array,
    shift: Array,
    weight: Array,
    kernel: Kernel,
    start: int,
    tile: int,
    out: Array,
    sums_by_lane: Array,
) -> None:
    """out = exp(z Ωᵀ + weight − shift) for a tile of tokens and a block of features.

    Its sums over features are added to the last entry of ``sums_by_lane``.
    """
    d, m, width, block = z.shape[1], kernel.omega_t.shape[1], kernel.lanes, kernel.block
    omega, sums, stride = kernel.omega_t, sums_by_lane, sums_by_lane.shape[1] * width
    for half in range(0, ROWS, 4):  # 4 rows × 2 vectors of features stay in registers
        row, p, q = tile + half, (tile + half + 1) * stride - width, half * block
        shift0, shift1 = splat(shift[row]), splat(shift[row + 1])
        shift2, shift3 = splat(shift[row + 2]), splat(shift[row + 3])
        sum0, sum1 = load(sums, p), load(sums, p + stride)
        sum2, sum3 = load(sums, p + 2 * stride), load(sums, p + 3 * stride)
        for f in range(start, start + block, 2 * width):
            weight0, weight1 = load(weight, f), load(weight, f + width)
            e00, e01 = subtract(weight0, shift0), subtract(weight1, shift0)
            e10, e11 = subtract(weight0, shift1), subtract(weight1, shift1)
            e20, e21 = subtract(weight0, shift2), subtract(weight1, shift2)
            e30, e31 = subtract(weight0, shift3), subtract(weight1, shift3)
            for c in range(d):
                omega0, omega1 = load(omega, c * m + f), load(omega, c * m + f + width)
                x = splat(z[row, c])
                e00, e01 = fma(x, omega0, e00), fma(x, omega1, e01)
                x = splat(z[row + 1, c])
                e10, e11 = fma(x, omega0, e10), fma(x, omega1, e11)
                x = splat(z[row + 2, c])
                e20, e21 = fma(x, omega0, e20), fma(x, omega1, e21)
                x = splat(z[row + 3, c])
                e30, e31 = fma(x, omega0, e30), fma(x, omega1, e31)
            e00, e01, e10, e11 = exp(e00), exp(e01), exp(e10), exp(e11)
            e20, e21, e30, e31 = exp(e20), exp(e21), exp(e30), exp(e31)
            sum0, sum1 = add(sum0, add(e00, e01)), add(sum1, add(e10, e11))
            sum2, sum3 = add(sum2, add(e20, e21)), add(sum3, add(e30, e31))
            g = q + f - start
            store(out, g, e00)
            store(out, g + width, e01)
            store(out, g + block, e10)
            store(out, g + block + width, e11)
            store(out, g + 2 * block, e20)
            store(out, g + 2 * block + width, e21)
            store(out, g + 3 * block, e30)
            store(out, g + 3 * block + width, e31)
        store(sums, p, sum0)
        store(sums, p + stride, sum1)
        store(sums, p + 2 * stride, sum2)
        store(sums, p + 3 * stride, sum3)


@jit
def multiply_omega(
    exponentials: Array, kernel: Kernel, start: int, tile: int, sums_by_lane: Array
) -> None:
    """Add exponentials Ω of a tile of tokens and a block of features to ``sums_by_lane``."""
    m, width, block = kernel.omega_t.shape[1], kernel.lanes, kernel.block
    y, omega, sums = exponentials, kernel.omega_t, sums_by_lane
    stride = sums_by_lane.shape[1] * width
    for half in range(0, ROWS, 4):
        q = half * block
        for c in range(0, kernel.omega_t.shape[0], COLUMNS):  # 4 rows × 4 columns in registers
            p0 = (tile + half) * stride + c * width
            p1, p2, p3 = p0 + stride, p0 + 2 * stride, p0 + 3 * stride
            a00, a01 = load(sums, p0), load(sums, p0 + width)
            a02, a03 = load(sums, p0 + 2 * width), load(sums, p0 + 3 * width)
            a10, a11 = load(sums, p1), load(sums, p1 + width)
            a12, a13 = load(sums, p1 + 2 * width), load(sums, p1 + 3 * width)
            a20, a21 = load(sums, p2), load(sums, p2 + width)
            a22, a23 = load(sums, p2 + 2 * width), load(sums, p2 + 3 * width)
            a30, a31 = load(sums, p3), load(sums, p3 + width)
            a32, a33 = load(sums, p3 + 2 * width), load(sums, p3 + 3 * width)
            for f in range(0, block, width):
                w = c * m + start + f
                w0, w1 = load(omega, w), load(omega, w + m)
                w2, w3 = load(omega, w + 2 * m), load(omega, w + 3 * m)
                x = load(y, q + f)
                a00, a01 = fma(x, w0, a00), fma(x, w1, a01)
                a02, a03 = fma(x, w2, a02), fma(x, w3, a03)
                x = load(y, q + block + f)
                a10, a11 = fma(x, w0, a10), fma(x, w1, a11)
                a12, a13 = fma(x, w2, a12), fma(x, w3, a13)
                x = load(y, q + 2 * block + f)
                a20, a21 = fma(x, w0, a20), fma(x, w1, a21)
                a22, a23 = fma(x, w2, a22), fma(x, w3, a23)
                x = load(y, q + 3 * block + f)
                a30, a31 = fma(x, w0, a30), fma(x, w1, a31)
                a32, a33 = fma(x, w2, a32), fma(x, w3, a33)
            store(sums, p0, a00)
            store(sums, p0 + width, a01)
            store(sums, p0 + 2 * width, a02)
            store(sums, p0 + 3 * width, a03)
            store(sums, p1, a10)
            store(sums, p1 + width, a11)
            store(sums, p1 + 2 * width, a12)
            store(sums, p1 + 3 * width, a13)
            store(sums, p2, a20)
            store(sums, p2 + width, a21)
            store(sums, p2 + 2 * width, a22)
            store(sums, p2 + 3 * width, a23)
            store(sums, p3, a30)
            store(sums, p3 + width, a31)
            store(sums, p3 + 2 * width, a32)
            store(sums, p3 + 3 * width, a33)


@jit
def log_mean_exp(kernel: Kernel, work: Workspace, tilt: bool) -> None:
    """Fill ``work.tilted`` for all tokens' k_i + q; only its sums without ``tilt``."""
    rows, d = work.sums.shape
    last = work.sums_by_lane.shape[1] - 1
    work.sums_by_lane[:] = 0
    for start in range(0, kernel.omega_t.shape[1], kernel.block):
        for tile in range(0, rows, ROWS):
            multiply_exp(
                work.sums,
                work.shift,
                kernel.log_weight,
                kernel,
                start,
                tile,
                work.exponentials,
                work.sums_by_lane,
            )
            if tilt:
                multiply_omega(work.exponentials, kernel, start, tile, work.sums_by_lane)
    for i in range(work.attention.size):
        p = i * (last + 1)
        work.tilted[i, d] = total(load(work.sums_by_lane, (p + last) * kernel.lanes))
        if tilt:
            for c in range(d):
                work.tilted[i, c] = total(load(work.sums_by_lane, (p + c) * kernel.lanes))


@jit
def norm_squared(x: Array) -> Any:
    """‖x‖² of a vector."""
    squares = x[0] - x[0]
    for c in range(x.size):
        squares += x[c] * x[c]
    return squares


@jit
def forward_stack(
    stack: Array, lane_count: int, first: int, row: int, x: Array, slope: Array
) -> None:
    """Fill x[1:] from x[0], and the slopes, for the tokens from ``row`` on.

    Of the last layer's outputs, GELU is taken only from coordinate ``first`` on.
    """
    layers, d, width = stack.shape
    rows = x.shape[1]
    zero = splat(x[0, 0, 0] - x[0, 0, 0])
    for layer in range(layers):
        low = first if layer == layers - 1 else 0
        for i in range(row, rows):
            for part in range(0, width, lane_count):
                above = zero
                for c in range(d):
                    w = load(stack, (layer * d + c) * width + part)
                    above = fma(splat(x[layer, i, c]), w, above)
                store(x, ((layer + 1) * rows + i) * width + part, above)
        if layer > 0:
            for i in range(row, rows):
                for o in range(low, d):  # GELU(u) = u Φ(u), GELU'(u) = Φ(u) + u Φ'(u)
                    u = x[layer + 1, i, o]
                    cdf = 0.5 * (1 + math.erf(u * math.sqrt(0.5)))
                    pdf = math.exp(-0.5 * u * u) / math.sqrt(2 * math.pi)
                    slope[layer, i, o] = cdf + u * pdf
                    x[layer + 1, i, o] = u * cdf


@jit
def backward_stack(
    stack: Array,
    lane_count: int,
    x: Array,
    slope: Array,
    work: Workspace,
    gradient: Array,
) -> None:
    """Add to the gradient of every layer, from ``work.delta`` = ∂L/∂ output of the last one.

    Coordinates of ``work.delta`` that the loss does not depend on are zero.
    """
    layers, d, width = stack.shape
    delta, below = work.delta, work.delta_below
    n = work.attention.size
    for layer in range(layers - 1, -1, -1):
        if layer > 0:
            for i in range(n):
                for o in range(width):
                    delta[i, o] *= slope[layer, i, o]
        for part in range(0, width, lane_count):
            for c in range(d):
                place = (layer * d + c) * width + part
                grad = load(gradient, place)
                for i in range(n):
                    grad = fma(splat(x[layer, i, c]), load(delta, i * width + part), grad)
                store(gradient, place, grad)
        if layer > 0:
            for i in range(n):
                for c in range(d):
                    product = delta[i, 0] * stack[layer, c, 0]
                    for o in range(1, width):
                        product += delta[i, o] * stack[layer, c, o]
                    below[i, c] = product
            for i in range(n):
                delta[i, :d] = below[i, :d]


@jit
def rank(scores: Array, count: int, j: int) -> int:
    """Rank of scores[j] among the first ``count``, 0 for the lowest, ties by position."""
    position = 0
    for other in range(count):
        position += (scores[other] < scores[j]) | ((scores[other] == scores[j]) & (other < j))
    return position


@jit
def multiply_features(features: Array, i: int, others: Array, lane_count: int, out: Array) -> None:
    """out[j] = features of token i · others' features of token j."""
    blocks, rows, block = others.shape
    x, y = features, others
    zero = splat(features[0, 0, 0] - features[0, 0, 0])
    for tile in range(0, rows, ROWS):
        t0, t1, t2, t3, t4, t5, t6, t7 = zero, zero, zero, zero, zero, zero, zero, zero
        for part in range(blocks):
            q, p = (part * rows + i) * block, (part * rows + tile) * block
            for f in range(0, block, lane_count):
                a = load(x, q + f)
                t0 = fma(a, load(y, p + f), t0)
                t1 = fma(a, load(y, p + block + f), t1)
                t2 = fma(a, load(y, p + 2 * block + f), t2)
                t3 = fma(a, load(y, p + 3 * block + f), t3)
                t4 = fma(a, load(y, p + 4 * block + f), t4)
                t5 = fma(a, load(y, p + 5 * block + f), t5)
                t6 = fma(a, load(y, p + 6 * block + f), t6)
                t7 = fma(a, load(y, p + 7 * block + f), t7)
        out[tile] = total(t0)
        out[tile + 1] = total(t1)
        out[tile + 2] = total(t2)
        out[tile + 3] = total(t3)
        out[tile + 4] = total(t4)
        out[tile + 5] = total(t5)
        out[tile + 6] = total(t6)
        out[tile + 7] = total(t7)


@jit
def fill_features(
    x: Array, weight: Array, kernel: Kernel, work: Workspace, features: Array
) -> None:
    """features = exp(x Ωᵀ + weight − shift) of all tokens, with their shift in ``work``."""
    for i in range(x.shape[0]):
        work.shift[i] = kernel.shift_slope * math.sqrt(norm_squared(x[i]))
    for part in range(features.shape[0]):
        for tile in range(0, x.shape[0], ROWS):
            out, start = features[part, tile : tile + ROWS], part * kernel.block
            multiply_exp(x, work.shift, weight, kernel, start, tile, out, work.sums_by_lane)


@jit
def own_negatives(kernel: Kernel, mix: Mix, work: Workspace) -> None:
    """Fill ``work.repulsion`` from the scores of every demonstration as the query."""
    demonstrations, rows = work.attention.size - 1, work.keys.shape[0]
    if not kernel.exact:
        fill_features(work.queries, kernel.no_weight, kernel, work, work.query_features)
        fill_features(work.keys, kernel.log_weight, kernel, work, work.key_features)
        highest = -np.inf
        for i in range(rows):
            work.key_factor[i] = work.shift[i] - norm_squared(work.keys[i]) / 2
            highest = max(highest, work.key_factor[i])
        for i in range(rows):
            work.key_factor[i] = math.exp(work.key_factor[i] - highest)
    scores = work.own_scores
    for i in range(demonstrations):
        if kernel.exact:
            for j in range(demonstrations):
                product = work.keys[j, 0] * work.queries[i, 0]
                for c in range(1, work.keys.shape[1]):
                    product += work.keys[j, c] * work.queries[i, c]
                scores[j] = product
        else:  # up to a factor that all keys share
            multiply_features(work.query_features, i, work.key_features, kernel.lanes, scores)
            for j in range(demonstrations):
                scores[j] *= work.key_factor[j]
        scores[i] = np.inf  # ranks last, and repels itself by nothing
        for j in range(demonstrations):
            if i != j:
                work.repulsion[i, j] = mix.repulsion_by_rank[rank(scores, demonstrations, j)]


@jit
def forward(
    tokens: Array,
    weights: Stacks,
    kernel: Kernel,
    mix: Mix,
    d_y: int,
    work: Workspace,
    tilt: bool,
) -> None:
    """Attention weights, coefficients and values of one prompt, into ``work``.

    With ``tilt``, also the tilted means that the backward pass needs.
    """
    n, d = tokens.shape
    scale, lane_count = work.scale, kernel.lanes
    work.key_x[0, :n, :d] = tokens
    work.value_x[0, :n, :d] = tokens
    work.query_x[0, :n, :d] = tokens
    first_query = 0 if mix.has_repulsion else n - 1
    forward_stack(weights.key, lane_count, 0, 0, work.key_x, work.key_slope)
    forward_stack(weights.value, lane_count, d - d_y, 0, work.value_x, work.value_slope)
    forward_stack(weights.query, lane_count, 0, first_query, work.query_x, work.key_slope)
    for i in range(n):
        for c in range(d):
            work.keys[i, c] = scale * work.key_x[-1, i, c]
    for i in range(first_query, n):
        for c in range(d):
            work.queries[i, c] = scale * work.query_x[1, i, c]
    query = work.queries[n - 1]

    scores = work.attention
    if kernel.exact:
        for i in range(n):
            product = work.keys[i, 0] * query[0]
            for c in range(1, d):
                product += work.keys[i, c] * query[c]
            scores[i] = product
    else:
        for i in range(n):
            for c in range(d):
                work.sums[i, c] = work.keys[i, c] + query[c]
            work.shift[i] = kernel.shift_slope * math.sqrt(norm_squared(work.sums[i]))
        log_mean_exp(kernel, work, tilt)
        for i in range(n):  # without ‖q‖²/2 and log m, which all tokens share
            log_sum = math.log(work.tilted[i, d]) + work.shift[i]
            scores[i] = log_sum - norm_squared(work.keys[i]) / 2

    highest = scores[0]
    for i in range(1, n):
        highest = max(highest, scores[i])
    normalizer = scores[0] - scores[0]
    for i in range(n):
        scores[i] = math.exp(scores[i] - highest)
        normalizer += scores[i]
    attention = scores
    for i in range(n):
        attention[i] /= normalizer

    for j in range(n):
        work.coefficients[j] = mix.gain[j] * attention[j] + mix.offset[j]
        if mix.has_ranks:
            work.coefficients[j] += mix.offset_by_rank[rank(attention, n, j)]
    if mix.has_repulsion:
        own_negatives(kernel, mix, work)
        for i in range(n - 1):
            for j in range(n - 1):
                work.coefficients[j] -= attention[i] * work.repulsion[i, j]


@jit
def squared_error(target: Array, d: int, work: Workspace) -> Any:
    """‖ŷ − y‖², leaving ŷ − y in ``work.error``."""
    low = d - target.size
    squares = target[0] - target[0]
    for o in range(target.size):
        error = -target[o]
        for i in range(work.coefficients.size):
            error += work.coefficients[i] * work.value_x[-1, i, low + o]
        work.error[o] = error
        squares += error * error
    return squares


@jit
def backward(weights: Stacks, kernel: Kernel, mix: Mix, work: Workspace, gradients: Stacks) -> None:
    """Add the gradient of ‖ŷ − y‖² of the prompt in ``work`` to ``gradients``."""
    n, d, d_y = work.coefficients.size, work.keys.shape[1], work.error.size
    scale, attention, delta = work.scale, work.attention, work.delta
    lane_count = kernel.lanes

    # through ŷ = Σ c_i v_i
    delta[:] = 0
    for i in range(n):
        grad = attention[0] - attention[0]
        for o in range(d_y):
            slope = 2 * work.error[o]
            grad += slope * work.value_x[-1, i, d - d_y + o]
            delta[i, d - d_y + o] = slope * work.coefficients[i]
        work.grad_coefficients[i] = grad
    backward_stack(weights.value, lane_count, work.value_x, work.value_slope, work, gradients.value)

    # through c = Mixing(a) and a = softmax(s)
    mean = attention[0] - attention[0]
    for i in range(n):
        grad = mix.gain[i] * work.grad_coefficients[i]
        if mix.has_repulsion and i < n - 1:
            for j in range(n - 1):
                grad -= work.repulsion[i, j] * work.grad_coefficients[j]
        work.grad_attention[i] = grad
        mean += attention[i] * grad

    # through s_i: ∂s_i/∂k_i = t_i − k_i and ∂s_i/∂q = t_i − q, where Σ ∂L/∂s_i = 0 drops q
    query, grad_query = work.queries[n - 1], work.delta_below[n - 1]
    grad_query[:] = 0
    for i in range(n):
        grad = scale * attention[i] * (work.grad_attention[i] - mean)
        if kernel.exact:
            for c in range(d):
                grad_query[c] += grad * work.keys[i, c]
                delta[i, c] = grad * query[c]
        else:
            share = grad / work.tilted[i, d]
            for c in range(d):
                tilted = share * work.tilted[i, c]
                grad_query[c] += tilted
                delta[i, c] = tilted - grad * work.keys[i, c]
    for c in range(d):
        for o in range(d):
            gradients.query[0, c, o] += work.query_x[0, n - 1, c] * grad_query[o]
    backward_stack(weights.key, lane_count, work.key_x, work.key_slope, work, gradients.key)


@jit
def take_step(weights: Array, gradient: Array, learning_rate: Any) -> None:
    """Move the weights against the gradient, and clear it."""
    layers, d, width = weights.shape
    for layer in range(layers):
        for c in range(d):
            for o in range(width):
                weights[layer, c, o] -= learning_rate * gradient[layer, c, o]
                gradient[layer, c, o] = 0


@jit
def train_prompts(
    weights: Stacks,
    gradients: Stacks,
    kernel: Kernel,
    mix: Mix,
    work: Workspace,
    tokens: Array,
    targets: Array,
    batch: int,
    rate: Any,
    last_rate: Any,
) -> Any:
    """An SGD step after every ``batch`` prompts; the mean of the squared errors met on the way.

    The rates are those of a step by the sum of a batch's gradients; the last batch may be smaller.
    """
    squares = 0.0
    for p in range(tokens.shape[0]):
        forward(tokens[p], weights, kernel, mix, targets.shape[1], work, True)
        squares += squared_error(targets[p], tokens.shape[2], work)
        backward(weights, kernel, mix, work, gradients)
        last = p + 1 == tokens.shape[0]
        if last or (p + 1) % batch == 0:
            step = last_rate if last else rate
            take_step(weights.query, gradients.query, step)
            take_step(weights.key, gradients.key, step)
            take_step(weights.value, gradients.value, step)
    return squares / tokens.shape[0]


@jit
def evaluate(
    weights: Stacks, kernel: Kernel, mix: Mix, work: Workspace, tokens: Array, targets: Array
) -> Any:
    """Mean squared error over prompts."""
    squares = 0.0
    for p in range(tokens.shape[0]):
        forward(tokens[p], weights, kernel, mix, targets.shape[1], work, False)
        squares += squared_error(targets[p], tokens.shape[2], work)
    return squares / tokens.shape[0]


def _ceil(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def build_kernel(omega: Array | None, log_weight: Array | None, d: int, dtype: Any) -> Kernel:
    """Lay out one run's features (m, d) and log weights (m,); exact softmax for None."""
    width = lanes(dtype)
    padded_d = _ceil(d, COLUMNS)
    if omega is None or log_weight is None:
        empty = np.zeros((padded_d, 0), dtype)
        return Kernel(empty, empty[0], empty[0], 0, width, dtype.type(0), exact=True)
    count = len(omega)
    block = _ceil(-(-count // -(-count // BLOCK)), 2 * width)
    m = _ceil(count, block)
    omega_t = np.zeros((padded_d, m), dtype)
    omega_t[:d, :count] = omega.T
    weight = np.full(m, -1e30, dtype)
    weight[:count] = 2 * (log_weight - log_weight.max())
    # The largest of m normal projections on a unit vector is about √(2 ln m) deviations.
    deviation = math.sqrt(np.square(omega, dtype=np.float64).mean())
    return Kernel(
        omega_t=omega_t,
        log_weight=weight,
        no_weight=np.zeros(m, dtype),
        block=block,
        lanes=width,
        shift_slope=dtype.type(deviation * math.sqrt(2 * math.log(max(2, count)))),
        exact=False,
    )


def build_mix(mixing: Mixing, dtype: Any) -> Mix:
    """The variant's mixing in the precision of training."""

    def constant(array: Array | None) -> Array:
        return np.ascontiguousarray([] if array is None else array, dtype)

    return Mix(
        gain=constant(mixing.gain),
        offset=constant(mixing.offset),
        offset_by_rank=constant(mixing.offset_by_rank),
        repulsion_by_rank=constant(mixing.repulsion_by_rank),
        has_ranks=mixing.offset_by_rank is not None,
        has_repulsion=mixing.repulsion_by_rank is not None,
    )


def build_workspace(
    weights: Stacks, kernel: Kernel, mix: Mix, d_y: int, scale: float | None
) -> Workspace:
    """Memory for the prompts that the mixing is for."""
    dtype, (_, d, width) = weights.query.dtype, weights.query.shape
    n = mix.gain.size
    rows = _ceil(n, ROWS)
    own = kernel.omega_t.shape[1] // kernel.block if mix.has_repulsion and kernel.block else 0

    def zeros(*shape: int) -> Array:
        return np.zeros(shape, dtype)

    return Workspace(
        key_x=zeros(1 + len(weights.key), rows, width),
        key_slope=zeros(len(weights.key), rows, width),
        value_x=zeros(1 + len(weights.value), rows, width),
        value_slope=zeros(len(weights.value), rows, width),
        query_x=zeros(2, rows, width),
        keys=zeros(rows, d),
        queries=zeros(rows, d),
        sums=zeros(rows, d),
        shift=zeros(rows),
        exponentials=zeros(ROWS, kernel.block),
        sums_by_lane=zeros(rows, kernel.omega_t.shape[0] + 1, kernel.lanes),
        tilted=zeros(rows, d + 1),
        attention=zeros(n),
        coefficients=zeros(n),
        repulsion=zeros(n - 1, n - 1),
        key_features=zeros(own, rows, kernel.block),
        query_features=zeros(own, rows, kernel.block),
        key_factor=zeros(rows),
        own_scores=zeros(rows),
        error=zeros(d_y),
        grad_coefficients=zeros(n),
        grad_attention=zeros(n),
        delta=zeros(rows, width),
        delta_below=zeros(rows, width),
        scale=dtype.type(d**-0.25 if scale is None else scale),
    )


class FusedRun:
    """One run's weights and the compiled loops over its prompts.

    Args:
        weights: ``W_Q``, ``W_K``, ``W_V`` (d, d) and, if augmented, ``g1``, ``g2`` (layers, d, d);
            their dtype, float32 or float64, is that of the training.
        omega, log_weight: (m, d) and (m,), or None for the exact softmax.
        mixing: the variant's, for N demonstrations.
        d_y: number of label coordinates, the last ones of a token.
        scale: factor on keys and queries, d^(−1/4) by default.
    """

    def __init__(
        self,
        weights: dict[str, Array],
        omega: Array | None,
        log_weight: Array | None,
        mixing: Mixing,
        d_y: int,
        scale: float | None = None,
    ) -> None:
        dtype, d = weights["W_Q"].dtype, len(weights["W_Q"])
        width = _ceil(d + 1, lanes(dtype))

        def stack(first: str, layers: str = "") -> Array:
            matrices = [weights[first][None], *([weights[layers]] if layers in weights else [])]
            transposed = np.concatenate(matrices).swapaxes(-1, -2)
            padded = np.pad(transposed, ((0, 0), (0, 0), (0, width - d)))
            return np.ascontiguousarray(padded)

        self._stacks = Stacks(stack("W_Q"), stack("W_K", "g2"), stack("W_V", "g1"))
        self._gradients = Stacks(*(np.zeros_like(array) for array in self._stacks))
        self._kernel = build_kernel(omega, log_weight, d, dtype)
        self._mix = build_mix(mixing, dtype)
        self._work = build_workspace(self._stacks, self._kernel, self._mix, d_y, scale)

    def redraw(self, omega: Array, log_weight: Array) -> None:
        """Go on with other features, of the same number."""
        dtype, d = self._stacks.query.dtype, self._stacks.query.shape[1]
        self._kernel = build_kernel(omega, log_weight, d, dtype)

    def train(self, tokens: Array, targets: Array, learning_rate: float, batch: int = 1) -> float:
        """A step per batch: tokens (prompts, n, d), targets (prompts, d_y) → mean error."""
        dtype, last = self._stacks.query.dtype.type, (len(tokens) - 1) % batch + 1
        rates = dtype(learning_rate / batch), dtype(learning_rate / last)
        arguments = (self._gradients, self._kernel, self._mix, self._work, tokens, targets, batch)
        return float(train_prompts(self._stacks, *arguments, *rates))

    def evaluate(self, tokens: Array, targets: Array) -> float:
        """Mean squared error over prompts."""
        arguments = (self._kernel, self._mix, self._work, tokens, targets)
        return float(evaluate(self._stacks, *arguments))

    @property
    def weights(self) -> dict[str, Array]:
        """A copy of the weights, named and laid out as they were given."""
        d = self._stacks.query.shape[1]
        query, key, value = (array[..., :d].swapaxes(-1, -2) for array in self._stacks)
        weights = {"W_Q": query[0], "W_K": key[0], "W_V": value[0]}
        if len(value) > 1:
            weights["g1"] = value[1:]
        if len(key) > 1:
            weights["g2"] = key[1:]
        return {name: np.ascontiguousarray(array) for name, array in weights.items()}


class FusedRuns:
    """Runs one after the other, each in its own caches; first axis of every array: run."""

    def __init__(
        self,
        weights: dict[str, Array],
        omega: Array | None,
        log_weight: Array | None,
        mixing: Mixing,
        d_y: int,
        scale: float | None = None,
    ) -> None:
        self._runs = [
            FusedRun(
                {name: array[run] for name, array in weights.items()},
                None if omega is None else omega[run],
                None if log_weight is None else log_weight[run],
                mixing,
                d_y,
                scale,
            )
            for run in range(len(weights["W_Q"]))
        ]

    def redraw(self, features: dict[str, Array]) -> None:
        """Go on with other features, (R, m, d) and (R, m)."""
        draws = zip(self._runs, features["omega"], features["log_weight"], strict=True)
        for run, omega, log_weight in draws:
            run.redraw(omega, log_weight)

    def train(self, tokens: Array, targets: Array, learning_rate: float, batch: int = 1) -> Array:
        """A step per batch: (R, prompts, n, d) and (R, prompts, d_y) → mean errors (R,)."""
        runs = zip(self._runs, tokens, targets, strict=True)
        return np.array([run.train(t, y, learning_rate, batch) for run, t, y in runs])

    def evaluate(self, tokens: Array, targets: Array) -> Array:
        """Mean squared error over prompts, (R,)."""
        runs = zip(self._runs, tokens, targets, strict=True)
        return np.array([run.evaluate(t, y) for run, t, y in runs])

    @property
    def weights(self) -> dict[str, Array]:
        """The weights as they were given, trained."""
        by_run = [run.weights for run in self._runs]
        return {name: np.stack([one[name] for one in by_run]) for name in by_run[0]}
