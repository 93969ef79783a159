"""Vectors of floats as values inside numba functions.

Numba leaves vectorization to LLVM's loop vectorizer, which keeps neither a register tile of a
matrix product nor a vectorized exponential. Here a ``Vector`` is a value: loads, stores and
fused multiply-adds on it are single LLVM vector operations, which LLVM lowers to whatever the
processor has (one AVX-512 register, two of AVX2, four of SSE or NEON).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, extending, types
from numba.core.extending import models, register_model

VECTOR_BITS = 512

intrinsic: Any = extending.intrinsic  # its type asks the caller for the typing context too


def lanes(dtype: Any) -> int:
    """Number of entries of ``dtype`` in one vector (16 for float32, 8 for float64)."""
    itemsize: int = np.dtype(dtype).itemsize
    return VECTOR_BITS // (8 * itemsize)


class Vector(types.Type):
    """Numba type of one vector of floats."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        self.lanes = VECTOR_BITS // dtype.bitwidth
        super().__init__(name=f"Vector({dtype}, {self.lanes})")


def _ir_type(vector: Vector) -> ir.VectorType:
    element = ir.FloatType() if vector.dtype.bitwidth == 32 else ir.DoubleType()
    return ir.VectorType(element, vector.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, frontend_type: Vector) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            manager, frontend_type, _ir_type(frontend_type)
        )


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(
        builder.gep(data, [index]), _ir_type(Vector(array_type.dtype)).as_pointer()
    )


def _splat(builder: Any, scalar: Any, kind: Any) -> Any:
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, undefined, mask)


def _fma(builder: Any, x: Any, y: Any, z: Any) -> Any:
    kind = "f32" if isinstance(x.type.element, ir.FloatType) else "f64"
    function = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
        builder.module,
        ir.FunctionType(x.type, [x.type] * 3),
        f"llvm.fma.v{x.type.count}{kind}",
    )
    return builder.call(function, [x, y, z])


