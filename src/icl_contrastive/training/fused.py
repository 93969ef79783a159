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

from icl_contrastive.training.simd import exp, fma, lanes, load, splat, store, subtract

if TYPE_CHECKING:
    from icl_contrastive.variants.base import Mixing

Array = npt.NDArray[Any]

# Numba's cache does not notice an edit in a module that a cached function imports from: so the
# cache belongs to the contents of both modules.
_HERE = Path(__file__).parent
_SOURCES = hashlib.sha256(b"".join((_HERE / n).read_bytes() for n in ("simd.py", "fused.py")))
if os.access(_HERE, os.W_OK) and not os.environ.get("NUMBA_CACHE_DIR"):
    numba.config.CACHE_DIR = str(_HERE / "__pycache__" / f"numba-{_SOURCES.hexdigest()[:16]}")

ROWS = 8  # tokens per tile


class Kernel(NamedTuple):
    """Random features of one run, laid out for the two products.

    Features are padded to whole vectors, with log weight −∞ so that they count nothing.
    """

    omega_t: Array  # (d, m): Ωᵀ
    omega_lanes: Array  # (blocks, m, lanes): Ω with a last column of ones, in blocks of lanes
    log_weight: Array  # (m,): 2 b, less its maximum
    no_weight: Array  # (m,): zeros
    shift_slope: Any  # shift of the exponent per unit of the norm
    exact: bool  # exact softmax scores kᵀq instead


class Stacks(NamedTuple):
    """Weights or gradients of one run, transposed."""

    query: Array  # (d, d)
    key: Array  # (1 + g2 layers, d, d)
    value: Array  # (1 + g1 layers, d, d)


class Mix(NamedTuple):
    """``variants.base.Mixing`` in the precision of training."""

    gain: Array
    offset: Array
    offset_by_rank: Array
    repulsion_by_rank: Array
    has_ranks: bool
    has_repulsion: bool


class Workspace(NamedTuple):
    """Memory of one prompt's forward and backward pass; n rows padded to whole tiles."""

    key_x: Array  # (2 + g2 layers, n, d): tokens, then the output of every layer
    key_slope: Array  # (1 + g2 layers, n, d): derivative of every layer's activation
    value_x: Array  # (2 + g1 layers, n, d)
    value_slope: Array  # (1 + g1 layers, n, d)
    keys: Array  # (padded n, d)
    queries: Array  # (padded n, d); only the last token's, unless there are own negatives
    sums: Array  # (padded n, d): k_i + q
    shift: Array  # (padded n,)
    exponentials: Array  # (ROWS, m)
    tilted: Array  # (blocks, padded n, lanes): Σ_f exp(…) ω_f, and Σ_f exp(…) in the last column
    attention: Array  # (n,): scores, then weights
    coefficients: Array  # (n,)
    repulsion: Array  # (N, N): weight of value j in the repulsion from i
    key_features: Array  # (padded n, m), only for own negatives
    query_features: Array  # (padded n, m), likewise
    own_scores: Array  # (N,)
    own_shift: Array  # (padded n,)
    error: Array  # (d_y,)
    grad_coefficients: Array  # (n,)
    grad_attention: Array  # (n,)
    grad_query: Array  # (d,)
    delta: Array  # (n, d)
    delta_below: Array  # (n, d)
    scale: Any  # d^(−1/4), on keys and queries


def jit(function: Any) -> Any:
    """Compile, and keep the compiled code on disk.

    Reassociation is allowed, so that sums vectorize; that no NaN occurs is not assumed.
    """
    options = {"cache": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}
    return numba.njit(**options)(function)


