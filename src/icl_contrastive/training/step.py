"""One SGD step on the query's squared error: forward, backward, and the loop over prompts.

Only the query's column of Eq. 1 is trained on. With the scores' tilted means t_i = Σ_f p_f ω_f,

    ∂s_i/∂k_i = t_i − k_i        ∂s_i/∂q = t_i − q,

and normalization to unit norm takes the gradient through (I − k̂ k̂ᵀ)/‖k‖ (section 3.1). Eq. 18
takes Σ_i a_i r_ij off c_j, with r by ranks, which are constants of differentiation (``Mixing``).
"""

import math
from functools import partial
from typing import Any

from icl_contrastive.training.compiled import entry, jit
from icl_contrastive.training.kernels import (
    own_negatives,
    rank,
    shift_exponents,
    sum_exponentials,
)
from icl_contrastive.training.layout import SAFE, TINY, Array, Kernel, Mix, Stacks, Workspace
from icl_contrastive.training.simd import (
    add,
    divide,
    exp,
    flush_subnormals,
    fma,
    load,
    multiply,
    restore,
    splat,
    store,
    subtract,
    total,
)
from icl_contrastive.training.stacks import backward_stack, forward_stack, normalize


@jit
def add_query(n: int, lanes: int, work: Workspace) -> None:
    """Fill ``work.sums`` with k_i + q, and the norms of keys and sums."""
    d, rows = work.keys.shape
    zero = splat(work.zero)
    for part in range(0, rows, lanes):
        key_norm, norm = zero, zero
        for c in range(d):
            key = load(work.keys, c * rows + part)
            # The padding gets no query: its exponents would have no shift.
            query = multiply(splat(work.queries[c, n - 1]), load(work.presence, part))
            both = add(key, query)
            store(work.sums, c * rows + part, both)
            key_norm, norm = fma(key, key, key_norm), fma(both, both, norm)
        store(work.key_norm, part, key_norm)
        store(work.norm, part, norm)


@jit
def attend(n: int, kernel: Kernel, work: Workspace, tilt: bool) -> None:
    """Attention weights at the query token, into ``work.attention``."""
    (d, rows), lanes, attention = work.keys.shape, kernel.lanes, work.attention
    zero = splat(work.zero)
    safe = False
    if not kernel.exact:
        safe = shift_exponents(n, kernel, work)
        for i in range(n):
            safe &= work.key_norm[i] / 2 <= SAFE
        sum_exponentials(n, kernel, work, tilt)
    if safe:  # a_i ∝ Σ_f exp(…) · exp(−‖k_i‖²/2)
        weights = zero
        for part in range(0, rows, lanes):
            factor = exp(multiply(splat(-work.half), load(work.key_norm, part)))
            factor = multiply(factor, load(work.presence, part))
            weight = multiply(factor, load(work.tilted, d * rows + part))
            store(attention, part, weight)
            weights = add(weights, weight)
        normalizer = total(weights)
        if normalizer > TINY:
            for part in range(0, rows, lanes):
                store(attention, part, divide(load(attention, part), splat(normalizer)))
            return
    highest = work.zero
    for i in range(n):
        if kernel.exact:
            score = work.keys[0, i] * work.queries[0, n - 1]
            for c in range(1, d):
                score += work.keys[c, i] * work.queries[c, n - 1]
        else:  # without ‖q‖²/2 and log m, which all tokens share
            score = math.log(work.tilted[d, i]) + work.shift[i] - work.key_norm[i] / 2
        attention[i] = score
        highest = score if i == 0 else max(highest, score)
    normalizer = work.zero
    for i in range(n):
        attention[i] = math.exp(attention[i] - highest)
        normalizer += attention[i]
    for i in range(n):
        attention[i] /= normalizer


@partial(jit, inline="always")
def forward(
    tokens: Array, weights: Stacks, kernel: Kernel, mix: Mix, d_y: int, work: Workspace, tilt: bool
) -> None:
    """Attention weights, coefficients and values of one prompt, into ``work``.

    With ``tilt``, also the tilted means that the backward pass needs.
    """
    (n, d), lanes = tokens.shape, kernel.lanes
    for i in range(n):
        for c in range(d):
            work.tokens[i, c] = tokens[i, c]
            work.tokens_t[c, i] = tokens[i, c]
    asking = n if mix.has_repulsion else 1
    forward_stack(weights.key, lanes, n, n, d, work, work.key_x, work.key_slope)
    forward_stack(weights.value, lanes, n, n, d_y, work, work.value_x, work.value_slope)
    forward_stack(weights.query, lanes, n, asking, d, work, work.query_x, work.key_slope)
    normalize(work.key_x[-1], lanes, n, n, work, work.key_factor, work.keys)
    normalize(work.query_x[0], lanes, n, asking, work, work.query_factor, work.queries)
    add_query(n, lanes, work)
    if mix.has_repulsion:
        own_negatives(n, kernel, mix, work)
        add_query(n, lanes, work)
    attend(n, kernel, work, tilt)

    attention = work.attention
    for j in range(n):
        work.coefficients[j] = mix.gain[j] * attention[j] + mix.offset[j]
        if mix.has_ranks:
            work.coefficients[j] += mix.offset_by_rank[rank(attention, n, j)]
    if mix.has_repulsion:
        for i in range(n - 1):
            for j in range(n - 1):
                work.coefficients[j] -= attention[i] * work.repulsion[i, j]


