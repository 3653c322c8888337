"""Matrices in strips, in Python and in compiled code.

A processor prefetches neighbouring addresses, not a column, and rows 512 bytes apart compete for few sets of its cache. So
parameters lie in STRIPS: J columns of all rows, then the next J columns. Where J does not divide the columns, they lie row by
row. A Matrix says how far rows, columns and strips are apart.
"""

from typing import NamedTuple

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import signature

from .llvm import Lanes, instruction, word
from .packed import Matrix
from .views import MatrixType, ViewType

# Two registers wide: six rows are twelve accumulators, which keep both multipliers of a core busy. A matter of speed alone.
J = Lanes(32 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 16)


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


def parts(builder, matrix):
    return Parts(*cgutils.unpack_tuple(builder, matrix, len(Parts._fields)))


def _matrix(builder, *parts, **others):
    return cgutils.make_anonymous_struct(builder, Parts(*parts, **others))


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
    code = lambda builder, x, rows, columns: _matrix(builder, builder.extract_value(x, 0), rows, columns, columns)
    return MatrixType(x.dtype), code


@instruction
def numbers_of_matrix(x):
    """All numbers of a Matrix, in the order in which they lie, as a View."""

    def code(builder, x):
        m = parts(builder, x)
        return cgutils.make_anonymous_struct(builder, [m.data, builder.mul(m.rows, m.row)])

    return ViewType(x.dtype), code


@instruction
def transposed(x):
    """The Matrix whose rows are the columns of x. Only the left factor of a product may be one."""

    def code(builder, x):
        m = parts(builder, x)
        return _matrix(builder, m.data, m.columns, m.rows, m.column, m.row, builder.mul(m.row, word(J.n)))

    return x, code


@instruction
def rows_from(x, first, count):
    """`count` rows of a Matrix."""

    def code(builder, x, first, count):
        m = parts(builder, x)
        return _matrix(builder, *m._replace(data=builder.gep(m.data, [builder.mul(first, m.row)]), rows=count))

    return x, code


def address_in(builder, m, i, j):
    """The address of number i, j."""
    strip, rest = builder.lshr(j, word(J.n.bit_length() - 1)), builder.and_(j, word(J.n - 1))
    place = builder.add(builder.mul(i, m.row), builder.mul(strip, m.strip))
    return builder.gep(m.data, [builder.add(place, builder.mul(rest, m.column))])


def row_pointers(builder, m, start, count, vector):
    """Pointers to vectors in `count` rows, the first at an address."""
    places = [builder.gep(start, [builder.mul(m.row, word(r))]) for r in range(count)]
    return [builder.bitcast(place, vector.llvm.as_pointer()) for place in places]


@instruction
def number(x, i, j):
    """Number i, j of a Matrix."""
    return x.dtype, lambda builder, x, i, j: builder.load(address_in(builder, parts(builder, x), i, j))


@instruction
def set_number(x, i, j, value):
    code = lambda builder, x, i, j, value: builder.store(value, address_in(builder, parts(builder, x), i, j))
    return signature(types.void, x, types.intp, types.intp, x.dtype), code
