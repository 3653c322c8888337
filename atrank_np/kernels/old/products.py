"""Matrix products of a few dozen rows, in the vector type: on such sizes quicker than a BLAS, which packs its operands first.

A tile is up to six rows of C by J columns, held in registers while it collects all inner products: each step takes one
piece of a row of B and a number of each row of A. The J columns of B that a column of tiles needs stay in the nearest
cache. All arrays are C-contiguous and used flat.

What lies 512 bytes apart shares few places of that cache, and memory is fetched ahead along addresses, not down a column. So
parameters lie in STRIPS: J columns of all rows, then the next J columns (row by row as usual where J does not divide the
columns). And the rows of workspaces may be further apart than they are long.
"""

import llvmlite.binding
from numba import njit

from .options import ADD, KERNEL, ONE, ZERO
from .vectors import Lanes, add_to_rows, load, load_rows, number, row, size, store_rows, transpose_block, zero_rows

# Two registers wide: six rows are twelve accumulators, which keep both multipliers of a core busy. A matter of speed alone.
J = Lanes(32 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 16)
ROWS_1, ROWS_2, ROWS_3, ROWS_4, ROWS_5, ROWS_6 = (Lanes(n) for n in range(1, 7))


@njit(**KERNEL)
def tile(A, a, row_a, step, inner, B, b, row_b, C, c, row_c, add, R, J):
    """R rows by J columns of C[c:] (+)= Σ_k A[a + i·row_a + k·step] B[b + k·row_b]."""
    sums = load_rows(C, c, row_c, R, J) if add else zero_rows(C, R, J)
    for k in range(inner):
        sums = add_to_rows(sums, A, a + k * step, row_a, load(B, b + k * row_b, J))
    store_rows(C, c, row_c, sums)


@njit(**KERNEL)
def next_part(left, most):
    """How many of the rows that are left come next, if the parts are to be few, alike, and no longer than `most`."""
    return left // ((left + most - 1) // most)


@njit(**KERNEL)
def strips(rows, columns):
    """From a row to the next, and from a column to that J columns on, of a matrix in strips."""
    return (size(J), rows * size(J)) if columns % size(J) == 0 else (columns, size(J))


def to_strips(w):  # [rows, columns] -> the same numbers in the order of strips, flat
    return w.reshape(len(w), -1, J.n).transpose(1, 0, 2).reshape(-1) if w.shape[1] % J.n == 0 else w.reshape(-1)


def from_strips(w, rows):  # the opposite way
    columns = w.size // rows
    return w.reshape(-1, rows, J.n).transpose(1, 0, 2).reshape(rows, columns) if columns % J.n == 0 else w.reshape(rows, columns)


@njit(**KERNEL)
def multiply(A, a, row_a, step, rows, inner, B, b, row_b, strip_b, columns, C, c, row_c, strip_c, add, J):
    """C[c:] (+)= A' B for the rows × inner matrix A'[i, k] = A[a + i·row_a + k·step]; a, b, c are flat places.

    row_b, strip_b: from a row of B to the next, and from a column to that J columns on; row_c, strip_c: the same for C.
    """
    for strip in range(columns // size(J)):
        i, b_j = 0, b + strip * strip_b
        while i < rows:
            r = next_part(rows - i, 6)  # of like heights: in a tile of one row every sum would wait for itself
            a_i, c_i = a + i * row_a, c + i * row_c + strip * strip_c
            if r == 6:
                tile(A, a_i, row_a, step, inner, B, b_j, row_b, C, c_i, row_c, add, ROWS_6, J)
            elif r == 5:
                tile(A, a_i, row_a, step, inner, B, b_j, row_b, C, c_i, row_c, add, ROWS_5, J)
            elif r == 4:
                tile(A, a_i, row_a, step, inner, B, b_j, row_b, C, c_i, row_c, add, ROWS_4, J)
            elif r == 3:
                tile(A, a_i, row_a, step, inner, B, b_j, row_b, C, c_i, row_c, add, ROWS_3, J)
            elif r == 2:
                tile(A, a_i, row_a, step, inner, B, b_j, row_b, C, c_i, row_c, add, ROWS_2, J)
            else:
                tile(A, a_i, row_a, step, inner, B, b_j, row_b, C, c_i, row_c, add, ROWS_1, J)
            i += r
    left = columns // size(J) * size(J)
    for i in range(rows if left < columns else 0):  # columns left over, number by number; here lie no strips
        for jj in range(left, columns):
            total = number(C, c + i * row_c + jj) if add else A.dtype.type(0)
            for k in range(inner):
                total += number(A, a + i * row_a + k * step) * number(B, b + k * row_b + jj)
            C[c + i * row_c + jj] = total


# Arrays are handed on as flat ones and constants with their types, so that `multiply` is compiled only once.
@njit(**KERNEL)
def product(A, a, rows, inner, B, b, columns, C, c, add):
    """C[c:c+rows] (+)= A[a:a+rows] B for A [., inner], C [., columns]; B is inner × columns numbers in strips, from place b."""
    row_a, row_c, (row_b, strip_b) = row(A, inner), row(C, columns), strips(inner, columns)
    multiply(A.reshape(-1), a * row_a, row_a, ONE, rows, inner, B.reshape(-1), b, row_b, strip_b, columns,
             C.reshape(-1), c * row_c, row_c, size(J), add, J)  # fmt: skip


@njit(**KERNEL)
def product_of_transpose(A, a, rows, inner, B, b, columns, C, c, add):
    """C (+)= A[a:a+rows]ᵀ B[b:b+rows], in strips from place c: the gradient of a matrix, [., inner]ᵀ [., columns]."""
    first, row_a, row_b, (row_c, strip_c) = ZERO, row(A, inner), row(B, columns), strips(inner, columns)
    while first < rows or not add:  # nothing that is to be written is a matrix of zeros
        m = next_part(rows - first, 128) if rows > 0 else ZERO  # more rows push each other out of the cache
        multiply(A.reshape(-1), (a + first) * row_a, ONE, row_a, inner, m, B.reshape(-1), (b + first) * row_b, row_b, size(J),
                 columns, C.reshape(-1), c, row_c, strip_c, add, J)  # fmt: skip
        first, add = first + m, ADD


@njit(**KERNEL)
def transpose(A, a, rows, columns, B):
    """B[a:] = A[a:]ᵀ for a rows × columns matrix, both in strips, at flat place a of both."""
    row_a, strip_a = strips(rows, columns)
    row_b, strip_b = strips(columns, rows)
    turn(A, a, row_a, strip_a, rows, columns, B, a, row_b, strip_b)


@njit(**KERNEL)
def turn(A, a, row_a, strip_a, rows, columns, B, b, row_b, strip_b):
    for band in range(0, columns, 16):  # of B 16 rows at a time: the cache holds their ends until the next blocks go there
        for i in range(0, rows, 8):
            for j in range(band, min(band + 16, columns), 8):
                if i + 8 <= rows and j + 8 <= columns:
                    a_ij, b_ji = at(a, i, j, row_a, strip_a), at(b, j, i, row_b, strip_b)
                    transpose_block(A, a_ij, row_a, B, b_ji, row_b)
                else:
                    for ii in range(i, min(i + 8, rows)):
                        for jj in range(j, min(j + 8, columns)):
                            B[at(b, jj, ii, row_b, strip_b)] = A[at(a, ii, jj, row_a, strip_a)]


@njit(**KERNEL)
def at(first, i, j, row, strip):
    """The place of number i, j of a matrix."""
    return first + j // size(J) * strip + i * row + j % size(J)
