import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import assert_close, assert_same, literal_scores

from atrank_np.backend import NumpyBackend, loss_and_slope
from atrank_np.config import CHOICES, MODELS, Config
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
from atrank_np.models import make_model
from atrank_np.models.common_space import Gradients, bags_of
from atrank_np.parameters import has_unknown, kind
from atrank_np.randomness import Dropout

RANKED = [(model, "dot") for model in MODELS] + [(model, "deep") for model in MODELS if model != "bpr_mf"]
DROPPING = ["atrank", "bilstm_attention"]  # the models with a feed-forward net, where dropout is
COMPETITORS = [model for model in MODELS if model != "atrank"]
EVERY = pytest.mark.parametrize("model", MODELS)
WIDE = dict(width=32, spaces=2)


def problem_of(seed=0, **settings):
    return toy_problem(np.random.default_rng(seed), **settings)


def richest(model):
    """The settings that use all parts of a model."""
    return dict(model=model, ranking="dot" if model == "bpr_mf" else "deep")


def scores_of(problem, batch=None, dropout=None):
    return problem.model.forward(problem.params, batch or problem.batch, problem.table_scale, dropout)[0]


def histories(batch, order):
    """The batch with the rows of its histories taken in this order."""
    columns = {name: getattr(batch, name)[order] for name in ("group", "object", "bucket", "action")}
    return batch._replace(**columns)


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


@pytest.mark.parametrize("model", ["atrank", "bpr_mf"])
def test_order_of_a_history_does_not_matter(model):
    problem, rng = problem_of(model=model), np.random.default_rng(4)
    offsets = problem.batch.offsets
    order = np.concatenate([start + rng.permutation(stop - start) for start, stop in zip(offsets, offsets[1:])])
    assert (order != np.arange(17)).any()
    assert_close(scores_of(problem, histories(problem.batch, order)), scores_of(problem))


@pytest.mark.parametrize("model", ["bilstm", "bilstm_attention", "cnn"])
def test_order_of_a_history_matters(model):
    """Reversed histories change the scores of those with several behaviours, and no other."""
    problem = problem_of(model=model)
    offsets, targets = problem.batch.offsets, np.diff(problem.batch.target_offsets)
    order = np.concatenate([np.arange(start, stop)[::-1] for start, stop in zip(offsets, offsets[1:])])
    moved = np.abs(scores_of(problem, histories(problem.batch, order)) - scores_of(problem))
    several = np.repeat(np.diff(offsets) > 1, targets)
    assert moved[several].min() > 1e-6 and moved[~several].max() < 1e-12


@EVERY
@pytest.mark.parametrize("first", [True, False])
def test_an_unrelated_segment_does_not_matter(first, model):
    problem = problem_of(model=model)
    other = random_batch(np.random.default_rng(9), problem.model.space.groups, [5], [3])
    parts = [other, problem.batch] if first else [problem.batch, other]
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in problem.batch._fields if "offsets" not in name
    }
    for name in ("offsets", "target_offsets"):
        a, b = (getattr(part, name) for part in parts)
        columns[name] = np.concatenate([a, a[-1] + b[1:]])
    together = scores_of(problem, problem.batch._replace(**columns))
    assert_close(together[3:] if first else together[:13], scores_of(problem))


@EVERY
def test_a_target_may_be_given_twice(model):
    problem = problem_of(model=model)
    order = np.array([0, 1, 2, 2, *range(3, 13)])
    batch = problem.batch._replace(
        **{name: getattr(problem.batch, name)[order] for name in ("target_group", "target_object", "label")},
        target_offsets=problem.batch.target_offsets + np.array([0, 0, 1, 1, 1, 1]),
    )
    assert_close(scores_of(problem, batch), scores_of(problem)[order])


@EVERY
def test_scores_do_not_depend_on_the_labels(model):
    problem = problem_of(model=model)
    assert_same(scores_of(problem, problem.batch._replace(label=1 - problem.batch.label)), scores_of(problem))


@EVERY
def test_scores_depend_on_the_history(model):
    """Other behaviours change the scores of every non-empty history, and of no other; those of BPR-MF never change."""
    problem = problem_of(model=model)
    moved = np.abs(scores_of(problem, histories(problem.batch, np.roll(np.arange(17), 3))) - scores_of(problem))
    assert moved[:2].max() == 0 and (moved[2:].max() == 0 if model == "bpr_mf" else moved[2:].min() > 1e-6)


@EVERY
def test_scores_depend_on_the_user(model):
    """Only those of BPR-MF. For the unknown user they are the item biases alone."""
    problem = problem_of(model=model)
    assert problem.batch.user.tolist() == [0, 1, 2, 3, 0]
    scores, other = scores_of(problem), scores_of(problem, problem.batch._replace(user=np.array([0, 2, 3, 1, 4])))
    if model != "bpr_mf":
        return assert_same(scores, other)
    group, row = problem.batch.target_group, problem.batch.target_object
    zero = (group > 0) & (row == 0)  # the unknown query and coupon; an unknown item still has a price
    zero[:2] = True  # user 0 both times
    assert_same(scores[zero], other[zero])
    assert np.abs(scores - other)[~zero].min() > 1e-6 and (~zero).sum() > 5
    assert_same(scores[11:], problem.params["bias.queries"][row[11:]])