@jit
def multiply_exp(z: Array, shift: Array, weight: Array, kernel: Kernel, tile: int, out: Array):
    """out = exp(z Ωᵀ + weight − shift) for the ROWS rows of z from ``tile`` on: (ROWS, m)."""
    d, m = kernel.omega_t.shape
    width = kernel.omega_lanes.shape[2]
    rows, omega, flat = z.reshape(-1), kernel.omega_t.reshape(-1), out.reshape(-1)
    for half in range(0, ROWS, 4):  # 4 rows × 2 vectors of features stay in registers
        row = tile + half
        shift0, shift1 = splat(shift[row]), splat(shift[row + 1])
        shift2, shift3 = splat(shift[row + 2]), splat(shift[row + 3])
        for f in range(0, m, 2 * width):
            weight0, weight1 = load(weight, f), load(weight, f + width)
            e00, e01 = subtract(weight0, shift0), subtract(weight1, shift0)
            e10, e11 = subtract(weight0, shift1), subtract(weight1, shift1)
            e20, e21 = subtract(weight0, shift2), subtract(weight1, shift2)
            e30, e31 = subtract(weight0, shift3), subtract(weight1, shift3)
            for c in range(d):
                omega0, omega1 = load(omega, c * m + f), load(omega, c * m + f + width)
                x = splat(rows[row * d + c])
                e00, e01 = fma(x, omega0, e00), fma(x, omega1, e01)
                x = splat(rows[(row + 1) * d + c])
                e10, e11 = fma(x, omega0, e10), fma(x, omega1, e11)
                x = splat(rows[(row + 2) * d + c])
                e20, e21 = fma(x, omega0, e20), fma(x, omega1, e21)
                x = splat(rows[(row + 3) * d + c])
                e30, e31 = fma(x, omega0, e30), fma(x, omega1, e31)
            store(flat, half * m + f, exp(e00))
            store(flat, half * m + f + width, exp(e01))
            store(flat, (half + 1) * m + f, exp(e10))
            store(flat, (half + 1) * m + f + width, exp(e11))
            store(flat, (half + 2) * m + f, exp(e20))
            store(flat, (half + 2) * m + f + width, exp(e21))
            store(flat, (half + 3) * m + f, exp(e30))
            store(flat, (half + 3) * m + f + width, exp(e31))


@jit
def multiply_omega(exponentials: Array, kernel: Kernel, tile: int, tilted: Array):
    """tilted = exponentials [Ω, 1] for the ROWS tokens from ``tile`` on."""
    blocks, m, width = kernel.omega_lanes.shape
    p = exponentials.reshape(-1)
    for block in range(blocks):
        omega, out = kernel.omega_lanes[block].reshape(-1), tilted[block].reshape(-1)
        zero = splat(p[0] - p[0])
        t0, t1, t2, t3, t4, t5, t6, t7 = zero, zero, zero, zero, zero, zero, zero, zero
        for f in range(m):
            w = load(omega, f * width)
            t0 = fma(splat(p[f]), w, t0)
            t1 = fma(splat(p[m + f]), w, t1)
            t2 = fma(splat(p[2 * m + f]), w, t2)
            t3 = fma(splat(p[3 * m + f]), w, t3)
            t4 = fma(splat(p[4 * m + f]), w, t4)
            t5 = fma(splat(p[5 * m + f]), w, t5)
            t6 = fma(splat(p[6 * m + f]), w, t6)
            t7 = fma(splat(p[7 * m + f]), w, t7)
        store(out, tile * width, t0)
        store(out, (tile + 1) * width, t1)
        store(out, (tile + 2) * width, t2)
        store(out, (tile + 3) * width, t3)
        store(out, (tile + 4) * width, t4)
        store(out, (tile + 5) * width, t5)
        store(out, (tile + 6) * width, t6)
        store(out, (tile + 7) * width, t7)


@jit
def norm_squared(x: Array):
    total = x[0] - x[0]
    for c in range(x.size):
        total += x[c] * x[c]
    return total


@jit
def forward_stack(stack: Array, x: Array, slope: Array, first: int):
    """Fill x[1:] from x[0], and the slopes; the last layer only from column ``first`` on."""
    layers, d, _ = stack.shape
    for layer in range(layers):
        low = first if layer == layers - 1 else 0
        for i in range(x.shape[1]):
            above, below = x[layer + 1, i], x[layer, i]
            above[low:] = 0
            for c in range(d):
                for o in range(low, d):
                    above[o] += below[c] * stack[layer, c, o]
            if layer > 0:
                for o in range(low, d):  # GELU(u) = u Φ(u), GELU'(u) = Φ(u) + u Φ'(u)
                    u = above[o]
                    cdf = 0.5 * (1 + math.erf(u * math.sqrt(0.5)))
                    pdf = math.exp(-0.5 * u * u) / math.sqrt(2 * math.pi)
                    slope[layer, i, o] = cdf + u * pdf
                    above[o] = u * cdf


