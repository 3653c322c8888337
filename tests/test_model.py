from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from every_model import COMPETITORS, EVERY, RANKED, problem_of, richest, scores_of
from helpers import assert_close, assert_same, literal_scores

from atrank_np.backend import NumpyBackend, loss_and_slope
from atrank_np.config import CHOICES, MODELS
from atrank_np.gradcheck import (
    Kink,
    check_directions,
    check_model,
    compare,
    dense,
    derivative,
    random_batch,
    redrawn,
    toy_problem,
)
from atrank_np.layers.embedding import Rows
from atrank_np.models.common_space import bags_of
from atrank_np.models.gradients import Gradients
from atrank_np.parameters import has_unknown, kind
from atrank_np.randomness import Dropout

# Gradients


def check_entries(name, f, x, gradient, places):
    """Some entries by their flat places. As everywhere, errors are relative to the largest entry of the whole array."""
    entries = np.eye(x.size)[places].reshape(-1, *x.shape)
    analytic = [*gradient.ravel()[places], np.abs(gradient).max()]
    return compare(name, analytic, lambda h: [*(derivative(f, x, v, h) for v in entries), analytic[-1]])


def some_checks(problem, f, gradients, rng, count=3):
    """Random directions and random entries of every parameter; f(_) is what they are derivatives of."""
    checks = []
    for name, w in problem.params.items():
        gradient = dense(gradients[name], w.shape) * (problem.table_scale if kind(name) == "table" else 1)
        known = w[1:] if has_unknown(name) else w  # a view, so that the parameter itself is moved
        gradient = gradient[1:] if has_unknown(name) else gradient
        checks.append(check_directions(f"{name}, directions", f, known, gradient, rng, count))
        places = rng.integers(known.size, size=count)
        checks.append(check_entries(f"{name}, entries", f, known, gradient, places))
    return checks


def assert_right(checks):
    wrong = [str(check) for check in checks if not check.ok]
    assert not wrong, "\n".join(["wrong gradients", *wrong])


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize(
    "model, ranking, dropout",
    [
        *(("atrank", ranking, dropout) for ranking in ("dot", "deep") for dropout in (0, 0.3)),
        *((model, "dot", 0.3) for model in COMPETITORS),  # with the deep f they are in the next test but one
    ],
)
def test_directions_and_entries_of_every_parameter(model, ranking, dropout, trained):
    """The derivative of <r, scores>, r random, in random directions and by random entries."""

    def draw(rng):
        problem = toy_problem(rng, trained=trained, model=model, ranking=ranking)
        net, params, batch, scale, _ = problem
        masks = Dropout(dropout, 0, 0) if dropout else None
        r = rng.standard_normal(len(batch.label))
        gradients = net.backward(r, net.forward(params, batch, scale, masks)[1])
        assert set(gradients) == set(params)
        for name, gradient in gradients.items():
            assert np.linalg.norm(gradient.values if isinstance(gradient, Rows) else gradient) > 1e-6, f"{name}: no gradient"

        def f(_):
            scores, cache = net.forward(params, batch, scale, masks)
            return r @ scores, cache

        return some_checks(problem, f, gradients, rng)

    assert_right(redrawn(draw, 0)[0])


@pytest.mark.parametrize("loss", CHOICES["loss"])
def test_every_entry_of_every_parameter_of_a_training_step(loss):
    assert_right(redrawn(lambda rng: check_model(toy_problem(rng, ranking="deep", loss=loss, dropout=0.3)), 1)[0])


@pytest.mark.parametrize("model", COMPETITORS)
def test_some_entries_of_a_training_step_of_the_competitors(model):
    """Loss and backend are those of ATRank, with every entry checked above. `python -m atrank_np.gradcheck` does it for all."""
    settings = richest(model) | dict(dropout=0.3) | MODELS[model]

    def draw(rng):
        problem = toy_problem(rng, **settings)
        net, params, batch, scale, config = problem
        _, gradients = NumpyBackend(net, params, config, 0, scale).gradients(batch)

        def f(_):
            scores, cache = net.forward(params, batch, scale, Dropout(0.3, 0, 0))
            return loss_and_slope(config.loss, scores, batch)[0], cache

        return some_checks(problem, f, gradients, rng)

    assert_right(redrawn(draw, 0)[0])


@EVERY
def test_unknown_rows_get_no_gradient(model):
    problem = problem_of(**richest(model))
    assert all((column == 0).any() for column in (problem.batch.object, problem.batch.target_object, problem.batch.user))
    _, gradients = NumpyBackend(*problem[:2], problem.config, 0, problem.table_scale).gradients(problem.batch)
    for name, gradient in gradients.items():
        if has_unknown(name):
            assert isinstance(gradient, Rows) and gradient.ids.min() > 0, name


@EVERY
def test_gradient_rows_are_sorted_and_unique(model):
    problem = problem_of(model=model)
    gradients = problem.model.backward(np.ones(13), problem.model.forward(*problem[1:4])[1])
    for name, gradient in gradients.items():
        if isinstance(gradient, Rows):
            assert (np.diff(gradient.ids) > 0).all(), name
    assert isinstance(gradients["table.item"], Rows)