@EVERY
def test_unknown_objects_are_zero_rows(model):
    """An object whose rows are all zero has the score of the unknown object."""
    problem = problem_of(model=model)
    problem.params["table.coupon"][2] = 0
    problem.params["bias.coupons"][2] = 0
    batches = [problem.batch._replace(target_object=np.where(problem.batch.target_group == 2, row, 1)) for row in (0, 2)]
    assert_same(*(scores_of(problem, batch) for batch in batches))


@EVERY
def test_only_empty_histories(model):
    problem = problem_of(dropout=0.3, **richest(model))
    batch = random_batch(np.random.default_rng(0), problem.model.space.groups, [0, 0, 0], [2, 2, 2])
    backend = NumpyBackend(*problem[:2], problem.config, 0, problem.table_scale)
    loss, gradients = backend.gradients(batch)
    assert np.isfinite(loss)
    assert all(np.isfinite(g.values if isinstance(g, Rows) else g).all() for g in gradients.values())


@EVERY
def test_stored_scale_of_the_tables_does_not_matter(model):
    problem = problem_of(model=model)
    params = {name: w * 0.7 / 0.25 if kind(name) == "table" else w for name, w in problem.params.items()}
    r = np.arange(13.0)
    results = []
    for p, scale in ((problem.params, 0.7), (params, 0.25)):
        scores, cache = problem.model.forward(p, problem.batch, scale)
        gradients = problem.model.backward(r, cache)
        results.append([scores, *(dense(gradients[name], w.shape) for name, w in p.items())])
    for a, b in zip(*results):
        assert_close(a, b, 1e-11)


@EVERY
def test_parameters_and_batch_unchanged(model):
    problem = problem_of(dropout=0.3, **richest(model))
    params, batch = {name: w.copy() for name, w in problem.params.items()}, [c.copy() for c in problem.batch]
    NumpyBackend(*problem[:2], problem.config, 0, problem.table_scale).gradients(problem.batch)
    assert_same(params, problem.params)
    assert_same(tuple(batch), tuple(problem.batch))


# Learning


def twenty_samples(model="atrank"):
    """Twenty random histories of twenty users, each with a positive and a negative. Only the history, or the user, tells which
    is which."""
    rng = np.random.default_rng(0)
    space = problem_of(**WIDE).model.space
    batch = random_batch(rng, space.groups, rng.integers(2, 7, 20).tolist(), [2] * 20)
    positive = rng.integers(1, 3, 20)
    objects = np.stack([positive, 3 - positive], 1).ravel().astype(np.int32)
    net = make_model(Config(**WIDE, model=model), space, users=21)
    return net, batch._replace(target_object=objects, user=1 + np.arange(20), log_q=0 * batch.log_q)


@pytest.mark.parametrize("loss", CHOICES["loss"])
@EVERY
def test_twenty_samples_can_be_overfitted(model, loss):
    net, batch = twenty_samples(model)
    backend = NumpyBackend(net, net.init(0, dense=0.2, table=0.5), Config(**WIDE, model=model, loss=loss, l2=0))
    rate = 1.0 if model == "bpr_mf" else 0.3
    losses = itertools.takewhile(lambda loss: loss > 0.02, (backend.train_step(batch, rate) for _ in range(300)))
    assert len(list(losses)) < 300


@pytest.mark.parametrize("loss", CHOICES["loss"])
@EVERY
def test_the_loss_starts_near_log_2(model, loss):
    net, batch = twenty_samples(model)
    config = Config(**WIDE, model=model, loss=loss)
    assert abs(NumpyBackend(net, net.init(0), config).gradients(batch)[0] - np.log(2)) < 0.02


@EVERY
def test_training_is_deterministic(model):
    def run():
        net, batch = twenty_samples(model)
        backend = NumpyBackend(net, net.init(0), Config(**WIDE, model=model, dropout=0.2, clip=1.0))
        return [backend.train_step(batch, 0.5) for _ in range(20)], backend.params

    assert_same(run(), run())


@pytest.mark.parametrize("model", DROPPING)
def test_dropout_differs_by_step_and_is_off_for_scores(model):
    net, batch = twenty_samples(model)
    config = Config(**WIDE, model=model, dropout=0.5)
    params = net.init(0, dense=0.2, table=0.5, dtype=np.float64)
    first, again, second = (NumpyBackend(net, params, config, step).gradients(batch)[0] for step in (0, 0, 1))
    assert first == again != second
    assert_same(NumpyBackend(net, params, config).scores(batch), net.forward(params, batch)[0])


def test_clipping_takes_a_step_of_limited_length():
    model, batch = twenty_samples()
    params = model.init(0, dense=0.2, table=0.5, dtype=np.float64)
    before = {name: w.copy() for name, w in params.items()}
    config = Config(**WIDE, l2=0, clip=0.01)
    NumpyBackend(model, params, config).train_step(batch, 2.0)
    assert_close(np.sqrt(sum(((params[name] - w) ** 2).sum() for name, w in before.items())), 2.0 * 0.01, 1e-9)


def test_a_kink_is_detected():
    def relu(x):
        y = np.maximum(x, 0)
        return y.sum(), y

    x = np.array([1e-7])
    with pytest.raises(Kink):
        derivative(relu, x, np.ones(1))
    assert x[0] == 1e-7
