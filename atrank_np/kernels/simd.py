"""Rows as values: a Vector is what `x[i]` of a View of rows is, and + - * / and the functions here compute with it.

A Vector(float32, 128) is LLVM's <128 x float>, which the compiler cuts into whatever registers the machine has: 8 of
AVX-512, 16 of AVX2, 32 of SSE or NEON. So the kernels read like mathematics on rows, and nothing in them names a chip.
No instruction is marked fast, and sums are written out in an order: so the bits do not depend on how the compiler
happens to place, join or inline functions. numba alone vectorises neither the dot products below nor exp.

`Lanes` is a number known to the compiler, the length of a Vector: an argument whose TYPE says n.
Everything here writes LLVM instructions at the place of the call: no function of its own is compiled for it.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_constant
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model, typeof_impl

WORD, INT32 = ir.IntType(64), ir.IntType(32)


class Lanes:
    """A compile-time number, a constant in a kernel or an argument of it."""

    def __init__(self, n):
        self.n = n


class LanesType(types.Type):
    def __init__(self, n):
        self.n = n
        super().__init__(name=f"Lanes({n})")


class Vector(types.Type):
    def __init__(self, dtype, n):
        self.dtype, self.n = dtype, n
        super().__init__(name=f"Vector({dtype},{n})")


STRIP = Lanes(16)  # a line of the cache in float32: for loops over numbers of any count


@typeof_impl.register(Lanes)
def _(value, context):
    return LanesType(value.n)


register_model(LanesType)(models.OpaqueModel)


@lower_constant(LanesType)
def _(context, builder, kind, value):
    return context.get_dummy_value()


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        element = ir.FloatType() if kind.dtype == types.float32 else ir.DoubleType()
        super().__init__(manager, kind, ir.VectorType(element, kind.n))


# Helpers that write instructions


def _constant(vector, number):
    return ir.Constant(vector, [number] * vector.count)


def _shuffle(builder, value, places, other=None):
    mask = ir.Constant(ir.VectorType(INT32, len(places)), [ir.Constant(INT32, p) for p in places])
    return builder.shuffle_vector(value, value if other is None else other, mask)


def _splat(builder, number, n):
    one = ir.Constant(ir.VectorType(number.type, 1), ir.Undefined)
    return _shuffle(builder, builder.insert_element(one, number, ir.Constant(INT32, 0)), [0] * n)


def _fma(builder, x, y, z):
    letter = "f32" if isinstance(x.type.element, ir.FloatType) else "f64"
    return _call(builder, f"llvm.fma.v{x.type.count}{letter}", x.type, x, y, z)


def _call(builder, name, result, *arguments):
    kind = ir.FunctionType(result, [a.type for a in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def _address(context, builder, kind, view, row, column, vector):
    """The address of n numbers of a View, from number `column` of a row on."""
    data = cgutils.create_struct_proxy(kind)(context, builder, view).data
    place = builder.add(builder.mul(row, ir.Constant(WORD, kind.row)), column)
    return builder.bitcast(builder.gep(data, [place]), vector.as_pointer())


# x + y, x - y, x * y, x / y: of two Vectors, or of a Vector and a number


def _operator(symbol, instruction):
    @infer_global(symbol)
    class _(AbstractTemplate):
        def generic(self, args, kws):
            x, y = args
            if isinstance(x, Vector) and (x == y or isinstance(y, types.Number)):
                return signature(x, x, x if x == y else x.dtype)
            if isinstance(y, Vector) and isinstance(x, types.Number):
                return signature(y, y.dtype, y)

    def code(context, builder, sig, args):
        vector = context.get_value_type(sig.return_type)
        x, y = (a if a.type == vector else _splat(builder, a, vector.count) for a in args)
        return getattr(builder, instruction)(x, y)

    for kinds in ((Vector, Vector), (Vector, types.Float), (types.Float, Vector)):
        lower_builtin(symbol, *kinds)(code)


for _symbol, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul"), (operator.truediv, "fdiv")):
    _operator(_symbol, _instruction)


# Making, reading and writing


@intrinsic
def zeros(typing, x):
    """A row of zeros like those of a View; or the number 0, if it is one of numbers."""

    def code(context, builder, sig, args):
        return ir.Constant(context.get_value_type(x.item), None if isinstance(x.item, Vector) else 0.0)

    return x.item(x), code


@intrinsic
def splat(typing, x, number, lanes):
    """The same number in every lane, of the type of the View x."""
    kind = Vector(x.dtype, lanes.n)
    return kind(x, x.dtype, lanes), lambda context, builder, sig, args: _splat(builder, args[1], lanes.n)


@intrinsic
def load(typing, x, row, column, lanes):
    """The n numbers of a View from number `column` of a row on."""
    kind = Vector(x.dtype, lanes.n)

    def code(context, builder, sig, args):
        pointer = _address(context, builder, x, *args[:3], context.get_value_type(kind))
        return builder.load(pointer, align=x.dtype.bitwidth // 8)

    return kind(x, types.intp, types.intp, lanes), code


@intrinsic
def store(typing, x, row, column, vector):
    """The opposite way."""

    def code(context, builder, sig, args):
        builder.store(args[3], _address(context, builder, x, *args[:3], args[3].type), align=x.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, vector), code


# Lanes


def _lanes(n):
    return LanesType(n), lambda context, builder, sig, args: context.get_dummy_value()


@intrinsic
def lanes(typing, x):
    """How many numbers a row of x has, as Lanes."""
    kind, code = _lanes(x.lanes)
    return kind(x), code


@intrinsic
def size(typing, n):
    """Lanes as a number."""
    return types.intp(n), lambda context, builder, sig, args: ir.Constant(WORD, n.n)


@intrinsic
def columns(typing, x):
    """How many numbers a row of x has, as a number."""
    return types.intp(x), lambda context, builder, sig, args: ir.Constant(WORD, x.lanes)


@intrinsic
def half(typing, x):
    """Half as many as a row of x has."""
    kind, code = _lanes(x.lanes // 2)
    return kind(x), code


@intrinsic
def apart(typing, x):
    """How many numbers lie from a row of x to the next."""
    return types.intp(x), lambda context, builder, sig, args: ir.Constant(WORD, x.row)


@intrinsic
def piece(typing, x, K):
    """Lanes for a piece of a row of x: a whole number of times K, at most four times, that goes into the row without a rest.
    So few that several such vectors fit into registers together."""
    kind, code = _lanes(K.n * max(t for t in (1, 2, 3, 4) if (x.lanes // K.n) % t == 0))
    return kind(x, K), code


@intrinsic
def strip(typing, x, J):
    """Lanes for a row of a strip of a matrix with as many columns as x: J of them, or all if J does not divide them."""
    kind, code = _lanes(x.lanes if x.lanes % J.n else J.n)
    return kind(x, J), code


# Mathematics


@intrinsic
def total(typing, vector):
    """The sum of all lanes, as a number: halves are added until one lane is left (an odd one waits for the end)."""

    def code(context, builder, sig, args):
        value, n, odd = args[0], vector.n, []
        while n > 1:
            if n % 2:
                odd.append(builder.extract_element(value, ir.Constant(INT32, n - 1)))
            n //= 2
            value = builder.fadd(_shuffle(builder, value, range(n)), _shuffle(builder, value, range(n, 2 * n)))
        out = builder.extract_element(value, ir.Constant(INT32, 0))
        for number in odd:
            out = builder.fadd(out, number)
        return out

    return vector.dtype(vector), code


@intrinsic
def dots(typing, x, i, y, j, K):
    """The dot products of row i of x and row j of y in all K spaces at once, where the space index is innermost:
    lane k is the sum over c of x[i, c K + k] y[j, c K + k]."""
    kind = Vector(x.dtype, K.n)

    def code(context, builder, sig, args):
        vector = context.get_value_type(kind)
        sums = [None] * 4  # in turns, so that a sum need not wait for the one before
        for c in range(x.lanes // K.n):
            column = ir.Constant(WORD, c * K.n)
            pointers = [_address(context, builder, view, *args[a : a + 2], column, vector) for a, view in ((0, x), (2, y))]
            factors = [builder.load(pointer, align=x.dtype.bitwidth // 8) for pointer in pointers]
            sums[c % 4] = builder.fmul(*factors) if sums[c % 4] is None else _fma(builder, *factors, sums[c % 4])
        while len(sums) > 1:
            first, *rest = [s for s in sums if s is not None]
            sums = [*rest[1:], builder.fadd(first, rest[0])] if rest else [first]
        return sums[0]

    i = types.intp
    return kind(x, i, y, i, K), code


@intrinsic
def spread(typing, vector, lanes):
    """The K numbers again and again: lane c of the result is lane c mod K."""

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
def multiply_add(typing, x, y, z):
    """x y + z, rounded once."""
    return x(x, y, z), lambda context, builder, sig, args: _fma(builder, *args)


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
def where_equal(typing, x, number, y):
    """y where x is the number, else 0."""

    def code(context, builder, sig, args):
        same = builder.fcmp_ordered("==", args[0], _splat(builder, args[1], x.n))
        return builder.select(same, args[2], _constant(args[0].type, 0.0))

    return x(x, x.dtype, x), code


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
        integer = ir.VectorType(INT32, vector.n)
        bits = builder.shl(builder.add(builder.fptosi(k, integer), _constant(integer, 127)), _constant(integer, 23))
        return builder.fmul(p, builder.bitcast(bits, kind))  # 2^k by its exponent bits

    return vector(vector), code
