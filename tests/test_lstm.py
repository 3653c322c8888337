import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_close, assert_gradients, assert_shapes, assert_unchanged, literal_lstm, pair_of, sigmoid

from atrank_np.gradcheck.cases import layer_cases
from atrank_np.layers.lstm import steps

NAMES = ["cell", "lstm", "ends"]
BOTH = pytest.mark.parametrize("backwards", [False, True])


@pytest.mark.parametrize("name", NAMES)
def test_gradients(layers, name):
    assert_gradients(layers, name)


def test_gradients_backwards(layers):
    assert_gradients(layers, "lstm", backwards=True)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_dtypes(layers, name):
    assert_shapes(layers, name)


@pytest.mark.parametrize("name", NAMES)
def test_inputs_unchanged(layers, name):
    assert_unchanged(layers, name)


def case(name="lstm", **changes):
    return layer_cases(np.random.default_rng(3))[name][0] | changes


def reversed_histories(offsets):
    """The rows of all histories, each from its last to its first."""
    return np.concatenate([np.arange(start, stop)[::-1] for start, stop in zip(offsets, offsets[1:])])


@BOTH
def test_literally(layers, backwards):
    """One history, behaviour and unit at a time."""
    x, W, U, b, offsets, _ = inputs = case(backwards=backwards).values()
    y, _ = pair_of(layers, "lstm")[0](*inputs)
    for start, stop in zip(offsets, offsets[1:]):
        order = slice(None, None, -1) if backwards else slice(None)
        assert_close(y[start:stop][order], literal_lstm(x[start:stop][order], W, U, b))


def test_two_steps_by_hand(layers):
    """Gates that are σ(0) = ½, and a candidate that reads x alone: the state is halved and handed on."""
    W = np.array([[0.0, 0, 1, 0]])
    forward, _ = pair_of(layers, "lstm")
    y, _ = forward(np.array([[2.0], [0.0]]), W, np.zeros((1, 4)), np.zeros(4), np.array([0, 2]), False)
    c = 0.5 * np.tanh(2)
    assert_close(y, [[0.5 * np.tanh(c)], [0.5 * np.tanh(0.5 * c)]])


def test_gates_stand_in_their_order(layers):
    """i, f, g, o: what changes when the bias of one gate closes it."""
    forward, _ = pair_of(layers, "lstm")
    x, W, U, b, offsets, backwards = case().values()
    closed = {}
    for gate, name in enumerate("ifgo"):
        bias = b.copy()
        bias[3 * gate : 3 * gate + 3] = -1e4
        closed[name] = forward(x, W, U, bias, offsets, backwards)[0]
    assert not closed["i"].any() and not closed["o"].any()  # nothing gets in, nothing gets out
    assert closed["f"].any() and (closed["g"][offsets[1:3]] < 0).all()  # g is -1: every first state is negative
    # with f closed, the second state depends on the first through h alone, not through c
    i, _, g, o = np.split(x[2] @ W + closed["f"][1] @ U + b, 4)
    assert_close(closed["f"][2], sigmoid(o) * np.tanh(sigmoid(i) * np.tanh(g)))


def test_backwards_is_forwards_on_reversed_histories(layers):
    forward, backward = pair_of(layers, "lstm")
    inputs = case(backwards=True)
    order = reversed_histories(inputs["offsets"])
    turned = inputs | dict(x=inputs["x"][order], backwards=False)
    (y, cache), (turned_y, turned_cache) = forward(*inputs.values()), forward(*turned.values())
    assert_close(y[order], turned_y)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    (dx, *own), (turned_dx, *turned_own) = backward(dy, cache), backward(dy[order], turned_cache)
    for a, b in zip((dx[order], *own), (turned_dx, *turned_own)):
        assert_close(a, b)


@BOTH
def test_steps_have_no_padding(backwards):
    """Each row once, at its step. The histories that go on are the first ones of the step before."""
    offsets = np.array([0, 2, 2, 5, 6, 9])
    found = [rows.tolist() for rows in steps(offsets, backwards)]
    assert found == ([[4, 8, 1, 5], [3, 7, 0], [2, 6]] if backwards else [[2, 6, 0, 5], [3, 7, 1], [4, 8]])
    assert steps(np.array([0, 0, 0]), backwards) == [] and steps(np.array([0]), backwards) == []


@BOTH
def test_histories_do_not_affect_each_other(layers, backwards):
    """A history has the same states and gradients as alone, also where one ends before another."""
    forward, backward = pair_of(layers, "lstm")
    x, W, U, b, offsets, _ = case().values()
    y, cache = forward(x, W, U, b, offsets, backwards)
    dy = np.random.default_rng(1).standard_normal(y.shape)
    dx, *own = backward(dy, cache)
    total = 0
    for start, stop in zip(offsets, offsets[1:]):
        alone, alone_cache = forward(x[start:stop], W, U, b, np.array([0, stop - start]), backwards)
        alone_dx, *alone_own = backward(dy[start:stop], alone_cache)
        assert_close(y[start:stop], alone)
        assert_close(dx[start:stop], alone_dx)
        total = [a + b for a, b in zip(total, alone_own)] if total else alone_own
    for a, b in zip(own, total):
        assert_close(a, b)


@BOTH
def test_no_history_at_all(layers, backwards):
    forward, backward = pair_of(layers, "lstm")
    y, cache = forward(*case(x=np.zeros((0, 5)), offsets=np.array([0, 0, 0]), backwards=backwards).values())
    assert y.shape == (0, 3)
    dx, *own = backward(y, cache)
    assert dx.shape == (0, 5) and not any(gradient.any() for gradient in own)


def test_large_inputs_saturate_without_overflow(layers):
    forward, backward = pair_of(layers, "lstm")
    with np.errstate(over="raise", invalid="raise"):
        inputs = case()
        y, cache = forward(*(inputs | dict(x=1e4 * inputs["x"])).values())
        assert np.abs(y).max() <= 1 and all(np.isfinite(gradient).all() for gradient in backward(np.ones_like(y), cache))


def test_ends_are_the_last_row_forwards_and_the_first_backwards(layers):
    forward, backward = pair_of(layers, "ends")
    y = np.arange(20.0).reshape(5, 4)
    v, cache = forward(y, np.array([0, 3, 3, 4, 5]))
    assert v.tolist() == [[8, 9, 2, 3], [0, 0, 0, 0], [12, 13, 14, 15], [16, 17, 18, 19]]
    dy = backward(np.arange(1.0, 17).reshape(4, 4), cache)
    assert dy.tolist() == [[0, 0, 3, 4], [0, 0, 0, 0], [1, 2, 0, 0], [9, 10, 11, 12], [13, 14, 15, 16]]


def test_ends_of_empty_histories(layers):
    forward, backward = pair_of(layers, "ends")
    v, cache = forward(np.zeros((0, 4)), np.array([0, 0, 0]))
    assert v.tolist() == [[0] * 4] * 2 and backward(v, cache).shape == (0, 4)


def test_what_the_tests_have_compiled_is_of_use_to_others():
    """numba reads the whole list of what it keeps of a function: one type of the tests' own there, and a command would end."""
    code = """
import pathlib, pickle
from atrank_np.kernels.lstm import lstm_forward
lists = list(pathlib.Path(lstm_forward.stats.cache_path).glob("*.nbi"))
assert lists
for path in lists:
    with path.open("rb") as file:
        pickle.load(file)  # numba's version
        pickle.loads(file.read())
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)
