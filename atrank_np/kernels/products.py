"""Matrix products of a few dozen rows, in the vector type: on such sizes quicker than a BLAS, which packs its operands first.

A tile is up to six rows of C by J columns, held in registers while it collects all inner products: each step takes one
piece of a row of B and a number of each row of A. The J columns of B that a column of tiles needs stay in the nearest
cache.

What lies 512 bytes apart shares few places of that cache, and memory is fetched ahead along addresses, not down a column. So
parameters lie in STRIPS: J columns of all rows, then the next J columns (row by row as usual where J does not divide the
columns). A Matrix says how far rows, columns and strips are apart.
"""

from typing import NamedTuple

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature

from .jit import ADD, SET, ZERO, inline, kernel
from .packed import Matrix, MatrixType, ViewType
from .simd import Lanes, Vector, broadcast, call, constant, instruction, shuffle, size, word

# Two registers wide: six rows are twelve accumulators, which keep both multipliers of a core busy. A matter of speed alone.
J = Lanes(32 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 16)
TALLEST = 6  # rows of a tile


# In Python: matrices in strips


def in_strips(columns):
    return columns % J.n == 0


def to_strips(w):  # [rows, columns] -> the same numbers in the order of strips, flat
    return w.reshape(len(w), -1, J.n).transpose(1, 0, 2).reshape(-1) if in_strips(w.shape[1]) else w.reshape(-1)


def from_strips(w, rows):  # the opposite way
    columns = w.size // rows
    return w.reshape(-1, rows, J.n).transpose(1, 0, 2).reshape(rows, columns) if in_strips(columns) else w.reshape(rows, columns)


def matrix(flat, rows, columns):
    """The Matrix of rows · columns numbers in strips."""
    row, strip = (J.n, rows * J.n) if in_strips(columns) else (columns, J.n)
    return Matrix(flat, rows, columns, row, strip)


# In compiled code: Matrices of Views, and of Matrices


class Parts(NamedTuple):
    """The members of a Matrix as LLVM values. Number i, j of it lies at i · row + (j // J) · strip + (j mod J) · column."""

    data: ir.Value
    rows: ir.Value
    columns: ir.Value
    row: ir.Value
    column: ir.Value = word(1)
    strip: ir.Value = word(J.n)


def _parts(builder, matrix):
    return Parts(*cgutils.unpack_tuple(builder, matrix, len(Parts._fields)))


def _matrix(builder, *parts, **others):
    return cgutils.make_anonymous_struct(builder, Parts(*parts, **others))


def _data(builder, x):
    return builder.extract_value(x, 0)


@instruction
def as_matrix(x):
    """A View of rows as a Matrix; a Matrix stays what it is."""
    if isinstance(x, MatrixType):
        return x, lambda builder, x: x
    code = lambda builder, view: _matrix(builder, *cgutils.unpack_tuple(builder, view, 2), word(x.lanes), word(x.row))
    return MatrixType(x.dtype), code


@instruction
def rows_of(x, rows, columns):
    """A View of numbers as a Matrix, row by row."""
    return MatrixType(x.dtype), lambda builder, x, rows, columns: _matrix(builder, _data(builder, x), rows, columns, columns)


@instruction
def numbers_of_matrix(x):
    """All numbers of a Matrix, in the order in which they lie, as a View."""

    def code(builder, x):
        m = _parts(builder, x)
        return cgutils.make_anonymous_struct(builder, [m.data, builder.mul(m.rows, m.row)])

    return ViewType(x.dtype), code


@instruction
def transposed(x):
    """The Matrix whose rows are the columns of x. Only the left factor of a product may be one."""

    def code(builder, x):
        m = _parts(builder, x)
        return _matrix(builder, m.data, m.columns, m.rows, m.column, m.row, builder.mul(m.row, word(J.n)))

    return x, code


@instruction
def rows_from(x, first, count):
    """`count` rows of a Matrix."""

    def code(builder, x, first, count):
        m = _parts(builder, x)
        return _matrix(builder, *m._replace(data=builder.gep(m.data, [builder.mul(first, m.row)]), rows=count))

    return x, code


def _address(builder, m, i, j):
    """Of number i, j."""
    strip, rest = builder.lshr(j, word(J.n.bit_length() - 1)), builder.and_(j, word(J.n - 1))
    place = builder.add(builder.mul(i, m.row), builder.mul(strip, m.strip))
    return builder.gep(m.data, [builder.add(place, builder.mul(rest, m.column))])


def _rows(builder, m, start, count, vector):
    """Pointers to vectors in `count` rows, the first at an address."""
    places = [builder.gep(start, [builder.mul(m.row, word(r))]) for r in range(count)]
    return [builder.bitcast(place, vector.llvm.as_pointer()) for place in places]


@instruction
def number(x, i, j):
    """Number i, j of a Matrix."""
    return x.dtype, lambda builder, x, i, j: builder.load(_address(builder, _parts(builder, x), i, j))


@instruction
def set_number(x, i, j, value):
    code = lambda builder, x, i, j, value: builder.store(value, _address(builder, _parts(builder, x), i, j))
    return signature(types.void, x, types.intp, types.intp, x.dtype), code


# Products


