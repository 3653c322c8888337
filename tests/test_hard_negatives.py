"""Hard negatives: which are drawn, how often, and what the loss is told of it."""

import numpy as np
import pytest
from helpers import assert_close, assert_same
from logs import moments, one_group, several_groups

from atrank_np.config import Config
from atrank_np.datasets.batches import Batches
from atrank_np.datasets.negatives import Negatives
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.hard_negatives import NOTHING, draw, with_hard_negatives
from atrank_np.runs.checkpoint import load
from atrank_np.runs.trained import assemble
from atrank_np.training import fit

HARD = {"loss": "softmax", "negatives": 3, "pool": 5, "batch_size": 32}


def a_training(log, **settings):
    """-> a backend of float64 as it starts, its batches, its negatives."""
    protocol = Protocol(log, Config(width=16, spaces=2, dense_init=0.4, table_init=0.6, **HARD | settings))
    trained = assemble(protocol)
    trained.params = {name: w.astype(np.float64) for name, w in trained.params.items()}
    return trained.backend(), Batches(protocol), protocol.negatives


def test_places_are_drawn_by_the_softmax_of_their_scores():
    rng = np.random.default_rng(0)
    scores = np.array([[0.0, 1.0, 2.0, -np.inf], [5.0, 3.0, -np.inf, 4.0]])
    q = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    place, log_q = draw(scores, rng.random((2, 9000)))
    for row in (0, 1):
        count, expected = np.bincount(place[row], minlength=4), 9000 * q[row]
        assert not count[expected == 0].any()
        assert ((count - expected)[expected > 0] ** 2 / expected[expected > 0]).sum() < 13.8  # 99.9 % of χ² with 2 degrees
        assert_close(log_q[row], np.log(9000 * q[row][place[row]]), 1e-12)


def test_sums_over_what_is_drawn_stand_for_sums_over_the_pool():
    """Σ_j exp(f_j) / (m q_j) has the mean Σ exp(f) over the pool, for any f: here one far from the scores."""
    rng = np.random.default_rng(1)
    scores, f = rng.normal(size=(1, 6)), rng.normal(size=6)
    place, log_q = draw(np.repeat(scores, 4000, axis=0), rng.random((4000, 5)))
    sums = np.exp(f[place] - log_q).sum(1)
    assert abs(sums.mean() - np.exp(f).sum()) < 4 * sums.std() / np.sqrt(4000)


def test_a_row_without_any_place_counts_for_nothing():
    place, log_q = draw(np.array([[-np.inf, -np.inf], [0.0, -np.inf]]), np.full((2, 3), 0.999))
    assert place[1].tolist() == [0, 0, 0] and np.allclose(log_q[1], np.log(3))
    assert (log_q[0] == NOTHING).all()


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_never_what_the_user_takes(tiny, backend):
    """One positive, then m negatives of the pool; the histories and positives are those of the batch."""
    backend, batches, negatives = a_training(read_log(tiny), backend=backend)
    batch = batches.batch(0, 0)
    hard = with_hard_negatives(backend, batch, negatives)
    objects = hard.target_object.reshape(-1, 4)
    assert_same(objects[:, 0], batch.target_object)
    assert_same(hard.offsets, batch.offsets)
    assert hard.label.reshape(-1, 4).tolist() == [[1, 0, 0, 0]] * len(objects)
    for g in np.unique(batch.target_group):
        mine = batch.target_group == g
        assert not negatives._takes(g, batch.user[mine] - 1, objects[mine, 1:]).any()
        assert (objects[:, 1:] > 0).all() and len(np.unique(objects[mine, 1:])) <= 5


def test_the_scores_are_those_of_the_positives_user_vector(tiny):
    """log(m q) by hand: the pool holds the whole catalogue, of each group its own."""
    backend, batches, negatives = a_training(read_log(tiny), backend="numpy", pool=10**6)
    for g in (0, 1):
        name = f"bias.{backend.model.space.groups[g].name}"
        backend.params[name][1:] = np.random.default_rng(g).normal(size=len(backend.params[name]) - 1)
    batch = batches.batch(0, 0)
    hard = with_hard_negatives(backend, batch, negatives)
    assert set(batch.target_group.tolist()) == {0, 1}
    for s, one in enumerate(batch.cut(1)):
        group, user = int(one.target_group[0]), one.user - 1
        pool = np.arange(1, negatives.sizes[group])
        _, e, _ = backend.vectors(one)
        h, _, bias = backend.vectors(one.with_targets(group, pool))
        g = h @ e[0] + bias
        g[negatives._takes(group, user, pool[None])[0]] = -np.inf
        q = np.exp(g) / np.exp(g).sum()
        drawn = hard.target_object.reshape(-1, 4)[s, 1:]
        assert_close(hard.log_q.reshape(-1, 4)[s, 1:], np.log(3 * q[drawn - 1]), 1e-6)