@jit
def backward_stack(
    stack: Array, x: Array, slope: Array, first: int, work: Workspace, gradient: Array
):
    """Add to the gradient of every layer, from ``work.delta`` = ∂L/∂ output of the last one."""
    layers, d, _ = stack.shape
    delta, below = work.delta, work.delta_below
    n = delta.shape[0]
    for layer in range(layers - 1, -1, -1):
        low = first if layer == layers - 1 else 0
        for i in range(n):
            if layer > 0:
                for o in range(low, d):
                    delta[i, o] *= slope[layer, i, o]
            for c in range(d):
                for o in range(low, d):
                    gradient[layer, c, o] += x[layer, i, c] * delta[i, o]
            if layer > 0:
                for c in range(d):
                    total = delta[i, low] * stack[layer, c, low]
                    for o in range(low + 1, d):
                        total += delta[i, o] * stack[layer, c, o]
                    below[i, c] = total
        if layer > 0:
            delta[:] = below


@jit
def rank(scores: Array, j: int, but: int):
    """Rank of scores[j], 0 for the lowest, ties by position, not counting entry ``but``."""
    position = 0
    for other in range(scores.size):
        lower = scores[other] < scores[j] or (scores[other] == scores[j] and other < j)
        if lower and other != but:
            position += 1
    return position


@jit
def own_negatives(kernel: Kernel, mix: Mix, work: Workspace):
    """Fill ``work.repulsion`` from the scores of every demonstration as the query."""
    demonstrations = work.own_scores.size
    if not kernel.exact:
        for tile in range(0, work.keys.shape[0], ROWS):
            for i in range(tile, tile + ROWS):
                work.shift[i] = kernel.shift_slope * math.sqrt(norm_squared(work.keys[i]))
            rows = work.key_features[tile : tile + ROWS]
            multiply_exp(work.keys, work.shift, kernel.log_weight, kernel, tile, rows)
        for tile in range(0, work.keys.shape[0], ROWS):
            for i in range(tile, tile + ROWS):
                # of no consequence for the ranks: the same for all keys
                work.own_shift[i] = kernel.shift_slope * math.sqrt(norm_squared(work.queries[i]))
            rows = work.query_features[tile : tile + ROWS]
            multiply_exp(work.queries, work.own_shift, kernel.no_weight, kernel, tile, rows)
    for i in range(demonstrations):
        for j in range(demonstrations):
            if kernel.exact:
                score = work.keys[j, 0] * work.queries[i, 0]
                for c in range(1, work.keys.shape[1]):
                    score += work.keys[j, c] * work.queries[i, c]
            else:
                product = work.key_features[j, 0] * work.query_features[i, 0]
                for f in range(1, work.key_features.shape[1]):
                    product += work.key_features[j, f] * work.query_features[i, f]
                score = math.log(product) + work.shift[j] - norm_squared(work.keys[j]) / 2
            work.own_scores[j] = score
        for j in range(demonstrations):
            if i == j:
                work.repulsion[i, j] = 0
            else:
                work.repulsion[i, j] = mix.repulsion_by_rank[rank(work.own_scores, j, i)]


