"""A vector type for numba kernels: `load` a whole row, compute with + - *, `store` it.

A Vector(float32, 128) is LLVM's <128 x float>, which the compiler cuts into whatever registers the machine has: 8 of
AVX-512, 16 of AVX2, 32 of SSE or NEON. So the kernels read like mathematics on rows, and nothing in them names a chip.
No instruction is marked fast, and sums are written out in an order: so the bits do not depend on how the compiler
happens to place, join or inline functions (it does so differently for what it compiles and what it finds compiled).
numba alone vectorises neither the dot products below nor exp, and checks indices in inner loops.

`Lanes(n)` is a number known to the compiler: an argument whose TYPE says n. Kernels are compiled anew for each width.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_constant
from numba.extending import (
    NativeValue,
    intrinsic,
    models,
    overload,
    register_model,
    typeof_impl,
    unbox,
)


class Lanes:
    """A compile-time number, to be passed to a kernel."""

    def __init__(self, n):
        self.n = n
        self._numba_type_ = LanesType(n)  # what numba looks for first: it saves a search at every call


class LanesType(types.Type):
    def __init__(self, n):
        self.n = n
        super().__init__(name=f"Lanes({n})")


class Vector(types.Type):
    def __init__(self, dtype, n):
        self.dtype, self.n = dtype, n
        super().__init__(name=f"Vector({dtype}, {n})")


STRIP = Lanes(16)  # a line of the cache in float32: for loops over rows of any length


@typeof_impl.register(Lanes)
def _(value, context):
    return LanesType(value.n)


register_model(LanesType)(models.OpaqueModel)


@unbox(LanesType)
def _(kind, value, context):
    return NativeValue(context.context.get_dummy_value())


@lower_constant(LanesType)
def _(context, builder, kind, value):
    return context.get_dummy_value()


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        element = ir.FloatType() if kind.dtype == types.float32 else ir.DoubleType()
        super().__init__(manager, kind, ir.VectorType(element, kind.n))


def _constant(vector, number):
    return ir.Constant(vector, [number] * vector.count)


def _shuffle(builder, value, places, other=None):
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), [ir.Constant(ir.IntType(32), p) for p in places])
    return builder.shuffle_vector(value, value if other is None else other, mask)


def _pointer(context, builder, array_type, array, index, vector):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def _splat(builder, number, n):
    one = ir.Constant(ir.VectorType(number.type, 1), ir.Undefined)
    one = builder.insert_element(one, number, ir.Constant(ir.IntType(32), 0))
    return _shuffle(builder, one, [0] * n)


def _fma(builder, x, y, z):
    letter = "f32" if isinstance(x.type.element, ir.FloatType) else "f64"
    return _call(builder, f"llvm.fma.v{x.type.count}{letter}", x.type, x, y, z)


def _call(builder, name, result, *arguments):
    kind = ir.FunctionType(result, [a.type for a in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


@intrinsic
def size(typing, lanes):
    """n of a Lanes, as a constant."""
    return types.intp(lanes), lambda context, builder, sig, args: ir.Constant(ir.IntType(64), lanes.n)


@intrinsic
def row(typing, array, n):
    """From a row to the next: of an array of rows what its shape says, as rows may be further apart than they are long;
    of a flat array n numbers."""

    def code(context, builder, sig, args):
        if array.ndim == 1:
            return args[1]
        return builder.extract_value(context.make_array(array)(context, builder, args[0]).shape, 1)

    return types.intp(array, types.intp), code


@intrinsic
def load(typing, array, index, lanes):
    """The n numbers from flat place `index` of a contiguous array of any shape."""
    kind = Vector(array.dtype, lanes.n)

    def code(context, builder, sig, args):
        value = builder.load(_pointer(context, builder, array, args[0], args[1], context.get_value_type(kind)))
        value.align = array.dtype.bitwidth // 8
        return value

    return kind(array, types.intp, lanes), code


@intrinsic
def number(typing, array, index):
    """The number at flat place `index` of a contiguous array of any shape."""

    def code(context, builder, sig, args):
        data = context.make_array(array)(context, builder, args[0]).data
        return builder.load(builder.gep(data, [args[1]]))

    return array.dtype(array, types.intp), code


@intrinsic
def prefetch(typing, array, index):
    """Asks for the cache line of flat place `index`, which will be read soon; nobody waits for it."""

    def code(context, builder, sig, args):
        place = builder.gep(context.make_array(array)(context, builder, args[0]).data, [args[1]])
        place = builder.bitcast(place, cgutils.voidptr_t)
        read, keep, data = (ir.Constant(ir.IntType(32), n) for n in (0, 3, 1))
        _call(builder, "llvm.prefetch.p0", ir.VoidType(), place, read, keep, data)
        return context.get_dummy_value()

    return types.void(array, types.intp), code


@intrinsic
def store(typing, array, index, vector):
    """Write a vector to flat place `index` of a contiguous array."""

    def code(context, builder, sig, args):
        out = builder.store(args[2], _pointer(context, builder, array, args[0], args[1], args[2].type))
        out.align = array.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), code


@intrinsic
def splat(typing, number, lanes):
    """The same number in every lane."""

    return Vector(number, lanes.n)(number, lanes), lambda context, builder, sig, args: _splat(builder, args[0], lanes.n)


@intrinsic
def dots(typing, x, i, y, j, D, K):
    """K dot products: lane k is the sum over c of x[i + c·K + k] y[j + c·K + k], the D numbers from flat places i and j.

    With the space index innermost, the products of two rows in all spaces at once.
    """
    kind = Vector(x.dtype, K.n)

    def code(context, builder, sig, args):
        x_, i_, y_, j_ = args[:4]
        vector = context.get_value_type(kind)
        sums = [None] * 4  # in turns, so that a sum need not wait for the one before
        for c in range(D.n // K.n):
            factors = []
            for array_kind, array, start in ((x, x_, i_), (y, y_, j_)):
                place = builder.add(start, ir.Constant(start.type, c * K.n))
                pointer = _pointer(context, builder, array_kind, array, place, vector)
                factors.append(builder.load(pointer, align=x.dtype.bitwidth // 8))
            sums[c % 4] = builder.fmul(*factors) if sums[c % 4] is None else _fma(builder, *factors, sums[c % 4])
        while len(sums) > 1:
            first, *rest = [s for s in sums if s is not None]
            sums = [*rest[1:], builder.fadd(first, rest[0])] if rest else [first]
        return sums[0]

    i = types.intp
    return kind(x, i, y, i, D, K), code


@intrinsic
def piece(typing, D, K):
    """Lanes for a piece of a row: a whole number of times K, at most four times, that goes into D without a rest.

    So few that several such vectors fit into registers together.
    """
    times = max(t for t in (1, 2, 3, 4) if (D.n // K.n) % t == 0)
    return LanesType(times * K.n)(D, K), lambda context, builder, sig, args: context.get_dummy_value()


@intrinsic
def strip(typing, D, J):
    """Lanes for a row of a strip of a matrix with D columns: J of them, or all if J does not divide D."""
    return LanesType(D.n if D.n % J.n else J.n)(D, J), lambda context, builder, sig, args: context.get_dummy_value()


@intrinsic
def twice(typing, K):
    """Lanes for two vectors of K side by side."""
    return LanesType(2 * K.n)(K), lambda context, builder, sig, args: context.get_dummy_value()


@intrinsic
def spread(typing, vector, lanes):
    """The opposite way: lane c of the result is lane c mod K."""

    def code(context, builder, sig, args):
        return _shuffle(builder, args[0], [c % vector.n for c in range(lanes.n)])

    return Vector(vector.dtype, lanes.n)(vector, lanes), code


@intrinsic
def halves(typing, vector):
    """A vector's first and second half."""
    kind = types.UniTuple(Vector(vector.dtype, vector.n // 2), 2)

    def code(context, builder, sig, args):
        n = vector.n // 2
        return cgutils.pack_array(builder, [_shuffle(builder, args[0], range(i, i + n)) for i in (0, n)])

    return kind(vector), code


@intrinsic
def beside(typing, x, y):
    """The vector of which x and y are the halves."""
    return Vector(x.dtype, 2 * x.n)(x, y), lambda context, builder, sig, args: _shuffle(builder, args[0], range(2 * x.n), args[1])


@intrinsic
def total(typing, vector):
    """The sum of all lanes, as a number: halves are added until one lane is left (an odd one waits for the end)."""

    def code(context, builder, sig, args):
        value, n, odd = args[0], vector.n, []
        while n > 1:
            if n % 2:
                odd.append(builder.extract_element(value, ir.Constant(ir.IntType(32), n - 1)))
            n //= 2
            value = builder.fadd(_shuffle(builder, value, range(n)), _shuffle(builder, value, range(n, 2 * n)))
        out = builder.extract_element(value, ir.Constant(ir.IntType(32), 0))
        for number in odd:
            out = builder.fadd(out, number)
        return out

    return vector.dtype(vector), code


@intrinsic
def multiply_add(typing, x, y, z):
    """x y + z, rounded once."""
    return x(x, y, z), lambda context, builder, sig, args: _fma(builder, *args)


def _rows(x, R, J):
    return types.UniTuple(Vector(x.dtype, J.n), R.n)


@intrinsic
def zero_rows(typing, x, R, J):
    """R vectors of J zeros, of x's type."""
    kind = _rows(x, R, J)

    def code(context, builder, sig, args):
        zero = _constant(context.get_value_type(kind.dtype), 0.0)
        return cgutils.pack_array(builder, [zero] * R.n)

    return kind(x, R, J), code


@intrinsic
def load_rows(typing, x, start, row, R, J):
    """R vectors of J numbers, from the places start + i·row."""
    kind = _rows(x, R, J)

    def code(context, builder, sig, args):
        vector = context.get_value_type(kind.dtype)
        places = _places(builder, args[1], args[2], R.n)
        at = [_pointer(context, builder, x, args[0], place, vector) for place in places]
        return cgutils.pack_array(builder, [builder.load(p, align=x.dtype.bitwidth // 8) for p in at])

    return kind(x, types.intp, types.intp, R, J), code


@intrinsic
def store_rows(typing, x, start, row, rows):
    """The opposite way."""

    def code(context, builder, sig, args):
        for i, place in enumerate(_places(builder, args[1], args[2], rows.count)):
            value = builder.extract_value(args[3], i)
            builder.store(value, _pointer(context, builder, x, args[0], place, value.type)).align = x.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, rows), code


@intrinsic
def add_to_rows(typing, rows, x, start, step, vector):
    """rows[i] + x[start + i·step] · vector, rounded once, for each i."""

    def code(context, builder, sig, args):
        data, sums = context.make_array(x)(context, builder, args[1]).data, []
        for i, place in enumerate(_places(builder, args[2], args[3], rows.count)):
            factor = _splat(builder, builder.load(builder.gep(data, [place])), vector.n)
            sums.append(_fma(builder, factor, args[4], builder.extract_value(args[0], i)))
        return cgutils.pack_array(builder, sums)

    return rows(rows, x, types.intp, types.intp, vector), code


def _places(builder, start, step, count):
    return [builder.add(start, builder.mul(step, ir.Constant(step.type, i))) for i in range(count)]


@intrinsic
def transpose_block(typing, A, a, row_a, B, b, row_b):
    """B's 8 × 8 block at flat place b becomes the transpose of A's at a; row_a and row_b are the lengths of their rows.

    Three rounds, one for each bit of a place: round s swaps, between rows i and i + s, the lanes that differ in that bit.
    """
    n = 8

    def code(context, builder, sig, args):
        A_, a_, row_a_, B_, b_, row_b_ = args
        vector = ir.VectorType(context.get_value_type(A.dtype), n)
        at = lambda kind, array, start, row, i: _pointer(
            context, builder, kind, array, builder.add(start, builder.mul(row, ir.Constant(row.type, i))), vector
        )
        rows = [builder.load(at(A, A_, a_, row_a_, i), align=A.dtype.bitwidth // 8) for i in range(n)]
        for s in (1, 2, 4):
            for i in (i for i in range(n) if not i & s):
                low = [j if not j & s else j - s + n for j in range(n)]  # lanes of row i, then n + lanes of row i + s
                high = [j + s if not j & s else j + n for j in range(n)]
                rows[i], rows[i + s] = (_shuffle(builder, rows[i], p, rows[i + s]) for p in (low, high))
        for i, row in enumerate(rows):
            builder.store(row, at(B, B_, b_, row_b_, i)).align = A.dtype.bitwidth // 8
        return context.get_dummy_value()

    i = types.intp
    return types.void(A, i, i, B, i, i), code


@intrinsic
def maximum(typing, x, y):
    """The larger one; NaN if x is: relu(NaN) is NaN, and so is the loss, which stops the run."""

    def code(context, builder, sig, args):
        return builder.select(builder.fcmp_ordered("<", *args), args[1], args[0])

    return x(x, y), code


@intrinsic
def where_positive(typing, x, y):
    """y where x > 0, else 0: the derivative of relu."""

    def code(context, builder, sig, args):
        zero = _constant(args[0].type, 0.0)
        return builder.select(builder.fcmp_ordered(">", args[0], zero), args[1], zero)

    return x(x, y), code


@intrinsic
def exp(typing, vector):
    """exp(x) for x ≤ 0. In float64 the library's; in float32 2^k · p(r), x = k ln 2 + r, |r| ≤ ln 2 / 2.

    p is the Taylor polynomial of degree 6, by Horner: its error, r⁷/7! ≤ 1.2e-7 of the value, is a rounding error of
    float32. NaN and anything below -87 (e⁻⁸⁷ is 0 for a softmax) take the value at -87 or stay NaN.
    """

    def code(context, builder, sig, args):
        x, kind = args[0], args[0].type
        if vector.dtype == types.float64:
            return _call(builder, f"llvm.exp.v{vector.n}f64", kind, x)
        name = f"v{vector.n}f32"
        low = _constant(kind, -87.0)
        x = builder.select(builder.fcmp_ordered("<", x, low), low, x)
        k = _call(builder, f"llvm.rint.{name}", kind, builder.fmul(x, _constant(kind, 1.4426950408889634)))
        # ln 2 in two parts: the first has few bits, so that k times it is exact.
        r = builder.fsub(x, builder.fmul(k, _constant(kind, 0.693359375)))
        r = builder.fsub(r, builder.fmul(k, _constant(kind, -2.12194440e-4)))
        p = _constant(kind, 1 / 720)
        for coefficient in (1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
            p = _fma(builder, p, r, _constant(kind, coefficient))
        integer = ir.VectorType(ir.IntType(32), vector.n)
        bits = builder.shl(builder.add(builder.fptosi(k, integer), _constant(integer, 127)), _constant(integer, 23))
        return builder.fmul(p, builder.bitcast(bits, kind))  # 2^k by its exponent bits

    return vector(vector), code


def _operator(symbol, instruction):
    @intrinsic
    def apply(typing, x, y):
        return x(x, y), lambda context, builder, sig, args: getattr(builder, instruction)(*args)

    @overload(symbol)
    def _(x, y):
        if isinstance(x, Vector) and isinstance(y, Vector):
            return lambda x, y: apply(x, y)


for _symbol, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operator(_symbol, _instruction)
