import numpy as np
import pytest
from helpers import assert_gradients, assert_shapes, assert_unchanged, pair_of

NAMES = ["linear", "relu", "perceptron"]


@pytest.mark.parametrize("name", NAMES)
def test_gradients(layers, name):
    assert_gradients(layers, name)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_dtypes(layers, name):
    assert_shapes(layers, name)


@pytest.mark.parametrize("name", NAMES)
def test_inputs_unchanged(layers, name):
    assert_unchanged(layers, name)


def test_perceptron_is_relu_of_xw_plus_b(layers):
    rng = np.random.default_rng(0)
    x, W, b = rng.integers(-5, 5, (7, 3)), rng.integers(-5, 5, (3, 2)), rng.integers(-5, 5, 2)
    expected = np.zeros((7, 2))
    for i in range(7):
        for o in range(2):
            expected[i, o] = max(0, b[o] + sum(x[i, j] * W[j, o] for j in range(3)))
    y, _ = pair_of(layers, "perceptron")[0](x.astype(float), W.astype(float), b.astype(float))
    assert y.tolist() == expected.tolist()
    assert 0 < (y == 0).mean() < 1


def test_relu_values_and_its_kink(layers):
    forward, backward = pair_of(layers, "relu")
    y, cache = forward(np.array([-2.0, 0, 3]))
    assert y.tolist() == [0, 0, 3]
    assert backward(np.array([5.0, 7, 11]), cache).tolist() == [0, 0, 11]
