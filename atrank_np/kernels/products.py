"""Matrix products of a few dozen rows, in the vector type: on such sizes quicker than a BLAS, which packs its operands first.

C = A B is computed tile by tile: up to six rows by J columns of C. The J columns of B that a column of tiles needs stay in the
nearest cache.
"""

from numba import types
from numba.core import cgutils

from .jit import ADD, SET, ZERO, inline, kernel
from .llvm import Vector, broadcast, call, constant, instruction, shuffle, word
from .matrices import J, address_in, as_matrix, number, parts, row_pointers, rows_from, set_number, transposed
from .simd import size

TALLEST = 6  # rows of a tile


@instruction
def tile(A, B, C, i, s, height, add):
    """`height` rows by J columns of C (+)= A B: rows i … of A and C, strip s of B and C.

    The sums stay in registers: each step takes J numbers of a row of B, and a number of each row of A.
    """
    vector, align = Vector(C.dtype, J.n), C.dtype.bitwidth // 8

    def rows(builder, a, b, c, add, count):
        pointers = row_pointers(builder, c, c.data, count, vector)
        start = [builder.select(add, builder.load(p, align=align), constant(vector.llvm, 0.0)) for p in pointers]
        sums = [cgutils.alloca_once_value(builder, value) for value in start]
        with cgutils.for_range(builder, a.columns) as loop:
            (pointer,) = row_pointers(builder, b, builder.gep(b.data, [builder.mul(loop.index, b.row)]), 1, vector)
            row = builder.load(pointer, align=align)
            for r, sum in enumerate(sums):
                place = builder.add(builder.mul(word(r), a.row), builder.mul(loop.index, a.column))
                factor = broadcast(builder, builder.load(builder.gep(a.data, [place])), vector.n)
                builder.store(call(builder, "fma", factor, row, builder.load(sum)), sum)
        for pointer, sum in zip(pointers, sums):
            builder.store(builder.load(sum), pointer, align=align)

    def begin(builder, matrix, i, s):  # a Matrix from row i and strip s on
        m = parts(builder, matrix)
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
            height = next_part(C.rows - i, TALLEST)  # in a tile of one row, each addition would wait for the one before
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
        a, b = parts(builder, A), parts(builder, B)
        rows = [builder.load(p, align=align) for p in row_pointers(builder, a, address_in(builder, a, i, j), n, vector)]
        for s in (1, 2, 4):
            for r in (r for r in range(n) if not r & s):
                low = [j if not j & s else j - s + n for j in range(n)]  # lanes of row r, then n + lanes of row r + s
                high = [j + s if not j & s else j + n for j in range(n)]
                rows[r], rows[r + s] = (shuffle(builder, rows[r], p, rows[r + s]) for p in (low, high))
        for row, p in zip(rows, row_pointers(builder, b, address_in(builder, b, j, i), n, vector)):
            builder.store(row, p, align=align)

    return types.void, code


@kernel
def transpose(A, B):  # [I, O] -> [O, I]
    """B = Aᵀ: the backward pass multiplies by transposes."""
    for band in range(0, A.columns, 16):  # 16 rows of B at a time: their cache lines stay until the next blocks fill them
        for i in range(0, A.rows, 8):
            for j in range(band, min(band + 16, A.columns), 8):
                if i + 8 <= A.rows and j + 8 <= A.columns:
                    transpose_block(A, i, j, B)
                else:
                    for ii in range(i, min(i + 8, A.rows)):
                        for jj in range(j, min(j + 8, A.columns)):
                            set_number(B, jj, ii, number(A, ii, jj))
