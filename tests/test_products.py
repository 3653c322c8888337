"""Products, and loops over numbers of any count, alone."""

import numpy as np
import pytest
from kernel_twins import empty_matrix, from_matrix, in_strips, run

from atrank_np.kernels.elementwise import add_scaled
from atrank_np.kernels.embedding import take_square
from atrank_np.kernels.layout import Flat
from atrank_np.kernels.matrices import from_strips, to_strips
from atrank_np.kernels.products import add_product, add_product_of_transpose, product, transpose
from atrank_np.kernels.simd import STRIP


def test_whole_strips_even_where_there_is_nothing():
    """BPR-MF without a number has no dense parameter, and `gradient_norm` reads whole strips of them."""
    assert len(Flat({}, np.float32).array) % STRIP.n == 0 < len(Flat({}, np.float32).array)


@pytest.mark.parametrize("n", [5, 16, 40])
def test_take_square(n):
    """Shorter than a strip, a strip, and strips with a rest; what is not asked for stays."""
    y = np.random.default_rng(n).standard_normal(50)
    expected, square = y.copy(), (y[3 : 3 + n] ** 2).sum()
    expected[3 : 3 + n] = 0
    assert run(take_square, y[3 : 3 + n]) == pytest.approx(square, rel=1e-14)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("n", [5, 16, 40])
def test_add_scaled(n):
    x, y = np.random.default_rng(n).standard_normal((2, 100))
    expected = y.copy()
    expected[4 : 4 + n] += 2 * x[7 : 7 + n]
    run(add_scaled, y[4 : 4 + n], x[7 : 7 + n], 2.0)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("rows, inner, columns", [(0, 4, 32), (1, 5, 7), (13, 16, 64), (300, 24, 32), (7, 130, 20), (9, 32, 96)])
def test_products_and_matrices_in_strips(rows, inner, columns):
    rng = np.random.default_rng(rows)
    x, W, dy = rng.standard_normal((rows, inner)), rng.standard_normal((inner, columns)), rng.standard_normal((rows, columns))
    y = np.full((rows + 2, columns), 7.0)
    np.testing.assert_array_equal(from_strips(to_strips(W), inner), W)
    run(product, x, in_strips(W), y[1:-1])
    np.testing.assert_allclose(y[1:-1], x @ W, rtol=0, atol=1e-12)
    run(add_product, x, in_strips(W), y[1:-1])
    np.testing.assert_allclose(y[1:-1], 2 * x @ W, rtol=0, atol=1e-12)
    assert (y[[0, -1]] == 7).all()
    dW, W_T = empty_matrix(inner, columns), empty_matrix(columns, inner)
    for _ in range(2):
        run(add_product_of_transpose, x, dy, dW)
    np.testing.assert_allclose(from_matrix(dW), 2 * x.T @ dy, rtol=0, atol=1e-11)
    run(transpose, in_strips(W), W_T)
    np.testing.assert_array_equal(from_matrix(W_T), W.T)
