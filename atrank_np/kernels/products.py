"""Matrix products of a few dozen rows, in the vector type: on such sizes quicker than a BLAS, which packs its operands first.

A tile is six rows of C by J columns, held in registers while it collects all inner products: each step takes one piece
of a row of B and six numbers of A. The J columns of B that a column of tiles needs stay in the nearest cache. All
arrays are C-contiguous and used flat.
"""

import llvmlite.binding
from numba import njit

from .vectors import Lanes, load, multiply_add, number, size, splat, store, transpose_block

KERNEL = {"error_model": "numpy", "cache": True, "nogil": True}
# Two registers wide: twelve accumulators keep both multipliers of a core busy. A matter of speed alone.
J = Lanes(32 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 16)


@njit(**KERNEL)
def tile(A, a, row, step, inner, B, b, columns, C, c, add, J):
    """Six rows by J columns of C[c:] (+)= Σ_k A[a + i·row + k·step] B[b + k·columns]."""
    a1, a2, a3, a4, a5 = a + row, a + 2 * row, a + 3 * row, a + 4 * row, a + 5 * row
    zero = splat(A.dtype.type(0), J)
    c0, c1, c2, c3, c4, c5 = zero, zero, zero, zero, zero, zero
    for k in range(inner):
        piece, at = load(B, b + k * columns, J), k * step
        c0 = multiply_add(splat(number(A, a + at), J), piece, c0)
        c1 = multiply_add(splat(number(A, a1 + at), J), piece, c1)
        c2 = multiply_add(splat(number(A, a2 + at), J), piece, c2)
        c3 = multiply_add(splat(number(A, a3 + at), J), piece, c3)
        c4 = multiply_add(splat(number(A, a4 + at), J), piece, c4)
        c5 = multiply_add(splat(number(A, a5 + at), J), piece, c5)
    if add:
        c0, c1 = c0 + load(C, c, J), c1 + load(C, c + columns, J)
        c2, c3 = c2 + load(C, c + 2 * columns, J), c3 + load(C, c + 3 * columns, J)
        c4, c5 = c4 + load(C, c + 4 * columns, J), c5 + load(C, c + 5 * columns, J)
    store(C, c, c0)
    store(C, c + columns, c1)
    store(C, c + 2 * columns, c2)
    store(C, c + 3 * columns, c3)
    store(C, c + 4 * columns, c4)
    store(C, c + 5 * columns, c5)


@njit(**KERNEL)
def tile_of_one(A, a, step, inner, B, b, columns, C, c, add, J):
    """One row by J columns: for the rows that are left over."""
    total = splat(A.dtype.type(0), J)
    for k in range(inner):
        total = multiply_add(splat(number(A, a + k * step), J), load(B, b + k * columns, J), total)
    store(C, c, total + load(C, c, J) if add else total)


@njit(**KERNEL)
def multiply(A, a, row, step, rows, inner, B, b, columns, C, c, add, J):
    """C[c:] (+)= A' B for the rows × inner matrix A'[i, k] = A[a + i·row + k·step]; a, b, c are flat places."""
    j = 0
    while j + size(J) <= columns:
        i = 0
        while i + 6 <= rows:
            tile(A, a + i * row, row, step, inner, B, b + j, columns, C, c + i * columns + j, add, J)
            i += 6
        while i < rows:
            tile_of_one(A, a + i * row, step, inner, B, b + j, columns, C, c + i * columns + j, add, J)
            i += 1
        j += size(J)
    flat = C.reshape(-1)
    for i in range(rows if j < columns else 0):  # columns left over, number by number
        for jj in range(j, columns):
            total = number(C, c + i * columns + jj) if add else A.dtype.type(0)
            for k in range(inner):
                total += number(A, a + i * row + k * step) * number(B, b + k * columns + jj)
            flat[c + i * columns + jj] = total


@njit(**KERNEL)
def product(A, a, rows, inner, B, b, columns, C, c, add):
    """C[c:c+rows] (+)= A[a:a+rows] B for A [., inner], C [., columns]; B is inner × columns numbers from flat place b."""
    multiply(A, a * inner, inner, 1, rows, inner, B, b, columns, C, c * columns, add, J)


@njit(**KERNEL)
def product_of_transpose(A, a, rows, inner, B, b, columns, C, c):
    """C += A[a:a+rows]ᵀ B[b:b+rows], from flat place c: the gradient of a matrix, [., inner]ᵀ [., columns]."""
    for first in range(0, rows, 128):  # so many rows of B fit into the nearest cache
        m = min(128, rows - first)
        multiply(A, (a + first) * inner, 1, inner, inner, m, B, (b + first) * columns, columns, C, c, True, J)


@njit(**KERNEL)
def transpose(A, a, rows, columns, B):
    """B[a:] = A[a:]ᵀ for a rows × columns matrix at flat place a of both."""
    for i in range(0, rows, 8):
        for j in range(0, columns, 8):
            if i + 8 <= rows and j + 8 <= columns:
                transpose_block(A, a + i * columns + j, columns, B, a + j * rows + i, rows)
            else:
                for ii in range(i, min(i + 8, rows)):
                    for jj in range(j, min(j + 8, columns)):
                        B[a + jj * rows + ii] = A[a + ii * columns + jj]