@jit
def forward(tokens: Array, weights: Stacks, kernel: Kernel, mix: Mix, d_y: int, work: Workspace):
    """Attention weights, coefficients and values of one prompt, into ``work``."""
    n, d = tokens.shape
    scale = work.scale
    work.key_x[0] = tokens
    work.value_x[0] = tokens
    forward_stack(weights.key, work.key_x, work.key_slope, 0)
    forward_stack(weights.value, work.value_x, work.value_slope, d - d_y)
    for i in range(0 if mix.has_repulsion else n - 1, n):
        for o in range(d):
            total = tokens[i, 0] * weights.query[0, o]
            for c in range(1, d):
                total += tokens[i, c] * weights.query[c, o]
            work.queries[i, o] = scale * total
    query = work.queries[n - 1]
    for i in range(n):
        for c in range(d):
            work.keys[i, c] = scale * work.key_x[-1, i, c]

    scores = work.attention
    if kernel.exact:
        for i in range(n):
            total = work.keys[i, 0] * query[0]
            for c in range(1, d):
                total += work.keys[i, c] * query[c]
            scores[i] = total
    else:
        for i in range(n):
            for c in range(d):
                work.sums[i, c] = work.keys[i, c] + query[c]
            work.shift[i] = kernel.shift_slope * math.sqrt(norm_squared(work.sums[i]))
        block, lane = d // work.tilted.shape[2], d % work.tilted.shape[2]
        for tile in range(0, work.sums.shape[0], ROWS):
            multiply_exp(work.sums, work.shift, kernel.log_weight, kernel, tile, work.exponentials)
            multiply_omega(work.exponentials, kernel, tile, work.tilted)
        for i in range(n):  # without ‖q‖²/2 and log m, which all tokens share
            log_sum = math.log(work.tilted[block, i, lane]) + work.shift[i]
            scores[i] = log_sum - norm_squared(work.keys[i]) / 2

    highest = scores[0]
    for i in range(1, n):
        highest = max(highest, scores[i])
    total = scores[0] - scores[0]
    for i in range(n):
        scores[i] = math.exp(scores[i] - highest)
        total += scores[i]
    attention = scores
    for i in range(n):
        attention[i] /= total

    for j in range(n):
        work.coefficients[j] = mix.gain[j] * attention[j] + mix.offset[j]
        if mix.has_ranks:
            work.coefficients[j] += mix.offset_by_rank[rank(attention, j, -1)]
    if mix.has_repulsion:
        own_negatives(kernel, mix, work)
        for i in range(n - 1):
            for j in range(n - 1):
                work.coefficients[j] -= attention[i] * work.repulsion[i, j]


@jit
def squared_error(target: Array, work: Workspace):
    """‖ŷ − y‖², leaving ŷ − y in ``work.error``."""
    n, d, d_y = work.coefficients.size, work.value_x.shape[2], target.size
    total = target[0] - target[0]
    for o in range(d_y):
        error = -target[o]
        for i in range(n):
            error += work.coefficients[i] * work.value_x[-1, i, d - d_y + o]
        work.error[o] = error
        total += error * error
    return total