@intrinsic  # type: ignore[untyped-decorator]
def load(typing_context: Any, array: Any, index: Any) -> Any:
    """Entries ``index`` to ``index + lanes`` of a C-contiguous array, counted in its memory."""
    vector = Vector(array.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        offset = context.cast(builder, args[1], signature.args[1], types.intp)
        pointer = _pointer(context, builder, signature.args[0], args[0], offset)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return vector(array, index), generate


@intrinsic  # type: ignore[untyped-decorator]
def store(typing_context: Any, array: Any, index: Any, vector: Any) -> Any:
    """Write ``vector`` to entries ``index`` to ``index + lanes`` of a C-contiguous array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        offset = context.cast(builder, args[1], signature.args[1], types.intp)
        pointer = _pointer(context, builder, signature.args[0], args[0], offset)
        builder.store(args[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, index, vector), generate


@intrinsic  # type: ignore[untyped-decorator]
def splat(typing_context: Any, scalar: Any) -> Any:
    """Vector with ``scalar`` in every lane."""
    vector = Vector(scalar)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _splat(builder, args[0], _ir_type(vector))

    return vector(scalar), generate


@intrinsic  # type: ignore[untyped-decorator]
def fma(typing_context: Any, x: Any, y: Any, z: Any) -> Any:
    """x · y + z, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _fma(builder, *args)

    return x(x, y, z), generate


def _arithmetic(instruction: str, meaning: str) -> Any:
    """A function of two vectors, lane by lane."""

    def function(typing_context: Any, x: Any, y: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, instruction)(*args)

        return x(x, y), generate

    function.__doc__ = meaning
    return intrinsic(function)


add = _arithmetic("fadd", "x + y.")
subtract = _arithmetic("fsub", "x − y.")
multiply = _arithmetic("fmul", "x · y.")
divide = _arithmetic("fdiv", "x / y.")


@intrinsic  # type: ignore[untyped-decorator]
def inverse_root(typing_context: Any, x: Any) -> Any:
    """1/√x, and 0 for 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = args[0].type
        zero, one = (ir.Constant(kind, [value] * kind.count) for value in (0.0, 1.0))
        root = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module,
            ir.FunctionType(kind, [kind]),
            f"llvm.sqrt.v{kind.count}{'f32' if kind.count * 32 == VECTOR_BITS else 'f64'}",
        )
        inverse = builder.fdiv(one, builder.call(root, [args[0]]))
        return builder.select(builder.fcmp_ordered("==", args[0], zero), zero, inverse)

    return x(x), generate


def _exp(builder: Any, x: Any) -> Any:
    """e^x by x = n ln 2 + r, |r| ≤ ln 2 / 2, and a polynomial for e^r."""
    kind = x.type
    if isinstance(kind.element, ir.FloatType):
        mantissa, bias, lowest, logarithms = 23, 127, -87.0, [math.log(2)]
        # The fifth degree with the least relative error, 7.5e-8 (by Remez' algorithm).
        coefficients = [1.0000000717, 0.999999691808, 0.499988944137]
        coefficients += [0.166675750892, 0.0419154314191, 0.0082976480753]
    else:
        mantissa, bias, lowest = 52, 1023, -708.0
        high = 0.693145751953125  # ln 2 in two parts, n times the first of which is exact
        logarithms = [high, float(np.log(np.longdouble(2)) - np.longdouble(high))]
        coefficients = [1 / math.factorial(power) for power in range(14)]

    def constant(value: float) -> ir.Constant:
        return ir.Constant(kind, [value] * kind.count)

    value = builder.select(builder.fcmp_ordered("<", x, constant(lowest)), constant(lowest), x)
    # The low bits of the sum with 1.5 · 2^mantissa + bias hold round(x / ln 2) + bias.
    magic = constant(1.5 * 2.0**mantissa + bias)
    shifted = _fma(builder, value, constant(1 / math.log(2)), magic)
    n = builder.fsub(shifted, magic)
    for part in logarithms:
        value = _fma(builder, n, constant(-part), value)
    *lower, series = map(constant, coefficients)
    for coefficient in reversed(lower):
        series = _fma(builder, series, value, coefficient)
    integers = ir.VectorType(ir.IntType(VECTOR_BITS // kind.count), kind.count)
    exponent = builder.bitcast(shifted, integers)
    exponent = builder.shl(exponent, ir.Constant(integers, [mantissa] * kind.count))
    return builder.fmul(series, builder.bitcast(exponent, kind))


@intrinsic  # type: ignore[untyped-decorator]
def exp(typing_context: Any, x: Any) -> Any:
    """e^x for x up to 88 (709 in double precision), to some units in the last place at most.

    Arguments below −87 (−708) give e^−87 (e^−708), which is near the smallest normal number.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _exp(builder, *args)

    return x(x), generate


@intrinsic  # type: ignore[untyped-decorator]
def total(typing_context: Any, x: Any) -> Any:
    """Sum of the lanes, in any order."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = args[0].type
        name = "f32" if isinstance(kind.element, ir.FloatType) else "f64"
        function = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module,
            ir.FunctionType(kind.element, [kind.element, kind]),
            f"llvm.vector.reduce.fadd.v{kind.count}{name}",
        )
        zero = ir.Constant(kind.element, 0.0)
        return builder.call(function, [zero, args[0]], fastmath=("reassoc",))

    return x.dtype(x), generate


@intrinsic  # type: ignore[untyped-decorator]
def totals(typing_context: Any, array: Any, index: Any, stride: Any) -> Any:
    """In lane r, the sum of the lanes of the vector at index + r · stride."""
    vector = Vector(array.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        index, stride = (
            context.cast(builder, args[i], signature.args[i], types.intp) for i in (1, 2)
        )
        rows = []
        for row in range(vector.lanes):
            place = builder.add(index, builder.mul(stride, ir.Constant(stride.type, row)))
            pointer = _pointer(context, builder, signature.args[0], args[0], place)
            rows.append(builder.load(pointer, align=array.dtype.bitwidth // 8))

        def halves(x: Any, y: Any, width: int) -> Any:
            """Each lane of a group of x, then of y, with its partner half a group away."""
            count, step = vector.lanes, width // 2
            low = [g + i for g in range(0, count, width) for i in range(step)]
            picks = [
                [lane + offset for lane in low] + [count + lane + offset for lane in low]
                for offset in (0, step)
            ]
            mask = ir.VectorType(ir.IntType(32), count)
            return builder.fadd(
                *(builder.shuffle_vector(x, y, ir.Constant(mask, pick)) for pick in picks)
            )

        # Each round halves the vectors: of two, one remains, with half as many lanes of each.
        width = vector.lanes
        while len(rows) > 1:
            rows = [halves(x, y, width) for x, y in zip(rows[::2], rows[1::2], strict=True)]
            width //= 2
        return rows[0]

    return vector(array, index, stride), generate


# Tiles: 4 × 4 vectors, which stay in registers. Their loops run here and leave straight code.

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
                _pointer(context, builder, signature.args[0], args[0], place),
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
            pointer = _pointer(context, builder, signature.args[0], args[0], place)
            builder.store(entry, pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, index, row_stride, column_stride, tile), generate


def _places(context: Any, builder: Any, signature: Any, args: Any) -> list[Any]:
    index, row_stride, column_stride = (
        context.cast(builder, args[i], signature.args[i], types.intp) for i in (1, 2, 3)
    )

    def times(stride: Any, count: int) -> Any:
        return builder.mul(stride, ir.Constant(stride.type, count))

    return [
        builder.add(builder.add(index, times(row_stride, row)), times(column_stride, column))
        for row in range(TILE)
        for column in range(TILE)
    ]


@intrinsic  # type: ignore[untyped-decorator]
def splat_tile(typing_context: Any, array: Any, index: Any, row_stride: Any) -> Any:
    """In row r of the tile, the entry at index + r · row_stride in every lane."""
    tile = _tile(array.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        index, stride = (
            context.cast(builder, args[i], signature.args[i], types.intp) for i in (1, 2)
        )
        entries = []
        for row in range(TILE):
            place = builder.add(index, builder.mul(stride, ir.Constant(stride.type, row)))
            scalar = builder.load(builder.gep(data, [place]))
            entries += [_splat(builder, scalar, _ir_type(tile.dtype))] * TILE
        return context.make_tuple(builder, tile, entries)

    return tile(array, index, row_stride), generate


@intrinsic  # type: ignore[untyped-decorator]
def fma_tiles(typing_context: Any, x: Any, y: Any, z: Any) -> Any:
    """x · y + z, vector by vector."""
    return x(x, y, z), _each(_fma)


@intrinsic  # type: ignore[untyped-decorator]
def subtract_tiles(typing_context: Any, x: Any, y: Any) -> Any:
    """x − y, vector by vector."""
    return x(x, y), _each(lambda builder, x, y: builder.fsub(x, y))


@intrinsic  # type: ignore[untyped-decorator]
def exp_tile(typing_context: Any, x: Any) -> Any:
    """e^x, see ``exp``."""
    return x(x), _each(_exp)


@intrinsic  # type: ignore[untyped-decorator]
def add_columns(typing_context: Any, array: Any, index: Any, row_stride: Any, tile: Any) -> Any:
    """Add the sum of each row's vectors to the vector at index + row · row_stride."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        index, stride = (
            context.cast(builder, args[i], signature.args[i], types.intp) for i in (1, 2)
        )
        entries = _unpack(builder, args[3])
        for row in range(TILE):
            place = builder.add(index, builder.mul(stride, ir.Constant(stride.type, row)))
            pointer = _pointer(context, builder, signature.args[0], args[0], place)
            first, second, third, last = entries[row * TILE : (row + 1) * TILE]
            rest = builder.fadd(builder.fadd(first, second), builder.fadd(third, last))
            width = array.dtype.bitwidth // 8
            before = builder.load(pointer, align=width)
            builder.store(builder.fadd(before, rest), pointer, align=width)
        return context.get_dummy_value()

    return types.void(array, index, row_stride, tile), generate
