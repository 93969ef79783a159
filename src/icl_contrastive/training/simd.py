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
        kind = _ir_type(vector)
        undefined = ir.Constant(kind, ir.Undefined)
        first = builder.insert_element(undefined, args[0], ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
        return builder.shuffle_vector(first, undefined, mask)

    return vector(scalar), generate


@intrinsic  # type: ignore[untyped-decorator]
def fma(typing_context: Any, x: Any, y: Any, z: Any) -> Any:
    """x · y + z, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _fma(builder, *args)

    return x(x, y, z), generate


@intrinsic  # type: ignore[untyped-decorator]
def add(typing_context: Any, x: Any, y: Any) -> Any:
    """x + y."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(*args)

    return x(x, y), generate


@intrinsic  # type: ignore[untyped-decorator]
def subtract(typing_context: Any, x: Any, y: Any) -> Any:
    """x − y."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fsub(*args)

    return x(x, y), generate


@intrinsic  # type: ignore[untyped-decorator]
def exp(typing_context: Any, x: Any) -> Any:
    """e^x by x = n ln 2 + r, |r| ≤ ln 2 / 2, and the Taylor polynomial of e^r.

    The error is some units in the last place at most. Arguments below −87 (−708 in double
    precision) give e^−87 (e^−708), which is near the smallest normal number; those that round to
    n = 128 (1024), from 0.35 below the logarithm of the largest number on, give infinity.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = _ir_type(x)
        if x.dtype.bitwidth == 32:
            mantissa, bias, degree, lowest, highest = 23, 127, 6, -87.0, 89.0
            logarithms = [math.log(2)]
        else:
            mantissa, bias, degree, lowest, highest = 52, 1023, 13, -708.0, 710.0
            high = 0.693145751953125  # ln 2 in two parts, n times the first of which is exact
            logarithms = [high, float(np.log(np.longdouble(2)) - np.longdouble(high))]

        def constant(value: float) -> ir.Constant:
            return ir.Constant(kind, [value] * kind.count)

        value = args[0]
        too_low = builder.fcmp_ordered("<", value, constant(lowest))
        value = builder.select(too_low, constant(lowest), value)
        too_high = builder.fcmp_ordered(">", value, constant(highest))
        value = builder.select(too_high, constant(highest), value)
        # The low bits of the sum with 1.5 · 2^mantissa + bias hold round(x / ln 2) + bias.
        magic = constant(1.5 * 2.0**mantissa + bias)
        shifted = _fma(builder, value, constant(1 / math.log(2)), magic)
        n = builder.fsub(shifted, magic)
        r = value
        for part in logarithms:
            r = _fma(builder, n, constant(-part), r)
        series = constant(1 / math.factorial(degree))
        for power in range(degree - 1, -1, -1):
            series = _fma(builder, series, r, constant(1 / math.factorial(power)))
        integers = ir.VectorType(ir.IntType(x.dtype.bitwidth), kind.count)
        exponent = builder.bitcast(shifted, integers)
        exponent = builder.shl(exponent, ir.Constant(integers, [mantissa] * kind.count))
        return builder.fmul(series, builder.bitcast(exponent, kind))

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
