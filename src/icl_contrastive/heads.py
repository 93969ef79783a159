"""Queries, keys and values of any attention layer, as a user has them, checked and in float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy.typing as npt
import torch
from torch import Tensor

Data = Tensor | npt.ArrayLike
Mask = Literal["causal"] | Data | None

LARGEST_NORM = 1e15
"""Of queries and keys, whose squares are among what is drawn, in float32."""


class Heads(NamedTuple):
    """Attention heads with the factor on their scores taken into queries and keys.

    Attributes:
        queries: (..., n, d), times √scale.
        keys: (..., n', d), likewise.
        values: (..., n', d_v), or None.
        attends: whether query t attends to key j, (..., n, n').
        scale: the factor.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor | None
    attends: Tensor
    scale: float

    @property
    def leading(self) -> tuple[int, ...]:
        """The axes of batches and heads."""
        return tuple(self.queries.shape[:-2])

    def each(self) -> Iterator[Heads]:
        """The heads one by one, without leading axes, in the order of the flattened axes."""
        queries, keys, attends = (
            tensor.reshape(-1, *tensor.shape[-2:])
            for tensor in (self.queries, self.keys, self.attends)
        )
        values = self.values
        if values is not None:
            values = values.reshape(-1, *values.shape[-2:])
        for i in range(len(queries)):
            value = None if values is None else values[i]
            yield Heads(queries[i], keys[i], value, attends[i], self.scale)


def read_heads(
    queries: Data, keys: Data, values: Data | None, mask: Mask, scale: float | None
) -> Heads:
    """Heads as ``torch.nn.functional.scaled_dot_product_attention`` takes them, in float64.

    Keys and values may have fewer heads (axis −3) than queries, as in grouped-query attention.

    Args:
        queries: (..., n, d), a torch tensor or a numpy array.
        keys: (..., n', d).
        values: (..., n', d_v), or None.
        mask: ``"causal"``, or booleans (..., n, n'), true where a query attends to a key.
        scale: factor on the scores qᵀk, by default 1/√d; 1 for vectors that carry it already.

    Raises ValueError for shapes that do not fit, numbers that are complex, not finite or too large,
    and masks that are not boolean or leave a query without keys.
    """
    q, k = _read("queries", queries), _read("keys", keys)
    v = None if values is None else _read("values", values)
    d = q.shape[-1]
    if k.shape[-1] != d:
        raise ValueError(f"head sizes differ: queries {_shape(q)}, keys {_shape(k)}")
    if v is not None and v.shape[-2] != k.shape[-2]:
        raise ValueError(
            f"there must be one value for each key: keys {_shape(k)}, values {_shape(v)}"
        )
    scale = d**-0.5 if scale is None else scale
    if not 0 < scale < float("inf"):
        raise ValueError(f"scale = {scale}: must be positive; it is the factor on the scores qᵀk")
    k = _for_all_heads(q, k, "keys")
    v = v if v is None else _for_all_heads(q, v, "values")
    root = scale**0.5
    q, k = root * q, root * k
    for name, tensor in (("queries", q), ("keys", k)):
        if (norm := float(tensor.norm(dim=-1).max())) > LARGEST_NORM:
            raise ValueError(
                f"{name}: a norm of {norm:.3g} is not allowed; must be {LARGEST_NORM:g} at most, "
                "times the root of the scale"
            )
    return Heads(q, k, v, _read_mask(mask, q, k), scale)


def _read(name: str, data: Data) -> Tensor:
    tensor = torch.as_tensor(data)
    if tensor.is_complex():
        raise ValueError(f"{name}: {tensor.dtype} must be real")
    tensor = tensor.detach().to(torch.float64, copy=True)  # no inference tensor
    if tensor.ndim < 2 or 0 in tensor.shape:
        raise ValueError(f"{name}: shape {_shape(tensor)} is not (..., tokens, head size)")
    broken = int((~tensor.isfinite()).sum())
    if broken:
        raise ValueError(f"{name}: {broken} of {tensor.numel()} entries are NaN or infinite")
    return tensor


def _for_all_heads(queries: Tensor, tensor: Tensor, name: str) -> Tensor:
    """A key or value for each head of the queries, (..., n', d)."""
    asked, there = queries.shape[:-2], tensor.shape[:-2]
    if asked == there:
        return tensor
    if len(asked) != len(there) or asked[:-1] != there[:-1]:
        raise ValueError(
            f"leading axes differ: queries {_shape(queries)}, {name} {_shape(tensor)}; only the "
            "axis before the tokens, the heads, may be shorter"
        )
    if asked[-1] % there[-1]:
        raise ValueError(
            f"{asked[-1]} heads of queries do not divide among {there[-1]} heads of {name}: must "
            "be a multiple"
        )
    return tensor.repeat_interleave(asked[-1] // there[-1], -3)


def _read_mask(mask: Mask, queries: Tensor, keys: Tensor) -> Tensor:
    shape = (*queries.shape[:-1], keys.shape[-2])  # (..., n, n')
    if isinstance(mask, str):
        if mask != "causal":
            raise ValueError(f"mask: {mask!r} must be 'causal' or an array of booleans")
        if shape[-1] != shape[-2]:
            raise ValueError(f"mask: 'causal' needs a key for each query, not {shape[-2:]}")
        attends = torch.ones(shape[-2:], dtype=torch.bool).tril()
    elif mask is None:
        attends = torch.ones(shape[-2:], dtype=torch.bool)
    else:
        attends = torch.as_tensor(mask)
    if attends.dtype != torch.bool:
        raise ValueError(
            f"mask: {attends.dtype} must be boolean, true where a query attends to a key"
        )
    try:
        attends = attends.to(queries.device).expand(shape)
    except RuntimeError as error:
        raise ValueError(f"mask: shape {_shape(attends)} does not fit scores {shape}") from error
    if not bool(attends.any(-1).all()):
        raise ValueError("mask: a query attends to no key; leave such queries out")
    return attends


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
