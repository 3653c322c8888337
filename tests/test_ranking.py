import numpy as np
import pytest
from helpers import F, assert_close, assert_gradients, assert_shapes, assert_unchanged, pair_of
from kernel_twins import run

from atrank_np.gradcheck import layer_cases
from atrank_np.kernels.ranking import PAIR, SOFTMAX, count_terms
from atrank_np.layers.ranking import pairs_of, pairwise_backward, pairwise_forward, sigmoid, softplus

NAMES = ["broadcast_user", "dot", "deep", "pointwise", "pairwise", "softmax_loss"]


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
    assert_close(softmax_loss(layers, zero, [1, 0, 0, 0], [0, 4])[0], np.log(4))
    assert_close(pair_of(layers, "pairwise")[0](zero, np.array([0, 3]), np.array([1, 2]))[0], np.log(2))


def test_pairwise_literally(layers):
    f, pairs = np.array([1.0, -2, 0.5, 4]), [(0, 1), (0, 2), (3, 2)]
    expected = sum(-np.log(1 / (1 + np.exp(-(f[i] - f[j])))) for i, j in pairs) / 3
    assert_close(pair_of(layers, "pairwise")[0](f, *np.array(pairs).T)[0], expected)


def test_pairwise_pushes_positives_up_and_negatives_down(layers):
    forward, backward = pair_of(layers, "pairwise")
    _, cache = forward(np.zeros(4), np.array([0, 0]), np.array([1, 2]))
    assert backward(1.0, cache).tolist() == [-0.5, 0.25, 0.25, 0]


def softmax_loss(layers, f, label, offsets, log_q=None):
    """The loss and its gradient, in any backend."""
    forward, backward = pair_of(layers, "softmax_loss")
    f, label, offsets = np.array(f, float), np.array(label, float), np.array(offsets)
    loss, cache = forward(f, np.zeros_like(f) if log_q is None else np.array(log_q, float), label, offsets)
    return loss, backward(1.0, cache)


def test_softmax_literally(layers):
    """Two positives against the same two negatives; one without a negative and negatives without a positive add nothing."""
    f, log_q = np.array([1.0, -2, 0.5, 4, 9, 3, 0, 1]), np.array([0.0, 0, 0.3, -1, 0, 0.7, 0, 2])
    label, offsets = [1, 1, 0, 0, 1, 0, 1, 0], [0, 4, 5, 6, 8]
    e = np.exp(f - log_q)
    terms = [e[0] / (e[0] + e[2] + e[3]), e[1] / (e[1] + e[2] + e[3]), e[6] / (e[6] + e[7])]
    loss, df = softmax_loss(layers, f, label, offsets, log_q)
    assert_close(loss, -np.log(terms).mean())
    assert df[4] == df[5] == 0 and abs(df.sum()) < 1e-15
    assert_close(df[[0, 1, 6]], (np.array(terms) - 1) / 3)


def test_softmax_over_one_negative_is_the_pairwise_loss(layers):
    f = np.array([0.3, -1, 2, 5.0])
    expected, cache = pairwise_forward(f, np.array([0, 2]), np.array([1, 3]))
    loss, df = softmax_loss(layers, f, [1, 0, 1, 0], [0, 2, 4])
    assert_close(loss, expected)
    assert_close(df, pairwise_backward(1.0, cache))


def test_the_correction_makes_any_draw_as_good_as_a_uniform_one(layers):
    """Of three objects, six are drawn in proportion to 1, 2, 3: corrected, loss and gradient are those of all of them twice."""
    scores, times = np.array([0.5, -1, 2]), np.array([1, 2, 3])
    log_q = np.log(3 * times / 6)
    label, drawn = [1] + [0] * 6, np.repeat([0, 1, 2], times)
    loss, df = softmax_loss(layers, np.append(1.5, scores[drawn]), label, [0, 7], np.append(0, log_q[drawn]))
    even = np.repeat([0, 1, 2], 2)
    expected, d_even = softmax_loss(layers, np.append(1.5, scores[even]), label, [0, 7])
    assert_close(loss, expected)
    assert_close(df[0], d_even[0])
    assert_close(np.bincount(drawn, df[1:]), np.bincount(even, d_even[1:]))


def test_pairs_are_within_a_history():
    label, offsets = np.array([1, 1, 0, 0, 1, 0, 1.0]), np.array([0, 4, 4, 6, 7])
    positive, negative = pairs_of(label, offsets)
    assert list(zip(positive.tolist(), negative.tolist())) == [(0, 2), (0, 3), (1, 2), (1, 3), (4, 5)]
    assert run(count_terms, label, offsets, PAIR) == 5
    assert run(count_terms, label, offsets, SOFTMAX) == 3
    assert run(count_terms, label, offsets, None) == 7


def test_losses_do_not_overflow(layers):
    f = np.array([1e4, -1e4])
    for y, loss in ((np.array([1.0, 0]), 0), (np.array([0.0, 1]), 1e4)):
        value, cache = pair_of(layers, "pointwise")[0](f, y)
        assert value == loss and np.isfinite(pair_of(layers, "pointwise")[1](1.0, cache)).all()
    for f, loss, slope in (([1e4, -1e4, -1e4], 0, 0), ([-1e4, 1e4, 1e4 - 800], 2e4, 1), ([0, -1e4, -2e4], 0, 0)):
        value, df = softmax_loss(layers, f, [1, 0, 0], [0, 3])
        assert value == loss and df.tolist() == [-slope, slope, 0]
    assert sigmoid(np.array([-1e4, 0, 1e4])).tolist() == [0, 0.5, 1]
    assert softplus(np.array([-1e4, 1e4])).tolist() == [0, 1e4]


def test_small_probabilities_keep_their_digits():
    """log(1 + e^-40) rounds to log(1) = 0; log1p does not."""
    assert_close(softplus(np.array([-40.0])), np.exp([-40.0]))
    assert_close(sigmoid(np.array([-40.0])), np.exp([-40.0]))
