"""Learnability: samples are overfitted, patterns are learnt, and noise is not, by single steps and by the training loop."""

import itertools

import numpy as np
import pytest
from every_model import DROPPING, EVERY, problem_of
from helpers import assert_close, assert_same

from atrank_np import read_log
from atrank_np.backend import NumpyBackend
from atrank_np.config import CHOICES, Config
from atrank_np.gradcheck import (
    random_batch,
)
from atrank_np.models import make_model
from atrank_np.training import fit

SMALL = Config(width=8, spaces=2, batch_size=8, l2=0.0)
# The initial deviations of `Config` are for a width of 128. In a narrow model the history would have little effect for long.
LIVELY = {"learning_rate": 0.1, "gain_init": 1.0, "table_init": 0.3, "dense_init": 0.25}


def write(folder, events, objects):
    (folder / "events.csv").write_text("user,object,time\n" + "".join(f"{u},{o},{t}\n" for u, o, t in events))
    (folder / "items.csv").write_text("object\n" + "".join(f"{o}\n" for o in objects))
    return read_log(folder)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_twenty_samples_are_overfitted(backend, tmp_path):
    """10 users with 3 behaviours: 10 positives with one negative each, drawn once. The loss starts at ln 2 and ends near 0."""
    rng = np.random.default_rng(0)
    events = [(f"u{u}", f"o{o}", t) for u in range(10) for t, o in enumerate(rng.permutation(12)[:3])]
    log = write(tmp_path, events, [f"o{o}" for o in range(12)])
    once = {"fresh_negatives": False, "backend": backend}
    untouched = fit(log, SMALL, epochs=1, evaluations=1, learning_rate=0.0, **once)
    assert untouched.report["train_samples"] == 20
    assert untouched.rows[0][4] == pytest.approx(np.log(2), abs=0.01)
    run = fit(log, SMALL, epochs=100, evaluations=100, decay=1.0, **LIVELY, **once)
    assert run.rows[-1][4] < 0.01


def noise(folder, users, seed):
    rng = np.random.default_rng(seed)
    events = [(f"u{u}", f"o{rng.integers(60)}", t) for u in range(users) for t in range(7)]
    return write(folder, events, [f"o{o}" for o in range(60)])


def test_nothing_is_learnt_from_noise(tmp_path):
    """Uniform objects: the AUC and all its controls stay within 3 standard errors of one half."""
    report = fit(noise(tmp_path, 300, 0), SMALL, epochs=1, evaluations=1, eval_negatives=3, **LIVELY).report
    assert 0.005 < report["test_auc_se"] < 0.03
    for name in ("test_auc", "popularity_auc", "swapped_history_auc", "in_history_auc", "features_shared_auc"):
        assert abs(report[name] - 0.5) < 3 * report["test_auc_se"], name


def test_a_pattern_in_the_history_is_learnt(tmp_path):
    """Each user takes objects from one half of 20. With 5 of their 10 taken, 2 negatives in 3 are of the other half, so the
    ceiling is near 1/3 · 1/2 + 2/3 = 0.83. The history of another user does not help: 0.5."""
    rng = np.random.default_rng(1)
    halves = rng.integers(2, size=200)
    events = [(f"u{u}", f"o{10 * half + rng.integers(10)}", t) for u, half in enumerate(halves) for t in range(5)]
    log = write(tmp_path, events, [f"o{o}" for o in range(20)])
    report = fit(log, SMALL, width=16, spaces=4, epochs=5, evaluations=1, eval_negatives=3, **LIVELY).report
    assert 0.75 < report["test_auc"] < 0.83 + 3 * report["test_auc_se"]
    assert abs(report["swapped_history_auc"] - 0.5) < 3 * report["test_auc_se"]


WIDE = dict(width=32, spaces=2)


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
