"""Matrix products inside compiled code, on blocks of rows, with the BLAS behind numba's np.dot (which scipy supplies).

np.dot would check, allocate and copy; a step has about forty products of a few dozen rows, so this calls gemm itself.
All arrays are C-contiguous; BLAS thinks in columns, so a row-major C = A B is asked for as Cᵀ = Bᵀ Aᵀ.
"""

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

# A product works on so many rows that OpenBLAS stays on its quick path for small matrices (m·n·k below 10⁶ on chips that
# have one). It is a matter of speed alone: any number is correct.
SMALL_PRODUCT = 1_000_000


@intrinsic
def _gemm(typing, transpose_a, transpose_b, m, n, k, A, a, lda, B, b, ldb, beta, C, c, ldc):
    """C[c:] = op(A[a:]) op(B[b:]) + beta C[c:]; a, b, c count elements, lda, ldb, ldc are row lengths."""
    i, flag = types.intp, types.boolean
    signature = types.int32(flag, flag, i, i, i, A, i, i, B, i, i, A.dtype, C, i, i)

    def code(context, builder, sig, args):
        ta, tb, m, n, k, A_, a, lda, B_, b, ldb, beta, C_, c, ldc = args
        byte, number = ir.IntType(8), context.get_value_type(A.dtype)
        pointer = byte.as_pointer()

        def at(kind, array, offset):
            data = context.make_array(kind)(context, builder, array).data
            return builder.bitcast(builder.gep(data, [offset]), pointer)

        def by_reference(value):
            return builder.bitcast(cgutils.alloca_once_value(builder, value), pointer)

        def letter(transposed):
            return builder.select(transposed, ir.Constant(byte, ord("t")), ir.Constant(byte, ord("n")))

        size = m.type
        kind = ir.FunctionType(
            ir.IntType(32),
            [byte, byte, byte, size, size, size, pointer, pointer, size, pointer, size, pointer, pointer, size],
        )
        gemm = cgutils.get_or_insert_function(builder.module, kind, "numba_xxgemm")
        precision = ir.Constant(byte, ord("s" if A.dtype == types.float32 else "d"))
        one = ir.Constant(number, 1.0)
        # fmt: off
        return builder.call(gemm, [
            precision, letter(tb), letter(ta), n, m, k, by_reference(one),
            at(B, B_, b), ldb, at(A, A_, a), lda, by_reference(beta), at(C, C_, c), ldc])
        # fmt: on

    return signature, code


@njit(error_model="numpy", cache=True)
def product(A, a, rows, inner, B, b, columns, C, c, add):
    """C[c:c+rows] (+)= A[a:a+rows] B for A [., inner], C [., columns]; B is inner × columns numbers from flat place b."""
    beta = A.dtype.type(1 if add else 0)
    parts = 1 + rows * inner * columns // SMALL_PRODUCT
    for p in range(parts):
        i, m = rows * p // parts, rows * (p + 1) // parts - rows * p // parts
        if m > 0:
            _gemm(False, False, m, columns, inner, A, (a + i) * inner, inner, B, b, columns, beta, C, (c + i) * columns, columns)


@njit(error_model="numpy", cache=True)
def product_by_transpose(A, a, rows, columns, B, b, inner, C, c, add):
    """C[c:c+rows] (+)= A[a:a+rows] Bᵀ for A [., columns], C [., inner]; B is inner × columns: the backward by x of x B."""
    beta = A.dtype.type(1 if add else 0)
    parts = 1 + rows * inner * columns // SMALL_PRODUCT
    for p in range(parts):
        i, m = rows * p // parts, rows * (p + 1) // parts - rows * p // parts
        if m > 0:
            _gemm(False, True, m, inner, columns, A, (a + i) * columns, columns, B, b, columns, beta, C, (c + i) * inner, inner)


@njit(error_model="numpy", cache=True)
def product_of_transpose(A, a, rows, inner, B, b, columns, C, c):
    """C += A[a:a+rows]ᵀ B[b:b+rows], from flat place c: the backward by the matrix, [., inner]ᵀ [., columns]."""
    parts = 1 + rows * inner * columns // SMALL_PRODUCT
    for p in range(parts):
        i, m = rows * p // parts, rows * (p + 1) // parts - rows * p // parts
        if m > 0:
            one = A.dtype.type(1)
            _gemm(
                True, False, inner, columns, m, A, (a + i) * inner, inner, B, (b + i) * columns, columns, one, C, c, columns
            )