def test_a_parameter_used_twice_gets_the_sum():
    gradients = Gradients()
    gradients.add("table.item", Rows(np.array([0, 2]), np.array([[9.0], [1]])))
    gradients.add("table.item", Rows(np.array([2, 5]), np.array([[10.0], [100]])))
    gradients.add("F_M.items.W", np.ones(2))
    gradients.add("F_M.items.W", np.ones(2))
    total = gradients.total()
    assert total["F_M.items.W"].tolist() == [2, 2]
    assert total["table.item"].ids.tolist() == [2, 5] and total["table.item"].values.tolist() == [[11], [100]]


@EVERY
def test_a_group_that_is_not_in_the_batch_gets_no_gradient(model):
    problem = problem_of(model=model)
    batch = random_batch(np.random.default_rng(1), problem.model.space.groups[:2], [3, 0, 2], [2, 2, 2])
    loss, gradients = NumpyBackend(*problem[:2], problem.config, 0, problem.table_scale).gradients(batch)
    assert np.isfinite(loss)
    coupons = [gradient for name, gradient in gradients.items() if "coupon" in name]
    assert len(coupons) == (3 if model == "bpr_mf" else 6)
    assert not any(np.any(gradient.values if isinstance(gradient, Rows) else gradient) for gradient in coupons)


# Values


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("model, ranking", RANKED)
@pytest.mark.parametrize("item_bias", [True, False])
def test_scores_are_the_equations_literally(model, ranking, item_bias, trained):
    problem = problem_of(2, model=model, ranking=ranking, item_bias=item_bias, trained=trained)
    assert_close(scores_of(problem), literal_scores(problem))


@EVERY
def test_scores_with_dropout_literally(model):
    problem, dropout = problem_of(2, model=model), Dropout(0.4, 3, 5)
    masks = [dropout.mask(0, (17, 6), float), dropout.mask(1, (13, 6), float)]
    assert_close(scores_of(problem, dropout=dropout), literal_scores(problem, masks))


def test_bags_are_packed_again():
    bag = SimpleNamespace(ids=np.array([5, 6, 7, 8, 9]), offsets=np.array([0, 0, 2, 3, 5]))
    ids, offsets = bags_of(bag, np.array([3, 0, 1, 3]))
    assert ids.tolist() == [8, 9, 5, 6, 8, 9] and offsets.tolist() == [0, 2, 2, 4, 6]


@EVERY
def test_initialisation_by_kind(model):
    """`initialise` reads the name alone. A Bi-LSTM then sets the biases of its forget gates to 1."""
    params = problem_of(**richest(model)).model.init(0, dense=0.1, table=0.3, gain=0.2, dtype=np.float32)
    assert all(w.dtype == np.float32 for w in params.values())
    for name, w in params.items():
        if kind(name) == "gain":
            assert (w == np.float32(0.2 if name.startswith("vanilla") else 1)).all(), name
        elif name in ("forwards.b", "backwards.b"):
            assert w.reshape(4, 6).tolist() == [[0] * 6, [1] * 6, [0] * 6, [0] * 6]  # i, f, g, o
        elif kind(name) in ("bias", "item bias"):
            assert not w.any(), name
        elif has_unknown(name):
            assert not w[0].any() and w[1:].all(), name
    for what, deviation in (("weight", 0.1), ("table", 0.3)):
        drawn = np.concatenate([(w[1:] if has_unknown(name) else w).ravel() for name, w in params.items() if kind(name) == what])
        assert abs(drawn.std() / deviation - 1) < 3 / np.sqrt(2 * drawn.size), what  # three standard errors


@EVERY
def test_initialisation_depends_on_the_seed_alone(model):
    net = problem_of(model=model).model
    assert_same(net.init(3), net.init(3))
    assert not np.array_equal(net.init(3)["table.item"], net.init(4)["table.item"])


@EVERY
def test_float32_stays_float32(model):
    problem = problem_of(**richest(model))
    params = {name: w.astype(np.float32) for name, w in problem.params.items()}
    config = replace(problem.config, dropout=0.2)
    backend = NumpyBackend(problem.model, params, config, 0, problem.table_scale)
    _, gradients = backend.gradients(problem.batch)
    assert backend.scores(problem.batch).dtype == np.float32
    for name, gradient in gradients.items():
        assert (gradient.values if isinstance(gradient, Rows) else gradient).dtype == np.float32, name
    backend.train_step(problem.batch, 0.1)
    assert all(w.dtype == np.float32 for w in params.values())


def test_weights_and_states_can_be_read():
    problem = problem_of()
    _, cache = problem.model.forward(*problem[1:4])
    weights = cache.user.weights()
    assert [None if w is None else w.shape for w in weights["self"]] == [None, (3, 1, 1), (3, 4, 4), (3, 2, 2), (3, 10, 10)]
    assert [None if w is None else w.shape for w in weights["vanilla"]] == [None, (3, 3, 1), (3, 2, 4), (3, 4, 2), (3, 2, 10)]
    assert cache.user.C.shape == (17, 6) and cache.e.shape == (13, 6)
    problem = problem_of(model="bilstm_attention")
    of_the_lstm = problem.model.forward(*problem[1:4])[1].user.weights()
    assert of_the_lstm.keys() == {"vanilla"}
    assert [np.shape(w) for w in of_the_lstm["vanilla"]] == [np.shape(w) for w in weights["vanilla"]]


# Invariances


# Learning


def test_a_kink_is_detected():
    def relu(x):
        y = np.maximum(x, 0)
        return y.sum(), y

    x = np.array([1e-7])
    with pytest.raises(Kink):
        derivative(relu, x, np.ones(1))
    assert x[0] == 1e-7