@jit
def backward(weights: Stacks, kernel: Kernel, mix: Mix, work: Workspace, gradients: Stacks):
    """Add the gradient of ‖ŷ − y‖² of the prompt in ``work`` to ``gradients``."""
    n, d, d_y = work.coefficients.size, work.value_x.shape[2], work.error.size
    scale, attention, low = work.scale, work.attention, d - work.error.size

    # through ŷ = Σ c_i v_i
    for i in range(n):
        grad = work.grad_attention[i] - work.grad_attention[i]
        for o in range(d_y):
            slope = 2 * work.error[o]
            grad += slope * work.value_x[-1, i, low + o]
            work.delta[i, low + o] = slope * work.coefficients[i]
        work.grad_coefficients[i] = grad
    backward_stack(weights.value, work.value_x, work.value_slope, low, work, gradients.value)

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
    work.grad_query[:] = 0
    query = work.queries[n - 1]
    width = work.tilted.shape[2]
    for i in range(n):
        grad = attention[i] * (work.grad_attention[i] - mean)
        if kernel.exact:
            for c in range(d):
                work.grad_query[c] += grad * work.keys[i, c]
                work.delta[i, c] = scale * grad * query[c]
        else:
            share = grad / work.tilted[d // width, i, d % width]
            for c in range(d):
                tilted = share * work.tilted[c // width, i, c % width]
                work.grad_query[c] += tilted
                work.delta[i, c] = scale * (tilted - grad * work.keys[i, c])
    backward_stack(weights.key, work.key_x, work.key_slope, 0, work, gradients.key)
    for c in range(d):
        for o in range(d):
            gradients.query[c, o] += scale * work.key_x[0, n - 1, c] * work.grad_query[o]


@jit
def descend(weights: Array, gradient: Array, rate: Any):
    w, g = weights.reshape(-1), gradient.reshape(-1)
    for index in range(w.size):
        w[index] -= rate * g[index]
        g[index] = 0


@jit
def train_prompts(
    weights: Stacks,
    gradients: Stacks,
    kernel: Kernel,
    mix: Mix,
    work: Workspace,
    tokens: Array,
    targets: Array,
    learning_rate: Any,
):
    """One SGD step for each prompt in turn; the mean of the squared errors met on the way."""
    total = 0.0
    for p in range(tokens.shape[0]):
        forward(tokens[p], weights, kernel, mix, targets.shape[1], work)
        total += squared_error(targets[p], work)
        backward(weights, kernel, mix, work, gradients)
        descend(weights.query, gradients.query, learning_rate)
        descend(weights.key, gradients.key, learning_rate)
        descend(weights.value, gradients.value, learning_rate)
    return total / tokens.shape[0]


@jit
def evaluate(
    weights: Stacks, kernel: Kernel, mix: Mix, work: Workspace, tokens: Array, targets: Array
):
    """Mean squared error over prompts."""
    total = 0.0
    for p in range(tokens.shape[0]):
        forward(tokens[p], weights, kernel, mix, targets.shape[1], work)
        total += squared_error(targets[p], work)
    return total / tokens.shape[0]


def _ceil(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def build_kernel(omega: Array | None, log_weight: Array | None, d: int, dtype: Any) -> Kernel:
    """Lay out one run's features (m, d) and log weights (m,); exact softmax for None."""
    width = lanes(dtype)
    if omega is None or log_weight is None:
        nothing = np.zeros((d, 0), dtype), np.zeros((1, 0, width), dtype), np.zeros(0, dtype)
        return Kernel(*nothing, np.zeros(0, dtype), dtype.type(0), exact=True)
    m = _ceil(omega.shape[0], 2 * width)
    padded = np.zeros((m, d), dtype)
    padded[: omega.shape[0]] = omega
    with_ones = np.zeros((m, _ceil(d + 1, width)), dtype)
    with_ones[:, :d] = padded
    with_ones[:, d] = 1
    weight = np.full(m, -1e30, dtype)
    weight[: omega.shape[0]] = 2 * (log_weight - log_weight.max())
    # The largest of m normal projections on a unit vector is about √(2 ln m) deviations.
    deviation = float(np.sqrt((omega.astype(np.float64) ** 2).mean()))
    return Kernel(
        omega_t=np.ascontiguousarray(padded.T),
        omega_lanes=np.ascontiguousarray(with_ones.reshape(m, -1, width).swapaxes(0, 1)),
        log_weight=weight,
        no_weight=np.zeros(m, dtype),
        shift_slope=dtype.type(deviation * math.sqrt(2 * math.log(max(2, omega.shape[0])))),
        exact=False,
    )


def build_mix(mixing: Mixing, dtype: Any) -> Mix:
    """The variant's mixing in the precision of training."""
    arrays = (mixing.gain, mixing.offset, mixing.offset_by_rank, mixing.repulsion_by_rank)
    return Mix(
        *(np.ascontiguousarray([] if array is None else array, dtype) for array in arrays),
        has_ranks=mixing.offset_by_rank is not None,
        has_repulsion=mixing.repulsion_by_rank is not None,
    )


def build_workspace(weights: Stacks, kernel: Kernel, mix: Mix, d_y: int) -> Workspace:
    """Memory for the prompts that the mixing is for."""
    dtype, d, m = weights.query.dtype, weights.query.shape[0], kernel.omega_t.shape[1]
    n = mix.gain.size
    rows = _ceil(n, ROWS)
    blocks, _, width = kernel.omega_lanes.shape
    own = rows if mix.has_repulsion else 0

    def zeros(*shape: int) -> Array:
        return np.zeros(shape, dtype)

    return Workspace(
        key_x=zeros(1 + len(weights.key), n, d),
        key_slope=zeros(len(weights.key), n, d),
        value_x=zeros(1 + len(weights.value), n, d),
        value_slope=zeros(len(weights.value), n, d),
        keys=zeros(rows, d),
        queries=zeros(rows, d),
        sums=zeros(rows, d),
        shift=zeros(rows),
        exponentials=zeros(ROWS, m),
        tilted=zeros(blocks, rows, width),
        attention=zeros(n),
        coefficients=zeros(n),
        repulsion=zeros(n - 1, n - 1),
        key_features=zeros(own, m),
        query_features=zeros(own, m),
        own_scores=zeros(n - 1),
        own_shift=zeros(rows),
        error=zeros(d_y),
        grad_coefficients=zeros(n),
        grad_attention=zeros(n),
        grad_query=zeros(d),
        delta=zeros(n, d),
        delta_below=zeros(n, d),
        scale=dtype.type(d**-0.25),
    )


class FusedRun:
    """One run's weights and the compiled loops over its prompts.

    Args:
        weights: ``W_Q``, ``W_K``, ``W_V`` (d, d) and, if augmented, ``g1``, ``g2`` (layers, d, d);
            their dtype, float32 or float64, is that of the training.
        omega, log_weight: (m, d) and (m,), or None for the exact softmax.
        mixing: the variant's, for N demonstrations.
        d_y: number of label coordinates, the last ones of a token.
    """

    def __init__(
        self,
        weights: dict[str, Array],
        omega: Array | None,
        log_weight: Array | None,
        mixing: Mixing,
        d_y: int,
    ) -> None:
        dtype = weights["W_Q"].dtype

        def stack(first: str, layers: str) -> Array:
            matrices = [weights[first][None], *([weights[layers]] if layers in weights else [])]
            return np.ascontiguousarray(np.concatenate(matrices).swapaxes(-1, -2))

        query = np.ascontiguousarray(weights["W_Q"].T)
        self._stacks = Stacks(query, stack("W_K", "g2"), stack("W_V", "g1"))
        self._gradients = Stacks(*(np.zeros_like(array) for array in self._stacks))
        self._kernel = build_kernel(omega, log_weight, query.shape[0], dtype)
        self._mix = build_mix(mixing, dtype)
        self._work = build_workspace(self._stacks, self._kernel, self._mix, d_y)

    def train(self, tokens: Array, targets: Array, learning_rate: float) -> float:
        """One step per prompt: tokens (prompts, n, d), targets (prompts, d_y) → mean error."""
        rate = self._stacks.query.dtype.type(learning_rate)
        arguments = (self._gradients, self._kernel, self._mix, self._work, tokens, targets, rate)
        return float(train_prompts(self._stacks, *arguments))

    def evaluate(self, tokens: Array, targets: Array) -> float:
        """Mean squared error over prompts."""
        arguments = (self._kernel, self._mix, self._work, tokens, targets)
        return float(evaluate(self._stacks, *arguments))

    @property
    def weights(self) -> dict[str, Array]:
        """A copy of the weights, named and laid out as they were given."""
        key, value = self._stacks.key.swapaxes(-1, -2), self._stacks.value.swapaxes(-1, -2)
        weights = {"W_Q": self._stacks.query.T, "W_K": key[0], "W_V": value[0]}
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
    ) -> None:
        self._runs = [
            FusedRun(
                {name: array[run] for name, array in weights.items()},
                None if omega is None else omega[run],
                None if log_weight is None else log_weight[run],
                mixing,
                d_y,
            )
            for run in range(len(weights["W_Q"]))
        ]

    def train(self, tokens: Array, targets: Array, learning_rate: float) -> Array:
        """One step per prompt: (R, prompts, n, d) and (R, prompts, d_y) → mean errors (R,)."""
        runs = zip(self._runs, tokens, targets, strict=True)
        return np.array([run.train(t, y, learning_rate) for run, t, y in runs])

    def evaluate(self, tokens: Array, targets: Array) -> Array:
        """Mean squared error over prompts, (R,)."""
        runs = zip(self._runs, tokens, targets, strict=True)
        return np.array([run.evaluate(t, y) for run, t, y in runs])

    @property
    def weights(self) -> dict[str, Array]:
        """The weights as they were given, trained."""
        by_run = [run.weights for run in self._runs]
        return {name: np.stack([one[name] for one in by_run]) for name in by_run[0]}
