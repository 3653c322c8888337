"""fit: its rows, its defaults, and how it ends when the loss is not finite or nothing is left to train on."""

import re

import numpy as np
import pytest
from runs import at_step, batches_of, process, report, run_train

from atrank_np import training
from atrank_np.config import MODELS, Config
from atrank_np.datasets.reading import read_log
from atrank_np.errors import DataError, Diverged
from atrank_np.runs import trained
from atrank_np.runs.checkpoint import load
from atrank_np.runs.trained import COLUMNS


def test_the_loss_of_a_row_is_that_since_the_row_before(tiny, monkeypatch):
    """1 in the first epoch, 3 in the second."""
    make = trained.make_backend

    def make_and_tell(*arguments):
        backend = make(*arguments)
        step, half = backend.train_step, batches_of(tiny).per_epoch
        backend.train_step = lambda batch, rate: 0 * step(batch, rate) + (1 if backend.step <= half else 3)
        return backend

    monkeypatch.setattr(trained, "make_backend", make_and_tell)
    config = Config(width=4, spaces=1, epochs=2, evaluations=2, batch_size=8, backend="numpy")
    assert [row[COLUMNS.index("loss")] for row in training.fit(read_log(tiny), config).rows] == [1, 3]


def test_one_tested_user(tmp_path, no_picture):
    """A single ranking has no standard error: null in the report, as JSON has no NaN."""
    (tmp_path / "events.csv").write_text("user,object,time\nu,a,1\nu,b,2\nu,c,3\n")
    (tmp_path / "items.csv").write_text("object\na\nb\nc\nd\n")
    figures = report(run_train(tmp_path, tmp_path / "run"))
    assert figures["test_auc_se"] is figures["test_auc_by_group"]["items"]["se"] is None


def test_a_run_that_diverges_at_once(tiny, tmp_path):
    """No model is kept that training has hardly touched (case 07)."""
    out = tmp_path / "run"
    flags = ["--epochs", 4, "--width", 8, "--spaces", 2, "--batch-size", 8, "--learning-rate", 1e18, "--l2", 0, "--quiet"]
    result = process("train", "--data", tiny, "--out", out, *flags)
    (line,) = result.stderr.splitlines()
    assert (result.returncode, result.stdout) == (3, "")
    advice = "try a lower learning rate, or clip 1; no model was evaluated, so none is kept"
    assert re.fullmatch(rf"error: the loss is NaN or infinite at step \d+: {advice}", line)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_run_that_diverges_late(backend, tiny, tmp_path, monkeypatch, no_picture):
    """What is kept is the last checkpoint, as an undisturbed run has it at that step."""

    def diverge():
        (backend_object,) = made
        for w in backend_object.params.values():
            w[...] = np.nan

    made, make = [], trained.make_backend
    monkeypatch.setattr(trained, "make_backend", lambda *arguments: made.append(make(*arguments)) or made[0])
    at_step(monkeypatch, 17, diverge)
    with pytest.raises(Diverged, match="the loss is NaN or infinite at step 18: .*; the model of step 14 is in"):
        run_train(tiny, tmp_path / "run", "--evaluations", "5", "--backend", backend)
    kept = load(tmp_path / "run")
    assert (kept.step, len(kept.state.rows)) == (14, 2)  # of 34 steps, scored after 7, 14, 20, 27 and 34
    assert all(np.isfinite(w).all() for w in kept.params.values())


def test_an_evaluation_at_each_step_at_most(tiny, tmp_path):
    run = run_train(tiny, tmp_path / "run", "--backend", "numpy", "--epochs", "1", "--evaluations", str(2**31 - 1))
    steps = [row[0] for row in load(run).state.rows]
    assert steps == list(range(1, len(steps) + 1)) and steps[-1] == load(run).step


def test_fit_takes_the_models_own_defaults(tiny):
    small = dict(width=4, spaces=1, epochs=1, evaluations=1, batch_size=8, backend="numpy")
    for model in ("bpr_mf", "cnn"):
        config = training.fit(read_log(tiny), model=model, **small).trained.config
        assert config == Config(**{"model": model} | MODELS[model] | small)
    assert training.fit(read_log(tiny), variant="activation_l2", **small).trained.config.l2 == 0


def test_a_model_that_there_is_not(tiny):
    for settings in ({"model": "gru"}, {"variant": "small"}):
        with pytest.raises(ValueError, match=f"^`{next(iter(settings))}` must be one of "):
            training.fit(read_log(tiny), **settings)


def test_why_nothing_is_left_to_train_on(tmp_path):
    """Ids that are written otherwise in the objects' file."""
    (tmp_path / "events.csv").write_text("user,object,time\n" + "".join(f"u,0{i},{i}\n" for i in range(5)))
    (tmp_path / "items.csv").write_text("object\n" + "".join(f"{i}\n" for i in range(9)))
    with pytest.raises(DataError, match="no user has a target .*; 5 events whose object is in no .*; .* no file of items"):
        training.fit(read_log(tmp_path, allow_unknown=True))
