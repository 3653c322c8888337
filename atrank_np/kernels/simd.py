"""Rows as values: a Vector is what `x[i]` of a View of rows is, and + - * / and the functions here compute with it.

A Vector(float32, 128) is LLVM's <128 x float>, which the compiler cuts into whatever registers the machine has: 8 of
AVX-512, 16 of AVX2, 32 of SSE or NEON. So the kernels read like mathematics on rows, and nothing in them names a chip.
No instruction has LLVM's fast-math flags, and the order of each sum is written out. So bits do not depend on what the
compiler inlines or joins. numba alone vectorises neither the dot products below nor exp.
"""

import functools
import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature

from .llvm import FLOATS, INT32, Lanes, Vector, broadcast, call, constant, instruction, operation, read, shuffle, word, write

STRIP = Lanes(16)  # a line of the cache in float32: for loops over numbers of any count
ONE = Lanes(1)  # for what is left of them

# x + y, x - y, x * y, x / y: of two Vectors, or of a Vector and a number


def _arithmetic(symbol, name):
    @operation(symbol)
    def define(x, y):
        vector = x if isinstance(x, Vector) else y
        if not isinstance(vector, Vector) or any(kind != vector and not isinstance(kind, types.Number) for kind in (x, y)):
            return None

        def code(builder, *values):
            return getattr(builder, name)(*(v if v.type == vector.llvm else broadcast(builder, v, vector.n) for v in values))

        return signature(vector, *(kind if kind == vector else vector.dtype for kind in (x, y))), code


for _symbol, _name in {operator.add: "fadd", operator.sub: "fsub", operator.mul: "fmul", operator.truediv: "fdiv"}.items():
    _arithmetic(_symbol, _name)


# Making, reading and writing


@instruction
def zeros(x):
    """A row of zeros like those of a View; or the number 0, if it is one of numbers."""
    zero = ir.Constant(x.item.llvm, None) if isinstance(x.item, Vector) else ir.Constant(FLOATS[x.item], 0.0)
    return x.item, lambda builder, x: zero


@instruction
def splat(x, number, lanes):
    """The same number in every lane, of the type of the View x."""
    kind = Vector(x.dtype, lanes.n)
    return signature(kind, x, x.dtype, lanes), lambda builder, x, number, _: broadcast(builder, number, lanes.n)


@instruction
def load(x, row, column, lanes):
    """The n numbers of a View from number `column` of a row on."""
    kind = Vector(x.dtype, lanes.n)
    return kind, lambda builder, view, row, column, _: read(builder, x, view, row, column, kind)


@instruction
def store(x, row, column, vector):
    """Writes a Vector there."""
    return types.void, lambda builder, view, row, column, value: write(builder, x, view, row, column, vector, value)


@instruction
def prefetch(x, i):
    """Asks for the cache line of number i of a View, which is read soon; nobody waits for it."""

    def code(builder, view, i):
        place = builder.bitcast(builder.gep(builder.extract_value(view, 0), [i]), cgutils.voidptr_t)
        kind = ir.FunctionType(ir.VoidType(), [place.type, INT32, INT32, INT32])
        hint = (ir.Constant(INT32, n) for n in (0, 3, 1))  # to read, into all caches, data
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0"), [place, *hint])

    return signature(types.void, x, types.intp), code


# Numbers that the types decide


@instruction
def lanes(x):
    """How many numbers a row of x has, as Lanes."""
    return Lanes(x.lanes)


