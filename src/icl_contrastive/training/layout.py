"""What the compiled loop works on: features, weights and workspace, laid out for vectors.

A matrix of tokens is stored with its coordinates as rows, (d, rows): a vector holds one coordinate
of many tokens. Tokens are padded with zeros to whole vectors, features likewise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_type_hints

import numpy as np
import numpy.typing as npt

from icl_contrastive.training.simd import VECTOR_BITS, lanes
from icl_contrastive.training.tiles import TILE

if TYPE_CHECKING:
    from icl_contrastive.choices import Normalization
    from icl_contrastive.mixing import Mixing

Array = npt.NDArray[Any]

BLOCK = 640  # features, at most, whose exponentials and ω stay in the first level of cache
SAFE = 75  # thousands of exponentials of this size can be summed in float32 as they are
TINY = 1e-30  # a sum of weights that may lack some of them in float32


class Kernel(NamedTuple):
    """Random features of one run, or none for the exact softmax."""

    omega_t: Array  # (rows, m): Ωᵀ, with rows of zeros up to a multiple of TILE
    log_weight: Array  # (m,): 2 b, less its maximum; so low that exp gives 0 for padding
    no_weight: Array  # (m,): zeros
    block: int  # features that are worked on at a time; the last ones may be fewer
    lanes: int  # entries of a vector
    longest: Any  # the largest ‖ω‖: with ‖z‖ it bounds all |ω·z|
    exact: bool  # scores kᵀq, of the softmax itself


class Stacks(NamedTuple):
    """Weights or gradients of one run, (layers, d, width): W, then the GELU layers above it."""

    query: Array
    key: Array
    value: Array


class Mix(NamedTuple):
    """``mixing.Mixing`` in the precision of training."""

    gain: Array
    offset: Array
    offset_by_rank: Array
    repulsion_by_rank: Array
    has_ranks: bool
    has_repulsion: bool


class Workspace(NamedTuple):
    """Memory of one prompt's forward and backward pass: arrays with the sizes of their axes."""

    tokens: Annotated[Array, "rows", "width"]
    tokens_t: Annotated[Array, "d", "rows"]
    key_x: Annotated[Array, "1 + g2 layers", "d", "rows"]  # output of every layer
    key_slope: Annotated[Array, "1 + g2 layers", "d", "rows"]  # derivative of its activation
    value_x: Annotated[Array, "1 + g1 layers", "d", "rows"]
    value_slope: Annotated[Array, "1 + g1 layers", "d", "rows"]
    query_x: Annotated[Array, "1", "d", "rows"]  # the last vector only, without own negatives
    keys: Annotated[Array, "d", "rows"]  # normalized
    queries: Annotated[Array, "d", "rows"]  # likewise
    key_factor: Annotated[Array, "rows"]  # what normalization multiplies each token's key by
    query_factor: Annotated[Array, "rows"]
    key_norm: Annotated[Array, "rows"]  # ‖k_i‖²
    sums: Annotated[Array, "d", "rows"]  # k_i + q
    norm: Annotated[Array, "rows"]  # ‖k_i + q‖²
    shift: Annotated[Array, "rows"]  # of the exponents, zero where they are small
    exponentials: Annotated[Array, "TILE", "block"]
    sums_by_lane: Annotated[Array, "rows", "padded d + 1", "lanes"]  # ``tilted``, lanes not summed
    tilted: Annotated[Array, "d + 1", "rows"]  # Σ_f exp(…) ω_f, and Σ_f exp(…) in the last row
    presence: Annotated[Array, "rows"]  # 1 for the tokens, 0 for the padding
    attention: Annotated[Array, "rows"]  # scores, then weights
    coefficients: Annotated[Array, "rows"]
    key_features: Annotated[Array, "blocks", "rows", "block"]  # only for own negatives
    query_features: Annotated[Array, "blocks", "rows", "block"]  # likewise
    products: Annotated[Array, "TILE · TILE", "lanes"]
    own_scores: Annotated[Array, "rows", "rows"]  # of key j at query i
    repulsion: Annotated[Array, "N", "N"]  # weight of value j in the repulsion from i
    error: Annotated[Array, "d_y"]
    grad_coefficients: Annotated[Array, "rows"]
    grad_scores: Annotated[Array, "rows"]
    grad_query: Annotated[Array, "d"]
    delta: Annotated[Array, "d", "rows"]  # gradient at the output of a layer
    below: Annotated[Array, "d", "rows"]
    inputs: Annotated[Array, "rows", "width"]  # a layer's inputs, tokens as rows
    zero: Any  # in the precision of training, as are the next three
    half: Any
    one: Any
    scale: Any  # factor on keys and queries, unless they get unit norm
    unit: bool  # whether they do


