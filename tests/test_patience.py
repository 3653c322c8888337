"""Early stopping: validation events alone choose the model, and a run that was stopped ends with the same one."""

from dataclasses import replace

import numpy as np
import pytest
from runs import Killed, at_step, killed, outcome, report, run_train

from atrank_np import ATRank, evaluate, train, training
from atrank_np.config import Config
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.evaluation.scoring import score
from atrank_np.metrics import auc
from atrank_np.runs.checkpoint import load

FLAGS = ["--epochs", "6", "--evaluations", "12", "--learning-rate", "2", "--l2", "0", "--backend", "numpy"]


@pytest.fixture(scope="module")
def patient(tiny, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atrank_np.training_runs.draw_curve", lambda *_: None)
        return run_train(tiny, tmp_path_factory.mktemp("runs") / "run", *FLAGS, "--patience", "3")


def test_the_best_by_validation_is_kept(patient, tiny, capsys):
    """It is the model of a run without patience on the validation's protocol at that step; the test is scored with it alone."""
    trained, kept = load(patient), report(patient)["kept"]
    rows = np.array(trained.state.rows)
    best = int(rows[:, 5].argmax())
    assert len(rows) == best + 1 + 3 < 12  # it was stopped
    assert (kept["step"], kept["evaluations"], kept["validation_auc"]) == (rows[best, 0], len(rows), rows[best, 5])
    assert trained.step == rows[best, 0] and not (patient / "best.npz").exists()
    seen = {}
    config = replace(trained.config, patience=0, validate=True)
    training.fit(read_log(tiny), config, callback=lambda step, loss, value: seen.setdefault(step, value))
    assert [seen[int(row[0])] for row in rows] == rows[:, 5].tolist()
    parts = Protocol(read_log(tiny), trained.config)
    scores = score(trained.backend(), parts, parts.task)
    assert report(patient)["test_auc"] == auc(scores).mean
    assert report(patient)["samples_per_second"] * trained.state.seconds == pytest.approx(rows[-1, 1])
    capsys.readouterr()
    assert evaluate.main([str(patient)]) == 0
    assert f"test AUC {auc(scores).mean:.4f}" in capsys.readouterr().out


def test_what_it_says(tiny, tmp_path, capsys, no_picture):
    run_train(tiny, tmp_path / "run", *FLAGS, "--patience", "1")
    kept = report(tmp_path / "run")["kept"]
    assert (
        f"the kept model is that of step {kept['step']}, the best of {kept['evaluations']} evaluations: validation AUC "
        in capsys.readouterr().out
    )
    assert f"validation AUC {kept['validation_auc']:.3f} ± " in repr(ATRank.load(tmp_path / "run"))


def test_no_test_event_is_known(tiny):
    """With other test events, training ends with the same bits."""
    log, other = read_log(tiny), read_log(tiny)
    tested = Protocol(log).test
    last = np.array([np.flatnonzero(log.time[: log.offsets[u + 1]] == t)[-1] for u, t in zip(tested.user, tested.time)])
    items = last[tested.group == 0]
    other.object[items] = 1 + other.object[items] % 20
    small = dict(width=8, spaces=2, epochs=2, batch_size=8, backend="numpy", patience=2)
    first, second = (training.fit(of, **small).trained for of in (log, other))
    assert {n: w.tobytes() for n, w in first.params.items()} == {n: w.tobytes() for n, w in second.params.items()}
    assert [row[:-1] for row in first.state.rows] == [row[:-1] for row in second.state.rows]


@pytest.mark.parametrize("step", [8, 14])
def test_a_resumed_run_ends_with_the_same_model(step, patient, tiny, tmp_path, monkeypatch, no_picture):
    """Killed after the best evaluation; and a finished one stays as it is."""
    with monkeypatch.context() as patch, pytest.raises(Killed):
        at_step(patch, step, killed)
        run_train(tiny, tmp_path / "run", *FLAGS, "--patience", "3")
    for _ in range(2):
        assert train.main(["--resume", str(tmp_path / "run"), "--quiet"]) == 0
        assert outcome(tmp_path / "run") == outcome(patient)
        assert report(tmp_path / "run")["test_auc"] == report(patient)["test_auc"]


def test_without_an_end_before_the_end(tiny):
    """Patience that is never lost: the best of all evaluations, and fit goes on with nothing."""
    log = read_log(tiny)
    small = Config(width=8, spaces=2, epochs=2, batch_size=8, evaluations=4, patience=9, backend="numpy")
    run = training.fit(log, small)
    assert len(run.rows) == 4 and run.trained.step == max(run.rows, key=lambda row: row[5])[0]
    assert training.fit(log, resume=run.trained).trained.step == run.report["kept"]["step"]
