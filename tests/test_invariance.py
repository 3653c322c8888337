"""What the scores of a model depend on, and what not."""

import numpy as np
import pytest
from every_model import EVERY, problem_of, richest, scores_of
from helpers import assert_close, assert_same

from atrank_np.backend import NumpyBackend
from atrank_np.gradcheck import (
    dense,
    random_batch,
)
from atrank_np.layers.embedding import Rows
from atrank_np.parameters import kind


def histories(batch, order):
    """The batch with the rows of its histories taken in this order."""
    columns = {name: getattr(batch, name)[order] for name in ("group", "object", "bucket", "action")}
    return batch._replace(**columns)


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
