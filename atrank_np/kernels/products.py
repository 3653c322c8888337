"""Matrix products of a few dozen rows, in the vector type: on such sizes quicker than a BLAS, which packs its operands first.

A tile is up to six rows of C by J columns, held in registers while it collects all inner products: each step takes one
piece of a row of B and a number of each row of A. The J columns of B that a column of tiles needs stay in the nearest
cache. All arrays are C-contiguous and used flat.
"""

import llvmlite.binding
import numpy as np
from numba import njit

from .options import ADD, KERNEL, ZERO
from .vectors import Lanes, add_to_rows, load, load_rows, number, size, store_rows, transpose_block, zero_rows

# Two registers wide: six rows are twelve accumulators, which keep both multipliers of a core busy. A matter of speed alone.
J = Lanes(32 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 16)
ONE, TWO, THREE, FOUR, FIVE, SIX = (Lanes(n) for n in range(1, 7))


@njit(**KERNEL)
def tile(A, a, row, step, inner, B, b, columns, C, c, add, R, J):
    """R rows by J columns of C[c:] (+)= Σ_k A[a + i·row + k·step] B[b + k·columns]."""
    sums = load_rows(C, c, columns, R, J) if add else zero_rows(C, R, J)
    for k in range(inner):
        sums = add_to_rows(sums, A, a + k * step, row, load(B, b + k * columns, J))
    store_rows(C, c, columns, sums)


@njit(**KERNEL)
def next_part(left, most):
    """How many of the rows that are left come next, if the parts are to be few, alike, and no longer than `most`."""
    return left // ((left + most - 1) // most)


@njit(**KERNEL)
def multiply(A, a, row, step, rows, inner, B, b, columns, C, c, add, J):
    """C[c:] (+)= A' B for the rows × inner matrix A'[i, k] = A[a + i·row + k·step]; a, b, c are flat places."""
    j = 0
    while j + size(J) <= columns:
        i = 0
        while i < rows:
            r = next_part(rows - i, 6)  # of like heights: in a tile of one row every sum would wait for itself
            a_i, c_i = a + i * row, c + i * columns + j
            if r == 6:
                tile(A, a_i, row, step, inner, B, b + j, columns, C, c_i, add, SIX, J)
            elif r == 5:
                tile(A, a_i, row, step, inner, B, b + j, columns, C, c_i, add, FIVE, J)
            elif r == 4:
                tile(A, a_i, row, step, inner, B, b + j, columns, C, c_i, add, FOUR, J)
            elif r == 3:
                tile(A, a_i, row, step, inner, B, b + j, columns, C, c_i, add, THREE, J)
            elif r == 2:
                tile(A, a_i, row, step, inner, B, b + j, columns, C, c_i, add, TWO, J)
            else:
                tile(A, a_i, row, step, inner, B, b + j, columns, C, c_i, add, ONE, J)
            i += r
        j += size(J)
    for i in range(rows if j < columns else 0):  # columns left over, number by number
        for jj in range(j, columns):
            total = number(C, c + i * columns + jj) if add else A.dtype.type(0)
            for k in range(inner):
                total += number(A, a + i * row + k * step) * number(B, b + k * columns + jj)
            C[c + i * columns + jj] = total


# Arrays are handed on as flat ones and constants with their types, so that `multiply` is compiled only once.
@njit(**KERNEL)
def product(A, a, rows, inner, B, b, columns, C, c, add):
    """C[c:c+rows] (+)= A[a:a+rows] B for A [., inner], C [., columns]; B is inner × columns numbers from flat place b."""
    one = np.int64(1)
    multiply(A.reshape(-1), a * inner, inner, one, rows, inner, B.reshape(-1), b, columns, C.reshape(-1), c * columns, add, J)


@njit(**KERNEL)
def product_of_transpose(A, a, rows, inner, B, b, columns, C, c):
    """C += A[a:a+rows]ᵀ B[b:b+rows], from flat place c: the gradient of a matrix, [., inner]ᵀ [., columns]."""
    first, one = ZERO, np.int64(1)
    while first < rows:
        m = next_part(rows - first, 60)  # more rows of B push each other out of the nearest cache
        a_first, b_first = (a + first) * inner, (b + first) * columns
        multiply(A.reshape(-1), a_first, one, inner, inner, m, B.reshape(-1), b_first, columns, C.reshape(-1), c, ADD, J)
        first += m


@njit(**KERNEL)
def transpose(A, a, rows, columns, B):
    """B[a:] = A[a:]ᵀ for a rows × columns matrix at flat place a of both."""
    for band in range(0, columns, 16):  # of B 16 rows at a time: the cache holds their ends until the next blocks go there
        for i in range(0, rows, 8):
            for j in range(band, min(band + 16, columns), 8):
                if i + 8 <= rows and j + 8 <= columns:
                    transpose_block(A, a + i * columns + j, columns, B, a + j * rows + i, rows)
                else:
                    for ii in range(i, min(i + 8, rows)):
                        for jj in range(j, min(j + 8, columns)):
                            B[a + jj * rows + ii] = A[a + ii * columns + jj]
