import numpy as np
import pytest
from helpers import F, assert_close, assert_gradients, assert_shapes, assert_unchanged, pair_of
from kernel_twins import run

from atrank_np.gradcheck import layer_cases
from atrank_np.kernels.ranking import count_pairs
from atrank_np.layers.ranking import pairs_of, sigmoid, softplus

NAMES = ["broadcast_user", "dot", "deep", "pointwise", "pairwise"]


@pytest.mark.parametrize("name", NAMES)
def test_gradients(layers, name):
    assert_gradients(layers, name)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_dtypes(layers, name):
    assert_shapes(layers, name)


@pytest.mark.parametrize("name", NAMES)
def test_inputs_unchanged(layers, name):
    assert_unchanged(layers, name)


def test_broadcast_user_repeats_and_adds_up(layers):
    """Histories of 2, 0 and 1 targets."""
    forward, backward = pair_of(layers, "broadcast_user")
    e, cache = forward(np.array([[1.0, 2], [3, 4], [5, 6]]), np.array([0, 2, 2, 3]))
    assert e.tolist() == [[1, 2], [1, 2], [5, 6]]
    assert backward(np.array([[10.0, 20], [1, 2], [7, 8]]), cache).tolist() == [[11, 22], [0, 0], [7, 8]]


def test_dot_values(layers):
    f, _ = pair_of(layers, "dot")[0](np.array([[1.0, 2], [3, 4]]), np.array([[5.0, 6], [-7, 8]]))
    assert f.tolist() == [17, 11]


def test_deep_literally(layers):
    inputs, _ = layer_cases(np.random.default_rng(1))["deep"]
    f, _ = pair_of(layers, "deep")[0](*inputs.values())
    h, e, W1, b1, w2, b2 = inputs.values()
    for t in range(len(f)):
        x = np.array([*h[t], *e[t], *(a * b for a, b in zip(h[t], e[t]))])
        assert_close(f[t], (F(x, W1, b1) @ w2 + b2)[0])


def test_pointwise_is_the_mean_of_equation_8(layers):
    f, y = np.array([-2.0, 0, 1, 3]), np.array([1.0, 0, 1, 0])
    p = [1 / (1 + np.exp(-x)) for x in f]
    expected = -sum(a * np.log(b) + (1 - a) * np.log(1 - b) for a, b in zip(y, p)) / 4
    assert_close(pair_of(layers, "pointwise")[0](f, y)[0], expected)


def test_losses_start_at_log_2(layers):
    zero = np.zeros(4)
    assert_close(pair_of(layers, "pointwise")[0](zero, np.array([1.0, 0, 0, 1]))[0], np.log(2))
    assert_close(pair_of(layers, "pairwise")[0](zero, np.array([0, 3]), np.array([1, 2]))[0], np.log(2))


def test_pairwise_literally(layers):
    f, pairs = np.array([1.0, -2, 0.5, 4]), [(0, 1), (0, 2), (3, 2)]
    expected = sum(-np.log(1 / (1 + np.exp(-(f[i] - f[j])))) for i, j in pairs) / 3
    assert_close(pair_of(layers, "pairwise")[0](f, *np.array(pairs).T)[0], expected)


def test_pairwise_pushes_positives_up_and_negatives_down(layers):
    forward, backward = pair_of(layers, "pairwise")
    _, cache = forward(np.zeros(4), np.array([0, 0]), np.array([1, 2]))
    assert backward(1.0, cache).tolist() == [-0.5, 0.25, 0.25, 0]


def test_pairs_are_within_a_history():
    label, offsets = np.array([1, 1, 0, 0, 1, 0, 1.0]), np.array([0, 4, 4, 6, 7])
    positive, negative = pairs_of(label, offsets)
    assert list(zip(positive.tolist(), negative.tolist())) == [(0, 2), (0, 3), (1, 2), (1, 3), (4, 5)]
    assert run(count_pairs, label, offsets) == 5


def test_losses_do_not_overflow(layers):
    f = np.array([1e4, -1e4])
    for y, loss in ((np.array([1.0, 0]), 0), (np.array([0.0, 1]), 1e4)):
        value, cache = pair_of(layers, "pointwise")[0](f, y)
        assert value == loss and np.isfinite(pair_of(layers, "pointwise")[1](1.0, cache)).all()
    assert sigmoid(np.array([-1e4, 0, 1e4])).tolist() == [0, 0.5, 1]
    assert softplus(np.array([-1e4, 1e4])).tolist() == [0, 1e4]


def test_small_probabilities_keep_their_digits():
    """log(1 + e^-40) rounds to log(1) = 0; log1p does not."""
    assert_close(softplus(np.array([-40.0])), np.exp([-40.0]))
    assert_close(sigmoid(np.array([-40.0])), np.exp([-40.0]))
