"""A stopped run goes on to the same bits."""

import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from runs import TIMES, Killed, at_step, command_line, environment, killed, outcome, press_ctrl_c, report, run_train

from atrank_np import optimizer, train, training
from atrank_np.config import MODELS, Config
from atrank_np.datasets.reading import read_log
from atrank_np.errors import DataError
from atrank_np.runs.checkpoint import load

SHORT = ["--epochs", "3", "--batch-size", "2", "--evaluations", "20"]  # 201 steps

LONG = ["--epochs", "16", "--batch-size", "2", "--evaluations", "4"]  # 1,072 steps: a fold of the tables' scale is in them


@pytest.mark.parametrize("rule", [[], ["--optimizer", "adam", "--learning-rate", "0.01"]], ids=["sgd", "adam"])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_stopped_and_resumed(backend, rule, tiny, tmp_path, monkeypatch, no_picture):
    """Twice by Ctrl-C, before and after the fold of the tables' scale, once killed between two checkpoints."""
    flags, fold = [*LONG, "--backend", backend, *rule], 1000
    if backend == "numpy":  # slower: fold sooner
        flags, fold = [*SHORT, "--backend", backend, *rule], 100
        monkeypatch.setattr(optimizer, "FOLD", fold)
    whole, out = run_train(tiny, tmp_path / "whole", *flags), tmp_path / "run"
    end = load(whole)
    assert end.step > fold
    assert end.table_scale > 0.999 ** (end.step - fold) > 0.5  # far from what it were without a fold
    for step, stop in ((fold // 3, KeyboardInterrupt), (fold - 50, Killed), (fold + 1, KeyboardInterrupt)):
        with monkeypatch.context() as patch:
            at_step(patch, step, killed if stop is Killed else press_ctrl_c)
            with pytest.raises(stop) as stopped:
                if out.exists():
                    train.main(["--resume", str(out), "--quiet", "--threads", "1"])
                else:
                    run_train(tiny, out, *flags)
        if stop is KeyboardInterrupt:
            assert str(stopped.value) == f"stopped after step {step + 1} of {end.step}; go on with --resume {out}"
            assert load(out).step == step + 1
    assert not (out / "report.json").exists()
    assert train.main(["--resume", str(out), "--quiet"]) == 0
    assert outcome(out) == outcome(whole)
    ends = [{name: value for name, value in report(folder).items() if name not in TIMES} for folder in (out, whole)]
    assert ends[0] == ends[1]


def test_every_model_is_stopped_and_resumed(competitor_run, tiny, tmp_path, monkeypatch, no_picture):
    """And has its own defaults, unless a flag beside --model wins."""
    model, out = competitor_run.name, tmp_path / "run"
    config = load(competitor_run).config
    assert (config.model, config.loss) == (model, MODELS[model].get("loss", "point"))
    with monkeypatch.context() as patch:
        at_step(patch, 7, press_ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            run_train(tiny, out, "--model", model, "--backend", "numpy")
    assert load(out).step == 8
    train.main(["--resume", str(out), "--quiet"])
    assert outcome(out) == outcome(competitor_run)
    assert report(out)["config"]["model"] == model


@pytest.mark.parametrize("when", ["while it scores", "in the last step", "when it is done"])
def test_other_moments_to_stop(when, trained_run, tiny, tmp_path, monkeypatch, no_picture):
    out, steps = tmp_path / "run", load(trained_run).step
    if when == "when it is done":
        run_train(tiny, out)
    else:
        with monkeypatch.context() as patch:
            if when == "in the last step":
                at_step(patch, steps - 1, press_ctrl_c)
            else:
                score = training.score
                patch.setattr(training, "score", lambda *arguments: press_ctrl_c() or score(*arguments))
            with pytest.raises(KeyboardInterrupt, match="go on with --resume"):
                run_train(tiny, out)
    assert train.main(["--resume", str(out), "--quiet"]) == 0
    assert outcome(out) == outcome(trained_run)


def test_dropout_and_clipping_go_on_as_well(tiny, tmp_path, monkeypatch, no_picture):
    flags = ["--dropout", "0.3", "--clip", "0.5", "--negatives", "3", "--loss", "pair", "--ranking", "deep"]
    whole = run_train(tiny, tmp_path / "whole", *flags)
    with monkeypatch.context() as patch:
        at_step(patch, 7, press_ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            run_train(tiny, tmp_path / "run", *flags)
    train.main(["--resume", str(tmp_path / "run"), "--quiet"])
    assert outcome(tmp_path / "run") == outcome(whole)


def rows_written(out):
    """How many scorings the run in a folder has noted."""
    metrics = out / "metrics.csv"
    return max(len(metrics.read_text().splitlines()) - 1, 0) if metrics.exists() else 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_from_outside(number, tiny, tmp_path, no_picture):
    """By Ctrl-C, or by a scheduler."""
    out = tmp_path / "run"
    flags = ["--data", tiny, "--out", out, "--width", 8, "--spaces", 2, *SHORT, "--quiet"]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    running = subprocess.Popen(command_line("train", *flags), env=environment(), **pipes)
    while running.poll() is None and not rows_written(out):
        time.sleep(0.01)
    running.send_signal(number)
    stdout, stderr = running.communicate()
    assert re.search(rf"(^|\n)stopped after step \d+ of \d+; go on with --resume {re.escape(str(out))}\n$", stderr)
    assert (running.returncode, stdout) == (130, "")
    assert 0 < load(out).step < 201
    train.main(["--resume", str(out), "--quiet"])
    assert outcome(out) == outcome(run_train(tiny, tmp_path / "whole", *SHORT))


DIES_WRITING = """
import os, signal, sys
from atrank_np import train
from atrank_np.runs import files

saved, fsync = [], os.fsync

def fsync_or_die(number):
    saved.append(number)
    if len(saved) == 4:  # config.json; model.npz and metrics.csv; model.npz
        os.ftruncate(number, os.fstat(number).st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(number)

files.os.fsync = fsync_or_die
train.main(sys.argv[1:])
"""


def test_killed_while_it_writes_a_checkpoint(trained_run, tiny, tmp_path, no_picture):
    """Half of the second checkpoint is on disk; the first one is what is there."""
    out = tmp_path / "run"
    flags = ["--width", "8", "--spaces", "2", "--epochs", "2", "--evaluations", "3", "--batch-size", "8", "--quiet"]
    script = [sys.executable, "-c", DIES_WRITING, "--data", str(tiny), "--out", str(out), *flags]
    assert subprocess.run(script, env=environment()).returncode == -signal.SIGKILL
    assert (out / "model.npz.part").exists()
    assert 0 < load(out).step < load(trained_run).step
    train.main(["--resume", str(out), "--quiet"])
    assert outcome(out) == outcome(trained_run)
    assert not (out / "model.npz.part").exists()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_killed_again_and_again(backend, tiny, tmp_path, no_picture):
    """kill -9 six times, each at a random moment of the time that one to three checkpoints take, then on to the end."""
    flags, out, rng = [*LONG, "--backend", backend, "--evaluations", "50"], tmp_path / "run", random.Random(0)
    whole = run_train(tiny, tmp_path / "whole", *flags)
    start = ["--data", tiny, "--out", out, "--width", 8, "--spaces", 2, *flags]
    for kills in range(6):
        arguments, before = ["--resume", out] if kills else start, rows_written(out)
        pipes = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        running = subprocess.Popen(command_line("train", *arguments, "--quiet"), env=environment(), **pipes)
        while running.poll() is None and rows_written(out) <= before:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.03))
        running.kill()
        assert running.wait() == -signal.SIGKILL
    assert not (out / "report.json").exists()
    train.main(["--resume", str(out), "--quiet"])
    assert outcome(out) == outcome(whole)


def test_resume_refuses_other_choices(trained_run, tmp_path):
    for flag in ("--epochs 10", "--no-item-bias", "--backend numpy", "--out x", "--batch-size 8", "--paper"):
        with pytest.raises(DataError, match="^`resume`: goes on with the settings of the run; "):
            train.main(["--resume", str(trained_run), *flag.split()])
    with pytest.raises(DataError, match="nowhere: no such run; train one with"):
        train.main(["--resume", str(tmp_path / "nowhere")])
    with pytest.raises(DataError, match="^`threads` must be at least 1, not 0$"):
        train.main(["--resume", str(trained_run), "--threads", "0"])


def test_fit_goes_on_with_the_runs_own_settings(trained_run, tiny, tmp_path):
    log, resume = read_log(tiny), load(trained_run)
    for settings in ({"epochs": 3}, {"model": "bpr_mf"}, {"config": Config()}):
        with pytest.raises(DataError, match="^resume: goes on with the settings of the run, which cannot be chosen again$"):
            training.fit(log, resume=resume, **settings)
    run = training.fit(log, resume=resume, out=tmp_path / "new" / "folder", threads=1)  # which is made
    assert run.report["config"] == resume.config.to_dict() | {"threads": 1}
    assert run.report["test_auc"] == report(trained_run)["test_auc"]
    assert (tmp_path / "new" / "folder" / "model.npz").exists()


def test_resume_with_data_that_have_moved_or_changed(trained_run, tiny, tmp_path, no_picture):
    out, moved = shutil.copytree(trained_run, tmp_path / "run"), shutil.copytree(tiny, tmp_path / "moved")
    train.main(["--resume", str(out), "--data", str(moved), "--quiet"])
    assert outcome(out) == outcome(trained_run)
    with (moved / "events.csv").open("a") as file:
        file.write("u3,items,click,i1,5000\n")
    with pytest.raises(DataError, match=f"^{moved}: not the data that {out} was trained on"):
        train.main(["--resume", str(out), "--data", str(moved)])
