"""Matrix products of a few dozen rows, in the vector type: on such sizes quicker than a BLAS, which packs its operands first.

A tile is up to six rows of C by J columns, held in registers while it collects all inner products: each step takes one
piece of a row of B and a number of each row of A. The J columns of B that a column of tiles needs stay in the nearest
cache.

What lies 512 bytes apart shares few places of that cache, and memory is fetched ahead along addresses, not down a column. So
parameters lie in STRIPS: J columns of all rows, then the next J columns (row by row as usual where J does not divide the
columns). A Matrix says how far rows, columns and strips are apart.
"""

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import ADD, SET, ZERO, inline, kernel
from .packed import Matrix, MatrixType, ViewType, make_matrix
from .simd import WORD, Lanes, Vector, _fma, _shuffle, _splat, size

# Two registers wide: six rows are twelve accumulators, which keep both multipliers of a core busy. A matter of speed alone.
J = Lanes(32 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 16)
ROWS_1, ROWS_2, ROWS_3, ROWS_4, ROWS_5, ROWS_6 = (Lanes(n) for n in range(1, 7))


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


# In compiled code: a View or a Matrix as a Matrix


@intrinsic
def as_matrix(typing, x):
    """A View of rows as a Matrix; a Matrix stays what it is."""
    if isinstance(x, MatrixType):
        return x(x), lambda context, builder, sig, args: args[0]

    def code(context, builder, sig, args):
        view = cgutils.create_struct_proxy(x)(context, builder, args[0])
        width, row, strip = (ir.Constant(WORD, n) for n in (x.lanes, x.row, J.n))
        return make_matrix(context, builder, sig.return_type, view.data, view.n, width, strip, row)

    return MatrixType(x.dtype)(x), code


@intrinsic
def transposed(typing, x):
    """The Matrix whose rows are the columns of x. Only the left factor of a product may be one."""

    def code(context, builder, sig, args):
        m = cgutils.create_struct_proxy(x)(context, builder, args[0])
        return make_matrix(
            context,
            builder,
            x,
            m.data,
            m.columns,
            m.rows,
            row=m.column,
            column=m.row,
            strip=builder.mul(m.row, ir.Constant(WORD, J.n)),
        )

    return x(x), code


@intrinsic
def rows_of(typing, x, rows, columns):
    """A View of numbers as a Matrix, row by row."""

    def code(context, builder, sig, args):
        data = cgutils.create_struct_proxy(x)(context, builder, args[0]).data
        return make_matrix(context, builder, sig.return_type, data, *args[1:], strip=ir.Constant(WORD, J.n))

    return MatrixType(x.dtype)(x, types.intp, types.intp), code


@intrinsic
def in_strips_of(typing, x, rows, like):
    """A View of numbers as a Matrix of so many rows, in strips as another that has as many columns."""

    def code(context, builder, sig, args):
        data = cgutils.create_struct_proxy(x)(context, builder, args[0]).data
        m = cgutils.create_struct_proxy(like)(context, builder, args[2])
        apart = builder.icmp_signed("==", m.strip, ir.Constant(WORD, J.n))  # then it lies row by row
        strip = builder.select(apart, m.strip, builder.mul(args[1], m.row))
        return make_matrix(context, builder, like, data, args[1], m.columns, strip, row=m.row)

    return like(x, types.intp, like), code


@intrinsic
def numbers_of_matrix(typing, x):
    """All numbers of a Matrix, in the order in which they lie, as a View."""
    kind = ViewType(x.dtype)

    def code(context, builder, sig, args):
        out = cgutils.create_struct_proxy(kind)(context, builder)
        m = cgutils.create_struct_proxy(x)(context, builder, args[0])
        out.data, out.n = m.data, builder.mul(m.rows, m.columns)
        return out._getvalue()

    return kind(x), code


@intrinsic
def rows_from(typing, x, first, count):
    """`count` rows of a Matrix."""

    def code(context, builder, sig, args):
        m = cgutils.create_struct_proxy(x)(context, builder, args[0])
        m.data, m.rows = builder.gep(m.data, [builder.mul(args[1], m.row)]), args[2]
        return m._getvalue()

    return x(x, types.intp, types.intp), code