@jit
def squared_error(target: Array, lanes: int, work: Workspace) -> Any:
    """‖ŷ − y‖², leaving ŷ − y in ``work.error``."""
    (layers, d, rows), d_y = work.value_x.shape, target.size
    squares = work.zero
    for o in range(d_y):
        output = splat(work.zero)
        for part in range(0, rows, lanes):
            value = load(work.value_x, (layers * d - d_y + o) * rows + part)
            output = fma(load(work.coefficients, part), value, output)
        error = total(output) - target[o]
        work.error[o] = error
        squares += error * error
    return squares


@jit
def backward(
    weights: Stacks, kernel: Kernel, mix: Mix, work: Workspace, into: Stacks, rate: Any
) -> None:
    """Add ``rate`` times the gradient of ‖ŷ − y‖² of the prompt in ``work`` to ``into``."""
    n, (d, rows), d_y, lanes = mix.gain.size, work.keys.shape, work.error.size, kernel.lanes
    attention, delta, value = work.attention, work.delta, work.value_x
    zero = splat(work.zero)

    # through ŷ = Σ c_i v_i
    low, last = d - d_y, len(value) - 1
    for part in range(0, rows, lanes):
        grad = zero
        for o in range(d_y):
            slope, row = splat(work.error[o] + work.error[o]), low + o
            grad = fma(slope, load(value, (last * d + row) * rows + part), grad)
            store(delta, row * rows + part, multiply(slope, load(work.coefficients, part)))
        store(work.grad_coefficients, part, grad)
    backward_stack(weights.value, lanes, n, d_y, value, work.value_slope, work, into.value, rate)

    # through c = Mixing(a) and a = softmax(s)
    mean = work.zero
    for i in range(n):
        grad_i = mix.gain[i] * work.grad_coefficients[i]
        if mix.has_repulsion and i < n - 1:
            for j in range(n - 1):
                grad_i -= work.repulsion[i, j] * work.grad_coefficients[j]
        work.grad_scores[i] = grad_i
        mean += attention[i] * grad_i
    for i in range(n):
        work.grad_scores[i] = attention[i] * (work.grad_scores[i] - mean)

    # through s_i; Σ ∂L/∂s_i = 0 drops q from ∂s_i/∂q
    for c in range(d):
        along_query = zero
        for part in range(0, rows, lanes):
            grad = load(work.grad_scores, part)
            key = load(work.keys, c * rows + part)
            if kernel.exact:
                tilted = multiply(grad, key)
                store(delta, c * rows + part, multiply(grad, splat(work.queries[c, n - 1])))
            else:
                # The padding may have no exponentials to divide by, and has no gradient.
                absence = subtract(splat(work.one), load(work.presence, part))
                sums = add(load(work.tilted, d * rows + part), absence)
                share = divide(grad, sums)
                tilted = multiply(share, load(work.tilted, c * rows + part))
                store(delta, c * rows + part, subtract(tilted, multiply(grad, key)))
            along_query = add(along_query, tilted)
        work.grad_query[c] = total(along_query)

    # through the normalization
    for part in range(0, rows, lanes):
        along = zero
        if work.unit:
            for c in range(d):
                key = load(work.keys, c * rows + part)
                along = fma(load(delta, c * rows + part), key, along)
        factor = load(work.key_factor, part)
        for c in range(d):
            rest = subtract(
                load(delta, c * rows + part), multiply(along, load(work.keys, c * rows + part))
            )
            store(delta, c * rows + part, multiply(factor, rest))
    along_q = work.zero
    if work.unit:
        for c in range(d):
            along_q += work.grad_query[c] * work.queries[c, n - 1]
    for o in range(d):
        rest_q = work.grad_query[o] - along_q * work.queries[o, n - 1]
        slope = splat(rate * work.query_factor[n - 1] * rest_q)
        width = weights.query.shape[2]
        for part in range(0, width, lanes):
            token = load(work.tokens, (n - 1) * width + part)
            place = o * width + part
            store(into.query, place, fma(slope, token, load(into.query, place)))
    backward_stack(weights.key, lanes, n, d, work.key_x, work.key_slope, work, into.key, rate)


@jit
def take_step(weights: Array, lanes: int, gradient: Array, rate: Any) -> None:
    """Add ``rate`` times the gradient to the weights, and clear it."""
    step, zero = splat(rate), splat(rate - rate)
    for place in range(0, weights.size, lanes):
        store(weights, place, fma(step, load(gradient, place), load(weights, place)))
        store(gradient, place, zero)


@entry
def visit_prompts(
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
    No step is taken if ``batch`` is 0: one function does both, as each takes seconds to compile.
    """
    squares, mode = 0.0, flush_subnormals()
    for p in range(tokens.shape[0]):
        forward(tokens[p], weights, kernel, mix, targets.shape[1], work, batch > 0)
        squares += squared_error(targets[p], kernel.lanes, work)
        if batch == 1:
            backward(weights, kernel, mix, work, weights, -rate)
        elif batch:
            backward(weights, kernel, mix, work, gradients, work.one)
            last = p + 1 == tokens.shape[0]
            if last or (p + 1) % batch == 0:
                step = -last_rate if last else -rate
                take_step(weights.query, kernel.lanes, gradients.query, step)
                take_step(weights.key, kernel.lanes, gradients.key, step)
                take_step(weights.value, kernel.lanes, gradients.value, step)
    restore(mode)
    return squares / tokens.shape[0]
