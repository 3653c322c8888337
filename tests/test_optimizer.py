import numpy as np
import pytest
from helpers import assert_close, assert_same

from atrank_np.config import Config
from atrank_np.layers.embedding import Rows
from atrank_np.optimizer import FOLD, SGD, clip, learning_rate, unscaled
from atrank_np.parameters import has_unknown, is_decayed, kind

NAMES = ["table.item", "time.items", "action.items", "F_M.items.W", "F_M.items.b", "self.F.gain", "bias.items"]


def start():
    rng = np.random.default_rng(0)
    shapes = [(7, 3), (5, 3), (2, 3), (3, 5), (5,), (5,), (7,)]
    return {name: rng.standard_normal(shape) for name, shape in zip(NAMES, shapes)}


def random_gradients(rng, params):
    gradients = {}
    for name, w in params.items():
        if kind(name) in ("table", "item bias"):
            ids = np.flatnonzero(rng.random(len(w)) < 0.4)
            gradients[name] = Rows(ids, rng.standard_normal((len(ids), *w.shape[1:])))
        else:
            gradients[name] = rng.standard_normal(w.shape)
    return gradients


def dense_step(params, gradients, rate, l2):
    """w ← (1 - lr λ) w - lr g over the whole of every array, as the formula says."""
    for name, w in params.items():
        g = gradients[name]
        if isinstance(g, Rows):
            whole = np.zeros_like(w)
            whole[g.ids] = g.values
            g = whole
        decay = l2 if name in ("table.item", "time.items", "action.items", "F_M.items.W") else 0
        w[...] = (1 - rate * decay) * w - rate * g


def test_equals_whole_table_decay_over_two_folds():
    params, twin = start(), start()
    optimizer, rng = SGD(), np.random.default_rng(1)
    for step in range(2 * FOLD + 137):
        rate = 0.5 * 0.1 ** (step / 3000)
        gradients = random_gradients(rng, params)
        optimizer.apply(params, gradients, rate, 1e-3)
        dense_step(twin, gradients, rate, 1e-3)
    assert 0 < optimizer.table_scale < 1
    for name, w in unscaled(params, optimizer.table_scale).items():
        assert_close(w, twin[name])


def test_folds_by_step_number():
    """A run that is stopped between two folds and resumed ends with the same bits as one that is not stopped."""
    whole, parts = start(), start()
    optimizer = SGD(FOLD - 3)
    scales = []
    for params in (whole, parts):
        optimizer, rng = SGD(FOLD - 3), np.random.default_rng(1)
        for _ in range(6):
            if params is parts:
                unscaled(params, optimizer.table_scale)  # reading the parameters changes nothing
                optimizer = SGD(optimizer.step, optimizer.table_scale)
            optimizer.apply(params, random_gradients(rng, params), 0.5, 1e-2)
            scales.append(optimizer.table_scale)
    assert_same(whole, parts)
    keep = 1 - 0.5 * 1e-2
    assert_close(scales[:6], [keep, keep**2, 1, keep, keep**2, keep**3])


def test_one_step_by_hand():
    params = {"table.item": np.array([[0.0], [4], [8]]), "F_M.items.b": np.array([10.0]), "F_M.items.W": np.array([[10.0]])}
    gradients = {
        "table.item": Rows(np.array([2]), np.array([[3.0]])),
        "F_M.items.b": np.array([1.0]),
        "F_M.items.W": np.array([[1.0]]),
    }
    optimizer = SGD(0, 0.5)  # the table means 0, 2, 4
    optimizer.apply(params, gradients, 0.1, 2.0)
    assert_close(unscaled(params, optimizer.table_scale)["table.item"].ravel(), [0, 0.8 * 2, 0.8 * 4 - 0.1 * 3])
    assert_close(params["F_M.items.b"], [10 - 0.1])
    assert_close(params["F_M.items.W"], [[0.8 * 10 - 0.1]])


def test_kinds():
    expected = {
        "table.item": ("table", True, True),
        "time.items": ("table", True, False),
        "action.items": ("table", True, False),
        "bias.items": ("item bias", False, True),
        "F_M.items.W": ("weight", True, False),
        "F_M.items.b": ("bias", False, False),
        "number.items.price.w": ("weight", True, False),
        "number.items.price.b": ("bias", False, False),
        "self.P.b": ("bias", False, False),
        "self.W": ("weight", True, False),
        "vanilla.F.W1": ("weight", True, False),
        "vanilla.F.b1": ("bias", False, False),
        "vanilla.F.gain": ("gain", False, False),
        "vanilla.F.bias": ("bias", False, False),
        "f.w2": ("weight", True, False),
        "f.b2": ("bias", False, False),
    }
    assert {name: (kind(name), is_decayed(name), has_unknown(name)) for name in expected} == expected


def test_rate_falls_by_the_factor_over_the_run():
    config = Config(learning_rate=2.0, decay=0.1)
    assert learning_rate(config, 0, 100) == 2.0
    assert_close(learning_rate(config, 50, 100), 2.0 * np.sqrt(0.1))
    assert_close(learning_rate(config, 100, 100), 0.2)


@pytest.mark.parametrize("limit, factor", [(6.5, 0.5), (20, 1)])
def test_clip(limit, factor):
    gradients = {"a.W": np.array([3.0, 4]), "table.t": Rows(np.array([5, 8]), np.array([[0.0, 12], [0, 0]]))}
    assert clip(gradients, limit) == 13
    assert gradients["a.W"].tolist() == [3 * factor, 4 * factor]
    assert gradients["table.t"].values.tolist() == [[0, 12 * factor], [0, 0]]
    assert gradients["table.t"].ids.tolist() == [5, 8]