# Tiles


def _pointers(context, builder, kind, value, i, j, n, vector):
    """Addresses of n rows of a Matrix, from row i and the strip at flat place j on."""
    m = cgutils.create_struct_proxy(kind)(context, builder, value)
    first = builder.add(builder.mul(i, m.row), j)
    places = [builder.add(first, builder.mul(m.row, ir.Constant(WORD, r))) for r in range(n)]
    return [builder.bitcast(builder.gep(m.data, [place]), vector.as_pointer()) for place in places]


@intrinsic
def load_tile(typing, C, i, j, add, R, J):
    """R vectors of J numbers of C, from row i and flat place j on; zeros if not add."""
    kind = types.UniTuple(Vector(C.dtype, J.n), R.n)

    def code(context, builder, sig, args):
        vector, zero = context.get_value_type(kind.dtype), ir.Constant(context.get_value_type(kind.dtype), None)
        start, add = builder.block, args[3]
        with builder.if_then(builder.trunc(add, ir.IntType(1)) if add.type.width > 1 else add):
            pointers = _pointers(context, builder, C, args[0], args[1], args[2], R.n, vector)
            loaded = [builder.load(p, align=C.dtype.bitwidth // 8) for p in pointers]
            inside = builder.block
        out = []
        for value in loaded:
            phi = builder.phi(vector)
            phi.add_incoming(zero, start)
            phi.add_incoming(value, inside)
            out.append(phi)
        return cgutils.pack_array(builder, out)

    return kind(C, types.intp, types.intp, types.boolean, R, J), code


@intrinsic
def add_products(typing, sums, A, i, k, B, j):
    """sums[r] + A[i + r, k] · (row k of B, from flat place j on), rounded once, for each r."""

    def code(context, builder, sig, args):
        a = cgutils.create_struct_proxy(A)(context, builder, args[1])
        vector = context.get_value_type(sums.dtype)
        (pointer,) = _pointers(context, builder, B, args[4], args[3], args[5], 1, vector)
        row, out = builder.load(pointer, align=B.dtype.bitwidth // 8), []
        first = builder.add(builder.mul(args[2], a.row), builder.mul(args[3], a.column))
        for r in range(sums.count):
            place = builder.add(first, builder.mul(a.row, ir.Constant(WORD, r)))
            factor = _splat(builder, builder.load(builder.gep(a.data, [place])), vector.count)
            out.append(_fma(builder, factor, row, builder.extract_value(args[0], r)))
        return cgutils.pack_array(builder, out)

    return sums(sums, A, types.intp, types.intp, B, types.intp), code


@intrinsic
def store_tile(typing, C, i, j, sums):
    def code(context, builder, sig, args):
        vector = context.get_value_type(sums.dtype)
        for r, pointer in enumerate(_pointers(context, builder, C, *args[:3], sums.count, vector)):
            builder.store(builder.extract_value(args[3], r), pointer, align=C.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(C, types.intp, types.intp, sums), code


@intrinsic
def number(typing, x, i, j):
    """Number i, j of a Matrix."""
    return x.dtype(x, types.intp, types.intp), lambda context, builder, sig, args: builder.load(
        _number(context, builder, x, *args)
    )


@intrinsic
def set_number(typing, x, i, j, value):
    def code(context, builder, sig, args):
        builder.store(args[3], _number(context, builder, x, *args[:3]))
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, x.dtype), code


def _place(builder, m, i, j):
    """Of number i, j from the beginning of a Matrix."""
    strips, rest = builder.lshr(j, ir.Constant(WORD, J.n.bit_length() - 1)), builder.and_(j, ir.Constant(WORD, J.n - 1))
    return builder.add(builder.add(builder.mul(i, m.row), builder.mul(strips, m.strip)), builder.mul(rest, m.column))


def _number(context, builder, kind, value, i, j):
    m = cgutils.create_struct_proxy(kind)(context, builder, value)
    return builder.gep(m.data, [_place(builder, m, i, j)])


@inline
def tile(A, B, C, i, s, add, R, J):
    """R rows by J columns of C (+)= A B: rows i … of A and C, strip s of B and C."""
    j_B, j_C = s * B.strip, s * C.strip
    sums = load_tile(C, i, j_C, add, R, J)
    for k in range(A.columns):
        sums = add_products(sums, A, i, k, B, j_B)
    store_tile(C, i, j_C, sums)


@kernel
def multiply(A, B, C, add, J):  # [rows, inner], [inner, columns] -> [rows, columns]
    """C = A B, or C += A B if `add`: strip by strip, tile by tile."""
    rows, strips = C.rows, C.columns // size(J)
    for s in range(strips):
        i = ZERO
        while i < rows:
            r = next_part(rows - i, 6)  # of like heights: in a tile of one row every sum would wait for itself
            if r == 6:
                tile(A, B, C, i, s, add, ROWS_6, J)
            elif r == 5:
                tile(A, B, C, i, s, add, ROWS_5, J)
            elif r == 4:
                tile(A, B, C, i, s, add, ROWS_4, J)
            elif r == 3:
                tile(A, B, C, i, s, add, ROWS_3, J)
            elif r == 2:
                tile(A, B, C, i, s, add, ROWS_2, J)
            else:
                tile(A, B, C, i, s, add, ROWS_1, J)
            i += r
    left = strips * size(J)
    for i in range(rows if left < C.columns else 0):  # columns left over, number by number; here lie no strips
        for j in range(left, C.columns):
            total = number(C, i, j) if add else number(A, 0, 0) * 0
            for k in range(A.columns):
                total += number(A, i, k) * number(B, k, j)
            set_number(C, i, j, total)


@inline
def next_part(left, most):
    """How many of the rows that are left come next, if the parts are to be few, alike, and no longer than `most`."""
    return left // ((left + most - 1) // most)


@kernel
def product(x, W, y):  # [n, I], [I, O] -> [n, O]
    """y = x W"""
    multiply(as_matrix(x), as_matrix(W), as_matrix(y), SET, J)


@kernel
def add_product(x, W, y):  # [n, I], [I, O] -> [n, O]
    """y += x W"""
    multiply(as_matrix(x), as_matrix(W), as_matrix(y), ADD, J)


@kernel
def add_product_of_transpose(x, dy, dW):  # [n, I], [n, O] -> [I, O]
    """dW += xᵀ dy, the gradient of a matrix; 128 rows at a time: more push each other out of the cache."""
    a, b, first = as_matrix(x), as_matrix(dy), 0
    while first < b.rows:
        m = next_part(b.rows - first, 128)
        multiply(transposed(rows_from(a, first, m)), rows_from(b, first, m), as_matrix(dW), ADD, J)
        first += m


# Transposes


@intrinsic
def transpose_block(typing, A, i, j, B):
    """Rows j … j+7, columns i … i+7 of B become the transpose of rows i … i+7, columns j … j+7 of A; both may lie in strips.

    Three rounds, one for each bit of a place: round s swaps, between rows i and i + s, the lanes that differ in that bit.
    """
    n = 8

    def code(context, builder, sig, args):
        vector = ir.VectorType(context.get_value_type(A.dtype), n)
        a, b = (cgutils.create_struct_proxy(A)(context, builder, args[m]) for m in (0, 3))

        def pointers(m, i, j):
            first = _place(builder, m, i, j)
            places = [builder.add(first, builder.mul(m.row, ir.Constant(WORD, r))) for r in range(n)]
            return [builder.bitcast(builder.gep(m.data, [p]), vector.as_pointer()) for p in places]

        rows = [builder.load(p, align=A.dtype.bitwidth // 8) for p in pointers(a, args[1], args[2])]
        for s in (1, 2, 4):
            for r in (r for r in range(n) if not r & s):
                low = [j if not j & s else j - s + n for j in range(n)]  # lanes of row r, then n + lanes of row r + s
                high = [j + s if not j & s else j + n for j in range(n)]
                rows[r], rows[r + s] = (_shuffle(builder, rows[r], p, rows[r + s]) for p in (low, high))
        for row, p in zip(rows, pointers(b, args[2], args[1])):
            builder.store(row, p, align=A.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(A, types.intp, types.intp, B), code


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