def ceil(count: int, multiple: int) -> int:
    """The next multiple."""
    return -(-count // multiple) * multiple


def zeros(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array that starts where a vector may: one across two cache lines costs twice."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + VECTOR_BITS // 8, np.uint8)
    start = -memory.ctypes.data % (VECTOR_BITS // 8)
    array: Array = memory[start : start + size].view(dtype).reshape(shape)
    return array


def build_kernel(features: tuple[Array, Array] | None, d: int, dtype: Any) -> Kernel:
    """Lay out one run's features (m, d) and log weights (m,); exact softmax for None."""
    width, padded_d = lanes(dtype), ceil(d, TILE)
    count = 0 if features is None else len(features[0])
    block = ceil(-(-count // max(1, -(-count // BLOCK))), TILE * width)
    m = ceil(count, TILE * width)
    omega_t, weight = zeros((padded_d, m), dtype), zeros((m,), dtype)
    longest = 0.0
    if features is not None:
        omega, log_weight = features
        omega_t[:d, :count] = omega.T
        weight[:] = -1e30
        weight[:count] = 2 * (log_weight - log_weight.max())
        longest = float(np.linalg.norm(omega.astype(np.float64), axis=1).max())
    none = zeros((m,), dtype)
    return Kernel(omega_t, weight, none, block, width, dtype.type(longest), features is None)


def build_stacks(weights: dict[str, Array]) -> Stacks:
    """Matrices as they are, with rows padded to whole vectors."""

    def stack(first: str, layers: str = "") -> Array:
        matrices = [weights[first][None], *([weights[layers]] if layers in weights else [])]
        joined = np.concatenate(matrices)
        d = joined.shape[-1]
        padded = zeros((len(joined), d, ceil(d, lanes(joined.dtype))), joined.dtype)
        padded[..., :d] = joined
        return padded

    return Stacks(stack("W_Q"), stack("W_K", "g2"), stack("W_V", "g1"))


def build_mix(mixing: Mixing, dtype: Any) -> Mix:
    """The variant's mixing in the precision of training."""
    arrays = {
        name: np.ascontiguousarray([] if array is None else array, dtype)
        for name, array in vars(mixing).items()
    }
    return Mix(
        **arrays,
        has_ranks=mixing.offset_by_rank is not None,
        has_repulsion=mixing.repulsion_by_rank is not None,
    )


def build_workspace(
    weights: Stacks, kernel: Kernel, mix: Mix, d_y: int, normalization: Normalization
) -> Workspace:
    """Memory for the prompts that the mixing is for."""
    dtype, (_, d, width) = weights.query.dtype, weights.query.shape
    n, needed = mix.gain.size, mix.has_repulsion and kernel.block
    sizes = {
        "rows": ceil(n, kernel.lanes),
        "width": width,
        "d": d,
        "d + 1": d + 1,
        "padded d + 1": kernel.omega_t.shape[0] + 1,
        "1": 1,
        "1 + g1 layers": len(weights.value),
        "1 + g2 layers": len(weights.key),
        "TILE": TILE,
        "TILE · TILE": TILE * TILE,
        "lanes": kernel.lanes,
        "block": kernel.block,
        "blocks": -(-kernel.omega_t.shape[1] // kernel.block) if needed else 0,
        "N": n - 1,
        "d_y": d_y,
    }
    arrays = {
        name: zeros(tuple(map(sizes.__getitem__, hint.__metadata__)), dtype)
        for name, hint in get_type_hints(Workspace, include_extras=True).items()
        if hasattr(hint, "__metadata__")
    }
    arrays["presence"][:n] = 1
    return Workspace(
        **arrays,
        zero=dtype.type(0),
        half=dtype.type(0.5),
        one=dtype.type(1),
        scale=dtype.type(d**-0.25 if normalization == "scaled" else 1),
        unit=normalization == "unit",
    )
