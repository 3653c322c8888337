import numpy as np
import pytest
from helpers import assert_close, assert_gradients, assert_shapes, assert_unchanged, pair_of

from atrank_np.layers.embedding import Rows, sum_rows

NAMES = ["lookup", "bag", "number"]


@pytest.mark.parametrize("name", NAMES)
def test_gradients(layers, name):
    assert_gradients(layers, name)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_dtypes(layers, name):
    assert_shapes(layers, name)


@pytest.mark.parametrize("name", NAMES)
def test_inputs_unchanged(layers, name):
    assert_unchanged(layers, name)


def test_lookup_values(layers):
    forward, backward = pair_of(layers, "lookup")
    table = np.arange(10.0).reshape(5, 2)
    y, cache = forward(table, np.array([3, 0, 3, 4]))
    assert y.tolist() == [[6, 7], [0, 1], [6, 7], [8, 9]]
    rows = backward(np.array([[1.0, 2], [10, 20], [100, 200], [1000, 2000]]), cache)
    assert rows.ids.tolist() == [0, 3, 4]
    assert rows.values.tolist() == [[10, 20], [101, 202], [1000, 2000]]


def test_lookup_of_a_number_per_object(layers):
    forward, backward = pair_of(layers, "lookup")
    y, cache = forward(np.array([0.0, 5, 7]), np.array([2, 2, 1]))
    assert y.tolist() == [7, 7, 5]
    rows = backward(np.array([1.0, 10, 100]), cache)
    assert rows.ids.tolist() == [1, 2] and rows.values.tolist() == [100, 11]


def test_lookup_of_no_ids(layers):
    forward, backward = pair_of(layers, "lookup")
    y, cache = forward(np.ones((3, 2)), np.zeros(0, np.int32))
    rows = backward(y, cache)
    assert y.shape == (0, 2) and rows.ids.shape == (0,) and rows.values.shape == (0, 2)


def test_sum_rows_against_a_loop():
    rng = np.random.default_rng(0)
    ids, values = rng.integers(0, 7, 50), rng.integers(-9, 9, (50, 3)).astype(float)
    rows, table = sum_rows(ids, values), np.zeros((7, 3))
    for i, value in zip(ids, values):
        table[i] += value
    assert isinstance(rows, Rows)
    assert rows.ids.tolist() == sorted(set(ids.tolist()))
    assert rows.values.tolist() == table[rows.ids].tolist()


def test_bag_is_the_mean_of_its_rows(layers):
    forward, backward = pair_of(layers, "bag")
    table = np.array([[0.0, 0], [1, 2], [4, 6], [100, 10]])
    ids, offsets = np.array([2, 1, 3, 1, 1, 2]), np.array([0, 2, 2, 3, 6])  # a pair, nothing, one, a repeat
    y, cache = forward(table, ids, offsets)
    assert_close(y, [[2.5, 4], [0, 0], [100, 10], [2, 10 / 3]])
    rows = backward(np.array([[2.0, 4], [77, 77], [5, 6], [3, 9]]), cache)
    assert rows.ids.tolist() == [1, 2, 3]
    assert_close(rows.values, [[1 + 2, 2 + 6], [1 + 1, 2 + 3], [5, 6]])


def test_bags_that_are_all_empty(layers):
    forward, backward = pair_of(layers, "bag")
    y, cache = forward(np.ones((3, 2)), np.zeros(0, np.int32), np.array([0, 0, 0]))
    assert y.tolist() == [[0, 0], [0, 0]]
    assert len(backward(y, cache).ids) == 0


def test_number_values(layers):
    forward, backward = pair_of(layers, "number")
    y, cache = forward(np.array([2.0, -1]), np.array([1.0, 10, 100]), np.array([5.0, 6, 7]))
    assert y.tolist() == [[7, 26, 207], [4, -4, -93]]
    dw, db = backward(np.array([[1.0, 2, 3], [10, 20, 30]]), cache)
    assert dw.tolist() == [2 - 10, 4 - 20, 6 - 30] and db.tolist() == [11, 22, 33]
