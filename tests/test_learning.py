"""Learnability through the training loop of the commands: patterns are learnt, and noise is not."""

import numpy as np
import pytest

from atrank_np import read_log
from atrank_np.config import Config
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
