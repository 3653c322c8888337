import numpy as np
import pytest
from helpers import assert_close, assert_gradients, assert_shapes, assert_unchanged, literal_convolution, pair_of

from atrank_np.gradcheck.cases import layer_cases
from atrank_np.layers.convolution import windows

WIDTHS = pytest.mark.parametrize("w", [1, 2, 3, 5, 8])  # against histories of 0, 1, 5 and 7: none, some or all are shorter


def case(w=3, **changes):
    rng = np.random.default_rng(3)
    return layer_cases(rng)["convolution"][0] | dict(W=rng.standard_normal((w, 5, 3))) | changes


def test_gradients(layers):
    assert_gradients(layers, "convolution")


@pytest.mark.parametrize("w", [1, 2, 5, 8])
def test_gradients_of_other_windows(layers, w):
    assert_gradients(layers, "convolution", draws=1, W=np.random.default_rng(w).standard_normal((w, 5, 3)))


def test_shapes_and_dtypes(layers):
    assert_shapes(layers, "convolution")


def test_inputs_unchanged(layers):
    assert_unchanged(layers, "convolution")


@WIDTHS
def test_literally(layers, w):
    x, W, b, offsets = case(w).values()
    y, _ = pair_of(layers, "convolution")[0](x, W, b, offsets)
    for h, (start, stop) in enumerate(zip(offsets, offsets[1:])):
        assert_close(y[h], literal_convolution(x[start:stop], W, b))


def test_windows_by_hand():
    """Histories of 4, 0, 2 and 1 behaviours: windows lie inside; row 7, after the last, stands for a missing one."""
    offsets = np.array([0, 4, 4, 6, 7])
    rows, places = windows(offsets, 3)
    assert rows.tolist() == [[0, 1, 2], [1, 2, 3], [4, 5, 7], [6, 7, 7]]
    assert places.tolist() == [0, 2, 2, 3, 4]
    rows, places = windows(offsets, 1)
    assert rows[:, 0].tolist() == list(range(7)) and places.tolist() == offsets.tolist()
    rows, places = windows(np.array([0, 0]), 3)
    assert rows.shape == (0, 3) and places.tolist() == [0, 0]


def test_values_and_gradients_by_hand(layers):
    """Differences of neighbours: 3 - 1, 2 - 3 and 4 - 2; the largest is 2, at the first of its two places."""
    forward, backward = pair_of(layers, "convolution")
    x, W = np.array([[1.0], [3], [2], [4]]), np.array([[[-1.0]], [[1.0]]])
    y, cache = forward(x, W, np.zeros(1), np.array([0, 4]))
    assert y.tolist() == [[2]]
    dx, dW, db = backward(np.array([[10.0]]), cache)
    assert dx.tolist() == [[-10], [10], [0], [0]] and dW.tolist() == [[[10]], [[30]]] and db.tolist() == [10]


def test_a_short_history_is_padded_with_zeros_at_its_end(layers):
    """A history of one in a window of three: only the first weight acts, and the bias counts once."""
    forward, backward = pair_of(layers, "convolution")
    W = np.array([[[2.0]], [[100.0]], [[1000.0]]])
    y, cache = forward(np.array([[3.0], [5.0]]), W, np.array([0.5]), np.array([0, 1, 2]))
    assert y.tolist() == [[6.5], [10.5]]
    dx, dW, db = backward(np.array([[1.0], [10.0]]), cache)
    assert dx.tolist() == [[2], [20]] and dW.tolist() == [[[53]], [[0]], [[0]]] and db.tolist() == [11]


def test_relu_before_the_maximum(layers):
    """Where the pattern is positive nowhere, the feature is 0 and no input gets a gradient."""
    forward, backward = pair_of(layers, "convolution")
    y, cache = forward(np.array([[1.0], [2]]), np.array([[[-1.0]]]), np.zeros(1), np.array([0, 2]))
    assert y.tolist() == [[0]]
    assert not any(gradient.any() for gradient in backward(np.ones((1, 1)), cache))


def test_an_empty_history_gives_zeros_and_no_gradient(layers):
    """Zeros, not relu(b): it has no window."""
    forward, backward = pair_of(layers, "convolution")
    y, cache = forward(*case(b=np.full(3, 10.0)).values())  # all relus are on, so that every gradient shows
    assert (y[0] == 0).all() and (y[1:] > 0).all()
    dy = np.zeros_like(y)
    dy[0] = 1
    assert not any(gradient.any() for gradient in backward(dy, cache))


def test_no_history_at_all(layers):
    forward, backward = pair_of(layers, "convolution")
    y, cache = forward(*case(x=np.zeros((0, 5)), offsets=np.array([0, 0, 0])).values())
    assert y.tolist() == [[0] * 3] * 2
    dx, *own = backward(np.ones_like(y), cache)
    assert dx.shape == (0, 5) and not any(gradient.any() for gradient in own)


@WIDTHS
def test_histories_do_not_affect_each_other(layers, w):
    forward, backward = pair_of(layers, "convolution")
    x, W, b, offsets = case(w).values()
    y, cache = forward(x, W, b, offsets)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    dx, *_ = backward(dy, cache)
    for h, (start, stop) in enumerate(zip(offsets, offsets[1:])):
        alone, alone_cache = forward(x[start:stop], W, b, np.array([0, stop - start]))
        assert_close(y[h : h + 1], alone)
        assert_close(dx[start:stop], backward(dy[h : h + 1], alone_cache)[0])
