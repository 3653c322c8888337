import numpy as np
import pytest
from helpers import assert_close, assert_gradients, assert_shapes, assert_unchanged, literal_attention, pair_of, softmax

from atrank_np.gradcheck import compare, layer_cases, numeric_gradient
from atrank_np.layers.attention import attention_weights

NAMES = ["softmax", "attend", "attention"]


@pytest.mark.parametrize("name", NAMES)
def test_gradients(layers, name):
    assert_gradients(layers, name)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_dtypes(layers, name):
    assert_shapes(layers, name)


@pytest.mark.parametrize("name", NAMES)
def test_inputs_unchanged(layers, name):
    assert_unchanged(layers, name)


def case(integers=False):
    inputs, _ = layer_cases(np.random.default_rng(3))["attention"]
    return {k: np.round(2 * v) if integers and v.dtype.kind == "f" else v for k, v in inputs.items()}


@pytest.mark.parametrize("integers", [True, False])
def test_equations_2_to_5_literally(layers, integers):
    inputs = case(integers)
    if integers:
        inputs["W"] /= 4  # scores of hundreds would leave one weight of 1 and nothing to compare
    y, _ = pair_of(layers, "attention")[0](*inputs.values())
    x, m, *own, query_offsets, offsets = inputs.values()
    for b in range(len(offsets) - 1):
        rows, keys = slice(*query_offsets[b : b + 2]), slice(*offsets[b : b + 2])
        if keys.start < keys.stop and rows.start < rows.stop:
            assert_close(y[rows], literal_attention(x[rows], m[keys], *own))


def test_a_tiny_attention_by_hand(layers):
    """Two keys with scores 0 and log 3: weights ¼ and ¾."""
    forward, _ = pair_of(layers, "attend")
    query, key, value = np.array([[1.0]]), np.array([[0.0], [np.log(3)]]), np.array([[8.0], [4.0]])
    y, _ = forward(query, key, value, np.array([0, 1]), np.array([0, 2]), 1)
    assert_close(y, [[2 + 3]])


def test_empty_history_gives_zeros_and_no_gradient(layers):
    forward, backward = pair_of(layers, "attention")
    inputs = case()
    y, cache = forward(*inputs.values())
    assert (y[:2] == 0).all() and (y[2:] != 0).any()
    dx, *others = backward(np.ones_like(y), cache)
    assert (dx[:2] == 0).all()
    assert all(np.isfinite(gradient).all() for gradient in [dx, *others])


def test_no_history_at_all(layers):
    forward, backward = pair_of(layers, "attention")
    inputs = case() | dict(m=np.zeros((0, 6)), query_offsets=np.array([0, 11]), offsets=np.array([0, 0]))
    y, cache = forward(*inputs.values())
    assert not y.any() and not any(gradient.any() for gradient in backward(np.ones_like(y), cache))


def test_self_attention_adds_up_both_roles_of_a_row(layers):
    forward, backward = pair_of(layers, "attention")
    inputs, rng = case(), np.random.default_rng(1)
    _, _, *own, _, offsets = inputs.values()
    S = inputs["m"]
    y, cache = forward(S, S, *own, offsets, offsets)
    r = rng.standard_normal(y.shape)
    dx, dm, *_ = backward(r, cache)

    def f(_):
        y, cache = forward(S, S, *own, offsets, offsets)
        return (r * y).sum(), cache

    check = compare("S", dx + dm, lambda h: numeric_gradient(f, S, h))
    assert check.ok, str(check)


def test_weights_can_be_read_and_sum_to_one(layers):
    inputs = case()
    _, cache = pair_of(layers, "attention")[0](*inputs.values())
    weights = attention_weights(cache)
    assert weights[0] is None
    assert [w.shape for w in weights[1:]] == [(3, 3, 1), (3, 0, 5), (3, 6, 7)]
    assert_close(weights[3].sum(2), np.ones((3, 6)))


def test_rows_of_a_history_may_be_permuted(layers):
    forward, _ = pair_of(layers, "attention")
    inputs = case()
    order = np.concatenate([[0, 3, 1, 5, 2, 4], 6 + np.random.default_rng(0).permutation(7)])
    moved = inputs | dict(m=inputs["m"][order])
    assert_close(forward(*moved.values())[0][5:], forward(*inputs.values())[0][5:])


def test_softmax_literally_shifted_and_without_overflow(layers):
    forward, _ = pair_of(layers, "softmax")
    x = np.array([[0.0, 1, 2], [3, 3, 3], [-1, 5, 0]])
    assert_close(forward(x)[0], softmax(x))
    assert_close(forward(x + 2.0**20)[0], softmax(x))
    assert_close(forward(np.array([[1e4, 0, -1e4]]))[0], [[1, 0, 0]])
