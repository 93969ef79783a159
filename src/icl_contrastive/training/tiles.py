"""Tiles: 4 × 4 vectors, which stay in registers. Their loops run here and leave straight code."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from icl_contrastive.training.simd import (
    Vector,
    exp_code,
    fma_code,
    intrinsic,
    ir_type,
    pointer_code,
    rows_code,
    splat_code,
)

TILE = 4


def _tile(dtype: Any) -> types.UniTuple:
    return types.UniTuple(Vector(dtype), TILE * TILE)  # type: ignore[no-untyped-call]


def _unpack(builder: Any, tile: Any) -> list[Any]:
    return cgutils.unpack_tuple(builder, tile)  # type: ignore[no-untyped-call, no-any-return]


def _each(generate_entry: Any) -> Any:
    """Code for a function of tiles that takes their entries one by one."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows = zip(*(_unpack(builder, tile) for tile in args), strict=True)
        entries = [generate_entry(builder, *row) for row in rows]
        return context.make_tuple(builder, signature.return_type, entries)

    return generate


@intrinsic  # type: ignore[untyped-decorator]
def load_tile(
    typing_context: Any, array: Any, index: Any, row_stride: Any, column_stride: Any
) -> Any:
    """Vectors at index + row · row_stride + column · column_stride, counted as in ``load``."""
    tile = _tile(array.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        places = _places(context, builder, signature, args)
        entries = [
            builder.load(
                pointer_code(context, builder, signature.args[0], args[0], place),
                align=array.dtype.bitwidth // 8,
            )
            for place in places
        ]
        return context.make_tuple(builder, tile, entries)

    return tile(array, index, row_stride, column_stride), generate


@intrinsic  # type: ignore[untyped-decorator]
def store_tile(
    typing_context: Any, array: Any, index: Any, row_stride: Any, column_stride: Any, tile: Any
) -> Any:
    """Write a tile to where ``load_tile`` would read it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        places = _places(context, builder, signature, args)
        for place, entry in zip(places, _unpack(builder, args[4]), strict=True):
            pointer = pointer_code(context, builder, signature.args[0], args[0], place)
            builder.store(entry, pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, index, row_stride, column_stride, tile), generate


def _places(context: Any, builder: Any, signature: Any, args: Any) -> list[Any]:
    stride = context.cast(builder, args[3], signature.args[3], types.intp)
    return [
        builder.add(row, builder.mul(stride, ir.Constant(stride.type, column)))
        for row in rows_code(context, builder, signature, args, TILE)
        for column in range(TILE)
    ]


@intrinsic  # type: ignore[untyped-decorator]
def splat_tile(typing_context: Any, array: Any, index: Any, row_stride: Any) -> Any:
    """In row r of the tile, the entry at index + r · row_stride in every lane."""
    tile = _tile(array.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        entries = []
        for place in rows_code(context, builder, signature, args, TILE):
            scalar = builder.load(builder.gep(data, [place]))
            entries += [splat_code(builder, scalar, ir_type(tile.dtype))] * TILE
        return context.make_tuple(builder, tile, entries)

    return tile(array, index, row_stride), generate


@intrinsic  # type: ignore[untyped-decorator]
def fma_tiles(typing_context: Any, x: Any, y: Any, z: Any) -> Any:
    """x · y + z, vector by vector."""
    return x(x, y, z), _each(fma_code)


@intrinsic  # type: ignore[untyped-decorator]
def subtract_tiles(typing_context: Any, x: Any, y: Any) -> Any:
    """x − y, vector by vector."""
    return x(x, y), _each(lambda builder, x, y: builder.fsub(x, y))


@intrinsic  # type: ignore[untyped-decorator]
def exp_tile(typing_context: Any, x: Any) -> Any:
    """e^x, see ``exp``."""
    return x(x), _each(exp_code)


def _gather_columns(gather: Callable[[Any, Any, Any], Any], meaning: str) -> Any:
    """A function that gathers each row of a tile in the vector at index + row · row_stride."""

    def function(typing_context: Any, array: Any, index: Any, row_stride: Any, tile: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            entries, width = _unpack(builder, args[3]), array.dtype.bitwidth // 8
            for row, place in enumerate(rows_code(context, builder, signature, args, TILE)):
                pointer = pointer_code(context, builder, signature.args[0], args[0], place)
                first, second, third, last = entries[row * TILE : (row + 1) * TILE]
                rest = gather(builder, gather(builder, first, second), gather(builder, third, last))
                before = builder.load(pointer, align=width)
                builder.store(gather(builder, before, rest), pointer, align=width)
            return context.get_dummy_value()

        return types.void(array, index, row_stride, tile), generate

    function.__doc__ = meaning
    return intrinsic(function)


def _largest(builder: Any, x: Any, y: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", x, y), x, y)


add_columns = _gather_columns(
    lambda builder, x, y: builder.fadd(x, y),
    "Add the sum of each row's vectors to one of an array.",
)
raise_columns = _gather_columns(
    _largest, "Raise a vector of an array to each row's largest, lane by lane."
)