@instruction
def tile(A, B, C, i, s, height, add):
    """`height` rows by J columns of C (+)= A B: rows i … of A and C, strip s of B and C.

    The sums stay in registers: each step takes J numbers of a row of B, and a number of each row of A.
    """
    vector, align = Vector(C.dtype, J.n), C.dtype.bitwidth // 8

    def rows(builder, a, b, c, add, count):
        pointers = _rows(builder, c, c.data, count, vector)
        start = [builder.select(add, builder.load(p, align=align), constant(vector.llvm, 0.0)) for p in pointers]
        sums = [cgutils.alloca_once_value(builder, value) for value in start]
        with cgutils.for_range(builder, a.columns) as loop:
            (pointer,) = _rows(builder, b, builder.gep(b.data, [builder.mul(loop.index, b.row)]), 1, vector)
            row = builder.load(pointer, align=align)
            for r, sum in enumerate(sums):
                place = builder.add(builder.mul(word(r), a.row), builder.mul(loop.index, a.column))
                factor = broadcast(builder, builder.load(builder.gep(a.data, [place])), vector.n)
                builder.store(call(builder, "fma", factor, row, builder.load(sum)), sum)
        for pointer, sum in zip(pointers, sums):
            builder.store(builder.load(sum), pointer, align=align)

    def begin(builder, matrix, i, s):  # a Matrix from row i and strip s on
        m = _parts(builder, matrix)
        return m._replace(data=builder.gep(m.data, [builder.add(builder.mul(i, m.row), builder.mul(s, m.strip))]))

    def code(builder, A, B, C, i, s, height, add):
        a, b, c = begin(builder, A, i, word(0)), begin(builder, B, word(0), s), begin(builder, C, i, s)
        for count in range(1, TALLEST + 1):
            with builder.if_then(builder.icmp_signed("==", height, word(count))):
                rows(builder, a, b, c, add, count)

    return types.void, code


@inline
def next_part(left, most):
    """How many of the rows that are left come next, if the parts are to be few, alike, and no longer than `most`."""
    return left // ((left + most - 1) // most)


@kernel
def multiply(A, B, C, add):  # [rows, inner], [inner, columns] -> [rows, columns]
    """C = A B, or C += A B if `add`: strip by strip, tile by tile."""
    strips = C.columns // size(J)
    for s in range(strips):
        i = ZERO
        while i < C.rows:
            height = next_part(C.rows - i, TALLEST)  # alike: in a tile of one row every sum would wait for itself
            tile(A, B, C, i, s, height, add)
            i += height
    left = strips * size(J)
    for i in range(C.rows if left < C.columns else 0):  # columns left over, number by number; here lie no strips
        for j in range(left, C.columns):
            total = number(C, i, j) if add else number(A, 0, 0) * 0
            for k in range(A.columns):
                total += number(A, i, k) * number(B, k, j)
            set_number(C, i, j, total)


@kernel
def product(x, W, y):  # [n, I], [I, O] -> [n, O]
    """y = x W"""
    multiply(as_matrix(x), as_matrix(W), as_matrix(y), SET)


@kernel
def add_product(x, W, y):  # [n, I], [I, O] -> [n, O]
    """y += x W"""
    multiply(as_matrix(x), as_matrix(W), as_matrix(y), ADD)


@kernel
def add_product_of_transpose(x, dy, dW):  # [n, I], [n, O] -> [I, O]
    """dW += xᵀ dy, the gradient of a matrix; 128 rows at a time: more push each other out of the cache."""
    a, b, first = as_matrix(x), as_matrix(dy), 0
    while first < b.rows:
        m = next_part(b.rows - first, 128)
        multiply(transposed(rows_from(a, first, m)), rows_from(b, first, m), as_matrix(dW), ADD)
        first += m


# Transposes


@instruction
def transpose_block(A, i, j, B):
    """Rows j … j+7, columns i … i+7 of B become the transpose of rows i … i+7, columns j … j+7 of A; both may lie in strips.

    Three rounds, one for each bit of a place: round s swaps, between rows i and i + s, the lanes that differ in that bit.
    """
    n, vector, align = 8, Vector(A.dtype, 8), A.dtype.bitwidth // 8

    def code(builder, A, i, j, B):
        a, b = _parts(builder, A), _parts(builder, B)
        rows = [builder.load(p, align=align) for p in _rows(builder, a, _address(builder, a, i, j), n, vector)]
        for s in (1, 2, 4):
            for r in (r for r in range(n) if not r & s):
                low = [j if not j & s else j - s + n for j in range(n)]  # lanes of row r, then n + lanes of row r + s
                high = [j + s if not j & s else j + n for j in range(n)]
                rows[r], rows[r + s] = (shuffle(builder, rows[r], p, rows[r + s]) for p in (low, high))
        for row, p in zip(rows, _rows(builder, b, _address(builder, b, j, i), n, vector)):
            builder.store(row, p, align=align)

    return types.void, code


@kernel
def transpose(A, B):  # [I, O] -> [O, I]
    """B = Aᵀ: the backward pass multiplies by transposes."""
    for band in range(0, A.columns, 16):  # of B 16 rows at a time: the cache holds their ends until the next blocks go there
        for i in range(0, A.rows, 8):
            for j in range(band, min(band + 16, A.columns), 8):
                if i + 8 <= A.rows and j + 8 <= A.columns:
                    transpose_block(A, i, j, B)
                else:
                    for ii in range(i, min(i + 8, A.rows)):
                        for jj in range(j, min(j + 8, A.columns)):
                            set_number(B, jj, ii, number(A, ii, jj))
