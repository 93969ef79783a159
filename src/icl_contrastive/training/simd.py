"""Vectors of floats as values inside numba functions.

Numba leaves vectorization to LLVM's loop vectorizer, which keeps neither a register tile of a
matrix product nor a vectorized exponential. Here a ``Vector`` is a value: loads, stores and
fused multiply-adds on it are single LLVM vector operations, which LLVM lowers to whatever the
processor has (one AVX-512 register, two of AVX2, four of SSE or NEON).
"""

import math
import platform
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, extending, types
from numba.core.extending import models, register_model

VECTOR_BITS = 512
IS_X86 = platform.machine().lower() in ("x86_64", "amd64")

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


def ir_type(vector: Vector) -> ir.VectorType:
    """LLVM's type of a vector."""
    element = ir.FloatType() if vector.dtype.bitwidth == 32 else ir.DoubleType()
    return ir.VectorType(element, vector.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, frontend_type: Vector) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            manager, frontend_type, ir_type(frontend_type)
        )


def pointer_code(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """LLVM code of a pointer to the vector at an index of an array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(
        builder.gep(data, [index]), ir_type(Vector(array_type.dtype)).as_pointer()
    )


def rows_code(context: Any, builder: Any, signature: Any, args: Any, count: int) -> list[Any]:
    """LLVM code of the places index + r · stride, for the second and third argument."""
    index, stride = (context.cast(builder, args[i], signature.args[i], types.intp) for i in (1, 2))
    return [
        builder.add(index, builder.mul(stride, ir.Constant(stride.type, row)))
        for row in range(count)
    ]


def splat_code(builder: Any, scalar: Any, kind: Any) -> Any:
    """LLVM code of a vector whose entries are one scalar."""
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, undefined, mask)


def _call(builder: Any, name: str, returned: Any, *args: Any, **options: Any) -> Any:
    """LLVM code of a function of its own, for vectors such as the last argument."""
    kind = args[-1].type
    element = "f32" if isinstance(kind.element, ir.FloatType) else "f64"
    function = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
        builder.module,
        ir.FunctionType(returned, [argument.type for argument in args]),
        f"llvm.{name}.v{kind.count}{element}",
    )
    return builder.call(function, args, **options)


def fma_code(builder: Any, x: Any, y: Any, z: Any) -> Any:
    """LLVM code of x y + z, rounded once."""
    return _call(builder, "fma", x.type, x, y, z)


@intrinsic  # type: ignore[untyped-decorator]
def load(typing_context: Any, array: Any, index: Any) -> Any:
    """Entries ``index`` to ``index + lanes`` of a C-contiguous array, counted in its memory."""
    vector = Vector(array.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        offset = context.cast(builder, args[1], signature.args[1], types.intp)
        pointer = pointer_code(context, builder, signature.args[0], args[0], offset)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return vector(array, index), generate


@intrinsic  # type: ignore[untyped-decorator]
def store(typing_context: Any, array: Any, index: Any, vector: Any) -> Any:
    """Write ``vector`` to entries ``index`` to ``index + lanes`` of a C-contiguous array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        offset = context.cast(builder, args[1], signature.args[1], types.intp)
        pointer = pointer_code(context, builder, signature.args[0], args[0], offset)
        builder.store(args[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, index, vector), generate


@intrinsic  # type: ignore[untyped-decorator]
def splat(typing_context: Any, scalar: Any) -> Any:
    """Vector with ``scalar`` in every lane."""
    vector = Vector(scalar)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return splat_code(builder, args[0], ir_type(vector))

    return vector(scalar), generate


@intrinsic  # type: ignore[untyped-decorator]
def fma(typing_context: Any, x: Any, y: Any, z: Any) -> Any:
    """x · y + z, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return fma_code(builder, *args)

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
        inverse = builder.fdiv(one, _call(builder, "sqrt", kind, args[0]))
        return builder.select(builder.fcmp_ordered("==", args[0], zero), zero, inverse)

    return x(x), generate


def exp_code(builder: Any, x: Any) -> Any:
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
    shifted = fma_code(builder, value, constant(1 / math.log(2)), magic)
    n = builder.fsub(shifted, magic)
    for part in logarithms:
        value = fma_code(builder, n, constant(-part), value)
    *lower, series = map(constant, coefficients)
    for coefficient in reversed(lower):
        series = fma_code(builder, series, value, coefficient)
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
        return exp_code(builder, *args)

    return x(x), generate


@intrinsic  # type: ignore[untyped-decorator]
def total(typing_context: Any, x: Any) -> Any:
    """Sum of the lanes, in any order."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        element = args[0].type.element
        zero = ir.Constant(element, 0.0)
        name = "vector.reduce.fadd"
        return _call(builder, name, element, zero, args[0], fastmath=("reassoc",))

    return x.dtype(x), generate


@intrinsic  # type: ignore[untyped-decorator]
def totals(typing_context: Any, array: Any, index: Any, stride: Any) -> Any:
    """In lane r, the sum of the lanes of the vector at index + r · stride."""
    vector = Vector(array.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows = []
        for place in rows_code(context, builder, signature, args, vector.lanes):
            pointer = pointer_code(context, builder, signature.args[0], args[0], place)
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


FLUSH = 0x8040
"""Of the control register of x86: subnormal results, and subnormal operands, are zeros."""


def _control(builder: Any, name: str, place: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
    function = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
        builder.module, kind, f"llvm.x86.sse.{name}"
    )
    builder.call(function, [builder.bitcast(place, ir.IntType(8).as_pointer())])


@intrinsic  # type: ignore[untyped-decorator]
def flush_subnormals(typing_context: Any) -> Any:
    """From here on, take numbers below the smallest normal one for 0; what ``restore`` undoes.

    They are below all rounding errors, and on x86 each costs a hundred times another's time. Other
    processors do not mind them, and go on as they are.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if not IS_X86:
            return ir.Constant(ir.IntType(32), 0)
        place = cgutils.alloca_once(builder, ir.IntType(32))  # type: ignore[no-untyped-call]
        _control(builder, "stmxcsr", place)
        before = builder.load(place)
        builder.store(builder.or_(before, ir.Constant(before.type, FLUSH)), place)
        _control(builder, "ldmxcsr", place)
        return before

    return types.int32(), generate


@intrinsic  # type: ignore[untyped-decorator]
def restore(typing_context: Any, before: Any) -> Any:
    """Go on as it was before ``flush_subnormals``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if IS_X86:
            place = cgutils.alloca_once(builder, ir.IntType(32))  # type: ignore[no-untyped-call]
            builder.store(args[0], place)
            _control(builder, "ldmxcsr", place)
        return context.get_dummy_value()

    return types.void(types.int32), generate