@instruction
def half(x):
    """Half as many, as Lanes."""
    return Lanes(x.lanes // 2)


@instruction
def columns(x):
    """How many numbers a row of x has."""
    return x.lanes


@instruction
def size(n):
    """Lanes as a number."""
    return n.n


@instruction
def piece(x, K):
    """Lanes for a piece of a row of x: K, 2 K, 3 K or 4 K, the most that divides the row. So several fit into registers."""
    return Lanes(K.n * max(t for t in (1, 2, 3, 4) if (x.lanes // K.n) % t == 0))


@instruction
def strip(x, J):
    """Lanes for a piece of a row of x: J, or the whole row if J does not divide it."""
    return Lanes(x.lanes if x.lanes % J.n else J.n)


# Mathematics


@instruction
def total(vector):
    """The sum of all lanes, as a number: halves are added until one lane is left (an odd one waits for the end)."""

    def code(builder, value):
        n, odd = vector.n, []
        while n > 1:
            if n % 2:
                odd.append(builder.extract_element(value, ir.Constant(INT32, n - 1)))
            n //= 2
            value = builder.fadd(shuffle(builder, value, range(n)), shuffle(builder, value, range(n, 2 * n)))
        return functools.reduce(builder.fadd, odd, builder.extract_element(value, ir.Constant(INT32, 0)))

    return vector.dtype, code


@instruction
def dots(x, i, y, j, K):
    """The dot products of row i of x and row j of y in all K spaces at once, where the space index is innermost:
    lane k is the sum over c of x[i, c K + k] y[j, c K + k]."""
    kind = Vector(x.dtype, K.n)

    def code(builder, view_x, i, view_y, j, _):
        sums = []  # four in turns: an addition need not wait for the one before
        for c in range(x.lanes // K.n):
            column = word(c * K.n)
            factors = read(builder, x, view_x, i, column, kind), read(builder, y, view_y, j, column, kind)
            if c < 4:
                sums.append(builder.fmul(*factors))
            else:
                sums[c % 4] = call(builder, "fma", *factors, sums[c % 4])
        while len(sums) > 1:
            sums = [*sums[2:], builder.fadd(*sums[:2])]
        return sums[0]

    return kind, code


@instruction
def spread(vector, lanes):
    """K numbers, repeated: lane c of the result is lane c mod K."""
    places = [c % vector.n for c in range(lanes.n)]
    return Vector(vector.dtype, lanes.n), lambda builder, value, _: shuffle(builder, value, places)


@instruction
def multiply_add(x, y, z):
    """x y + z, rounded once."""
    return x, lambda builder, *values: call(builder, "fma", *values)


@instruction
def root(x):
    """√x of each lane."""
    return x, lambda builder, x: call(builder, "sqrt", x)


@instruction
def maximum(x, y):
    """The larger one; NaN if x is NaN. So relu(NaN) is NaN, and so is the loss, which stops the run."""
    return x, lambda builder, x, y: builder.select(builder.fcmp_ordered("<", x, y), y, x)


@instruction
def where_positive(x, y):
    """y where x > 0, else 0: the derivative of relu."""
    zero = constant(x.llvm, 0.0)
    return x, lambda builder, x, y: builder.select(builder.fcmp_ordered(">", x, zero), y, zero)


@instruction
def where_equal(x, number, y):
    """y where x is the number, else 0."""

    def code(builder, x, number, y):
        same = builder.fcmp_ordered("==", x, broadcast(builder, number, x.type.count))
        return builder.select(same, y, constant(y.type, 0.0))

    return signature(x, x, x.dtype, x), code


@instruction
def exp(vector):
    """exp(x) for x ≤ 0. In float64 the library's; in float32 2^k · p(r), x = k ln 2 + r, |r| ≤ ln 2 / 2.

    p is the Taylor polynomial of degree 6, by Horner: its error, r⁷/7! ≤ 1.2e-7 of the value, is a rounding error of
    float32. Below -87 the value is e⁻⁸⁷, which is 0 for a softmax. NaN stays NaN.
    """
    number = functools.partial(constant, vector.llvm)

    def code(builder, x):
        x = builder.select(builder.fcmp_ordered("<", x, number(-87.0)), number(-87.0), x)
        k = call(builder, "rint", builder.fmul(x, number(1.4426950408889634)))
        # ln 2 in two parts: the first has few bits, so that k times it is exact.
        r = builder.fsub(x, builder.fmul(k, number(0.693359375)))
        r = builder.fsub(r, builder.fmul(k, number(-2.12194440e-4)))
        p = number(1 / 720)
        for coefficient in (1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
            p = call(builder, "fma", p, r, number(coefficient))
        integer = ir.VectorType(INT32, vector.n)
        bits = builder.shl(builder.add(builder.fptosi(k, integer), constant(integer, 127)), constant(integer, 23))
        return builder.fmul(p, builder.bitcast(bits, vector.llvm))  # 2^k by its exponent bits

    return vector, code if vector.dtype == types.float32 else lambda builder, x: call(builder, "exp", x)
