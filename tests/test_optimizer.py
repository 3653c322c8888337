import numpy as np
import pytest
from helpers import assert_close, assert_same

from atrank_np import optimizer as module
from atrank_np.config import Config
from atrank_np.layers.embedding import Rows
from atrank_np.optimizer import ADAM, FOLD, RULES, SGD, Adaptive, clip, learning_rate, unscaled
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


def whole(gradient, shape):
    if not isinstance(gradient, Rows):
        return gradient
    dense = np.zeros(shape)
    dense[gradient.ids] = gradient.values
    return dense


def sgd_direction(g, mean, square, step):
    return g


def adam_direction(g, mean, square, step):
    mean[...] = 0.9 * mean + 0.1 * g
    square[...] = 0.999 * square + 0.001 * g**2
    return (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)


def adagrad_direction(g, mean, square, step):
    square += g**2
    return g / (np.sqrt(square) + 1e-10)


DIRECTIONS = {"sgd": sgd_direction, "adam": adam_direction, "adagrad": adagrad_direction}


def plain_step(direction, params, moments, gradients, step, rate, table_rate, l2):
    """w ← (1 - lr λ) w - lr · direction, row by row; a row of a table without a gradient has the first term alone."""
    for name, w in params.items():
        g = gradients[name]
        lazy, decay = name in ("table.item", "bias.items"), name in ("table.item", "time.items", "action.items", "F_M.items.W")
        w *= 1 - rate * l2 * decay
        for i, row in enumerate(whole(g, w.shape)):
            if not lazy or i in g.ids:
                kept = moments.setdefault((name, i), np.zeros((2, *np.shape(row))))
                w[i] -= rate * (table_rate if lazy else 1) * direction(row, kept[0, ...], kept[1, ...], step)


def make(name, params, step=0, scale=1.0, table_rate=1.0, moments=None):
    rule, state = RULES[name], (step, scale, table_rate)
    return Adaptive(rule, params, *state, moments or {}) if rule else SGD(*state)


@pytest.mark.parametrize("name", RULES)
def test_equals_the_formulas_over_two_folds(name, monkeypatch):
    """With whole-table decay; a learning rate that falls; rows that miss many steps."""
    monkeypatch.setattr(module, "FOLD", 30)
    params, twin, moments = start(), start(), {}
    optimizer, rng = make(name, params, table_rate=1.5), np.random.default_rng(1)
    for step in range(1, 80):
        rate = 0.1 * 0.1 ** (step / 80)
        gradients = random_gradients(rng, params)
        optimizer.apply(params, gradients, rate, 0.1)
        plain_step(DIRECTIONS[name], twin, moments, gradients, step, rate, 1.5, 0.1)
    assert 0 < optimizer.table_scale < 1
    for name, w in unscaled(params, optimizer.table_scale).items():
        assert_close(w, twin[name])


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("name", ["adam", "adagrad"])
def test_equals_pytorch(name):
    """Dense parameters with Adam or Adagrad, rows with SparseAdam or Adagrad's sparse form. l2: 0."""
    torch = pytest.importorskip("torch")
    params = start()
    twin = {name: torch.tensor(w) for name, w in start().items()}
    # SparseAdam adds ε to √square without its correction: so it is next to nothing, and only dense ones have the usual one.
    kinds = {"adam": (torch.optim.Adam, torch.optim.SparseAdam), "adagrad": (torch.optim.Adagrad,) * 2}[name]
    lazy = [n for n in NAMES if has_unknown(n)]
    optimizers = [
        kinds[0]([twin[n] for n in NAMES if n not in lazy], lr=0.1, eps=RULES[name].epsilon),
        kinds[1]([twin[n] for n in lazy], lr=0.1, eps=1e-30),
    ]
    mine = [Adaptive(RULES[name], params, 0, 1.0, 1.0, {})]
    mine.append(Adaptive(RULES[name]._replace(epsilon=1e-30), params, 0, 1.0, 1.0, {}))
    rng = np.random.default_rng(1)
    for _ in range(50):
        gradients = random_gradients(rng, params)
        for n, g in gradients.items():
            shape = twin[n].shape
            twin[n].grad = torch.tensor(whole(g, shape))
            if n in lazy:
                ids, values = torch.tensor(g.ids)[None], torch.tensor(g.values)
                twin[n].grad = torch.sparse_coo_tensor(ids, values, shape)
        for theirs, ours, part in zip(optimizers, mine, (set(NAMES) - set(lazy), lazy)):
            theirs.step()
            ours.apply(params, {n: gradients[n] for n in part}, 0.1, 0.0)
    for n, w in params.items():
        assert_close(w, twin[n].numpy())


def test_a_row_without_gradient_waits():
    """Its moments, too, also if it is in the batch."""
    params = {"table.item": np.ones((4, 2))}
    optimizer = Adaptive(ADAM, params, 0, 1.0, 1.0, {})
    optimizer.apply(params, {"table.item": Rows(np.array([1, 2]), np.array([[1.0, 0], [2, 2]]))}, 0.5, 0.0)
    assert_close(params["table.item"], [[1, 1], [0.5, 1], [0.5, 0.5], [1, 1]], 1e-7)
    optimizer.apply(params, {"table.item": Rows(np.array([2, 3]), np.array([[0.0, 0], [3, -3]]))}, 0.5, 0.0)
    assert_close(optimizer.moments["mean"]["table.item"], [[0, 0], [0.1, 0], [0.2, 0.2], [0.3, -0.3]])
    first = 0.5 * (0.1 / 0.19) / np.sqrt(0.001 / 0.001999)  # of the row's gradients, at the second of all steps
    assert_close(params["table.item"], [[1, 1], [0.5, 1], [0.5, 0.5], [1 - first, 1 + first]], 1e-7)


@pytest.mark.parametrize("name", RULES)
def test_folds_by_step_number(name):
    """A run that is stopped between two folds and resumed ends with the same bits as one that is not stopped."""
    undisturbed, parts = start(), start()
    scales = []
    for params in (undisturbed, parts):
        optimizer, rng = make(name, params, FOLD - 3), np.random.default_rng(1)
        for _ in range(6):
            if params is parts:
                unscaled(params, optimizer.table_scale)  # reading the parameters changes nothing
                optimizer = make(name, params, optimizer.step, optimizer.table_scale, moments=optimizer.moments)
            optimizer.apply(params, random_gradients(rng, params), 0.5, 1e-2)
            scales.append(optimizer.table_scale)
    assert_same(undisturbed, parts)
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