@pytest.mark.parametrize("model", ["atrank", "bilstm", "bilstm_attention", "cnn"])
def test_both_backends_draw_the_same(tiny, model):
    log, found = read_log(tiny), []
    for name in ("numpy", "numba"):
        backend, batches, negatives = a_training(log, backend=name, model=model)
        for step in range(3):
            batch = with_hard_negatives(backend, batches.batch(0, step), negatives)
            backend.train_step(batch, 0.1)
        found.append((batch, dict(backend.params)))
    (numpy, params), (numba, other) = found
    for name in numpy._fields:
        assert_close(getattr(numpy, name), getattr(numba, name), 1e-6)
    for name in params:
        assert_close(other[name], params[name], 1e-9)


def test_draws_depend_on_seed_and_step_alone(tiny):
    """Apart from parameters and batch, here the same."""
    protocol = Protocol(read_log(tiny), Config(**HARD, backend="numpy"))
    trained, batch, drawn = assemble(protocol), Batches(protocol).batch(0, 0), []
    for seed, step in ((0, 0), (0, 0), (0, 1), (1, 0)):
        trained.step = step
        hard = with_hard_negatives(trained.backend(seed=seed), batch, protocol.negatives)
        drawn.append(hard.target_object.tolist())
    assert drawn[0] == drawn[1] and drawn[0] != drawn[2] and drawn[0] != drawn[3]


def test_each_group_has_a_pool_of_its_own(tmp_path):
    """A history of both groups; q1 … of queries are other objects than those of items with the same numbers."""
    events = ",".join(f"{u} {'iq'[k % 2]} {'abcdefg'[(k * 2 + u_) % 7]} {k}" for u_, u in enumerate("uvw") for k in range(8))
    log = several_groups(tmp_path, events, "targets = ['items', 'queries']")
    backend, batches, negatives = a_training(log, backend="numpy", batch_size=64)
    batch = batches.batch(0, 0)
    hard = with_hard_negatives(backend, batch, negatives)
    assert set(batch.target_group.tolist()) == {0, 1}
    assert_same(hard.target_group, np.repeat(batch.target_group, 4))
    for g in (0, 1):
        mine = batch.target_group == g
        drawn, q = hard.target_object.reshape(-1, 4)[mine, 1:], hard.log_q.reshape(-1, 4)[mine, 1:]
        assert not negatives._takes(g, batch.user[mine] - 1, drawn)[q < NOTHING].any()


def test_who_takes_the_whole_pool_learns_nothing(tmp_path):
    """u takes all objects, so their softmax has the positive alone: a loss of 0 and no gradient."""
    log = one_group(tmp_path, "u a 1,u b 2,u c 3,u d 4,u e 5,u f 6,u g 7,v a 1,v b 2,v c 3")
    for name in ("numpy", "numba"):
        backend, batches, negatives = a_training(log, backend=name)
        batch = next(one for one in batches.batch(0, 0).cut(1) if one.user[0] == 1)
        batch = with_hard_negatives(backend, batch, negatives)
        loss, gradients = backend.gradients(batch)
        assert (batch.log_q[1:] == NOTHING).all() and loss == 0
        assert all(not np.any(getattr(g, "values", g)) for g in gradients.values())


def test_taken_objects_one_user_after_another(tmp_path):
    negatives = Negatives(one_group(tmp_path, "u a 1,u c 2,v b 3,u a 4"))
    place, object = negatives.taken(0, moments([1, 0]).user)
    assert list(zip(place.tolist(), object.tolist())) == [(0, 2), (1, 1), (1, 3), (1, 1)]


@pytest.mark.parametrize("wrong", [{"loss": "point"}, {"ranking": "deep"}, {"model": "bpr_mf"}, {"fresh_negatives": False}])
def test_a_pool_that_cannot_be_used_is_refused(wrong):
    with pytest.raises(ValueError, match="a pool needs the softmax loss, the ranking 'dot'"):
        Config(**HARD | wrong)


def test_no_bit_depends_on_threads_or_on_a_stop(tiny, tmp_path):
    """A run is stopped by a callback that raises; what it kept goes on to the same parameters."""
    log, settings = read_log(tiny), dict(HARD, epochs=2, evaluations=3, width=16, spaces=2, optimizer="adam", learning_rate=0.01)

    def stop(step, loss, auc):
        raise KeyboardInterrupt

    whole = fit(log, **settings, threads=2).trained
    alone = fit(log, **settings, threads=1).trained
    with pytest.raises(KeyboardInterrupt):
        fit(log, **settings, threads=1, out=tmp_path / "run", callback=stop)
    stopped = load(tmp_path / "run")
    assert 0 < stopped.step < whole.step
    resumed = fit(log, resume=stopped, threads=2).trained
    for other in (alone, resumed):
        assert_same(dict(other.params), dict(whole.params))
        assert_same(dict(other.moments), dict(whole.moments))
