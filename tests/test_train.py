"""The command train: what a run leaves behind, which bits depend on what, and how it ends when it is stopped or misused."""

import csv
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_same
from runs import assert_fault, command_line, environment, outcome, process, run_train, write_tiny

from atrank_np import cli, optimizer, train, train_flags, training, training_runs
from atrank_np.config import MODELS, Config
from atrank_np.datasets import batches
from atrank_np.datasets.batches import Batches
from atrank_np.datasets.folder import find_data
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.errors import DataError, Diverged
from atrank_np.memory import peak_rss_mb
from atrank_np.metrics import auc
from atrank_np.runs import trained
from atrank_np.runs.checkpoint import load
from atrank_np.runs.folder import COLUMNS

REPORT = (
    *("schema_version", "test_auc", "test_auc_se", "test_auc_by_group", "test_users", "test_rankings", "negatives", "tie_rule"),
    *("popularity_auc", "swapped_history_auc", "in_history_auc", "features_shared_auc", "ceiling_auc", "repeat_share"),
    *("train_samples", "epochs", "seconds", "compile_seconds", "samples_per_second", "peak_rss_mb", "backend", "shards"),
    *("threads", "seed", "eval_seed", "config", "counted"),
)
CINEMA = Path(__file__).parent.parent / "data" / "cinema"
TIMES = ("seconds", "compile_seconds", "samples_per_second", "peak_rss_mb")


def report(out):
    def no_constant(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads((out / "report.json").read_text(), parse_constant=no_constant)


@pytest.fixture
def no_picture(monkeypatch):
    monkeypatch.setattr(training_runs, "draw_curve", lambda *_: None)


# What a run leaves behind


def test_the_run_folder(trained_run, tiny):
    assert sorted(path.name for path in trained_run.iterdir()) == [
        "config.json", "curve.png", "metrics.csv", "model.npz", "report.json", "test_scores.npz"]  # fmt: skip
    assert tuple(report(trained_run)) == REPORT
    assert (trained_run / "curve.png").read_bytes().startswith(b"\x89PNG")
    kept = json.loads((trained_run / "config.json").read_text())
    assert kept["data"] == {"data": str(tiny), "features": None, "history": None, "target": None, "embedding_size": None}
    assert kept["config"] == load(trained_run).config.to_dict() == report(trained_run)["config"]


def test_the_figures_of_a_report(trained_run, tiny):
    figures, parts = report(trained_run), Protocol(read_log(tiny))
    assert figures["schema_version"] == 1
    assert figures["train_samples"] == 2 * len(parts.train.user)  # with their negatives
    assert figures["test_users"] == len(set(parts.test.user.tolist()))
    assert figures["repeat_share"] == parts.repeat_share > 0
    assert figures["ceiling_auc"] is None
    by_group = figures["test_auc_by_group"]
    assert list(by_group) == ["items", "queries"]
    assert sum(own["users"] for own in by_group.values()) == len(parts.test.user)
    mean = sum(own["auc"] * own["users"] for own in by_group.values()) / len(parts.test.user)
    assert figures["test_auc"] == pytest.approx(mean, abs=1e-12)
    assert figures["negatives"] == "1 per positive, uniform over objects that the user never touches"
    assert figures["tie_rule"] == "a tie counts 1/2"
    for name in ("test_auc", "popularity_auc", "swapped_history_auc", "in_history_auc", "features_shared_auc"):
        assert 0 <= figures[name] <= 1
    assert figures["counted"]["events whose object is in no group file"] == 1
    assert all(figures[name] >= 0 for name in TIMES)


def test_the_scores_of_every_ranking(trained_run, tiny):
    """What stands in test_scores.npz gives the report's AUC again, and says what was ranked."""
    figures, parts = report(trained_run), Protocol(read_log(tiny))
    with np.load(trained_run / "test_scores.npz") as file:
        tested = dict(file)
    found = auc(tested["scores"], tested["user"])
    assert (found.mean, found.se) == (figures["test_auc"], figures["test_auc_se"])
    assert found.se != auc(tested["scores"]).se  # some users are ranked in both groups
    task = parts.task
    np.testing.assert_array_equal(tested["candidates"], task.candidates)
    np.testing.assert_array_equal(tested["length"], parts.test.end - parts.test.start)
    assert (tested["user"] == parts.test.user).all() and (tested["group"] == parts.test.group).all()


def test_metrics_csv(trained_run):
    with (trained_run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    figures = report(trained_run)
    steps = -(-figures["train_samples"] // 8)  # in an epoch
    assert [int(row["step"]) for row in rows] == [round(2 * steps * i / 3) for i in (1, 2, 3)]
    assert int(rows[-1]["samples"]) == 2 * figures["train_samples"]
    assert float(rows[-1]["epoch"]) == 2
    assert float(rows[-1]["test_auc"]) == figures["test_auc"]
    assert float(rows[-1]["test_auc_se"]) == figures["test_auc_se"]
    assert float(rows[0]["loss"]) == pytest.approx(np.log(2), abs=0.1)
    last_rate = 0.5 * 0.1 ** ((2 * steps - 1) / (2 * steps))
    assert float(rows[-1]["learning_rate"]) == pytest.approx(last_rate)


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


def test_folders_are_numbered(tiny, tmp_path, monkeypatch, no_picture, capsys):
    monkeypatch.chdir(tmp_path)
    for n in (1, 2):
        train.main(["--data", str(tiny), "--width", "4", "--spaces", "1", "--epochs", "1", "--quiet"])
        assert f"written to runs/tiny-{n}: " in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["tiny-1", "tiny-2"]


def test_data_are_found_by_name(tiny, tmp_path, monkeypatch, no_picture):
    monkeypatch.setenv("ATRANK_DATA", str(tiny.parent))
    monkeypatch.chdir(tmp_path)
    out = run_train("tiny", tmp_path / "run")
    assert json.loads((out / "config.json").read_text())["data"]["data"] == str(tiny)


def test_a_folder_of_that_name_comes_before_the_variables(tmp_path, monkeypatch):
    for folder in (tmp_path / "here" / "tiny", tmp_path / "there" / "tiny"):
        folder.mkdir(parents=True)
    monkeypatch.setenv("ATRANK_DATA", str(tmp_path / "there"))
    monkeypatch.chdir(tmp_path / "here")
    assert find_data("tiny").resolve() == tmp_path / "here" / "tiny"
    assert find_data("tiny/../other") == Path("tiny/../other")


def test_peak_memory_is_in_megabytes():
    """Python with NumPy takes some 30; a machine that has 100,000 does not give them to a test."""
    peak = peak_rss_mb()
    assert peak is None or 10 < peak < 100_000


def test_a_system_that_does_not_tell_its_peak(monkeypatch):
    """Some sandboxes have the file without the line."""
    monkeypatch.setattr(Path, "read_text", lambda *_: "VmRSS:\t 5000 kB\n")
    assert peak_rss_mb() is None or 10 < peak_rss_mb() < 100_000


def test_features_history_and_target(tiny, tmp_path, no_picture):
    flags = ["--features", "category,words", "--history", "items", "--target", "queries,queries", "--embedding-size", "3"]
    trained = load(run_train(tiny, tmp_path / "run", *flags))
    assert [[f.name for f in group.features] for group in trained.schema.groups] == [["category"], ["words"]]
    assert (trained.schema.history, trained.schema.targets) == (("items",), ("queries",))
    assert trained.params["table.words"].shape[1] == 3


def test_only_a_model_with_spaces_divides_its_width():
    assert Config(model="cnn", width=10, spaces=8).width == 10
    with pytest.raises(ValueError, match="^width 10 does not divide into 8 equal spaces$"):
        Config(model="bilstm_attention", width=10, spaces=8)


def test_the_papers_numbers(tiny, tmp_path, no_picture):
    config, tables = {}, {}
    for name, flags in {"paper": ["--batch-size", "32"], "beside": ["--learning-rate", "0.3", "--embedding-size", "5"]}.items():
        trained = load(run_train(tiny, tmp_path / name, "--paper", *flags))
        config[name], tables[name] = trained.config, trained.params["table.words"].shape[1]
    paper = config["paper"]
    assert (paper.learning_rate, paper.decay, paper.l2, paper.batch_size, paper.item_bias) == (1.0, 0.1, 5e-5, 32, False)
    assert (paper.width, paper.spaces, paper.epochs) == (8, 2, 2)  # flags beside --paper win
    assert config["beside"] == replace(paper, learning_rate=0.3, batch_size=8)
    assert tables == {"paper": 64, "beside": 5}
    for flags, loss, l2 in (("--model bpr_mf", "pair", 5e-5), ("--variant activation_l2", "point", 0.0)):  # what defines them
        _, config = train_flags.settings(train_flags.parse(["--paper", *flags.split()]))
        assert (config.loss, config.l2, config.item_bias) == (loss, l2, False)


# Which bits depend on what


def test_the_same_seed_gives_the_same_bits(trained_run, tiny, tmp_path, no_picture):
    again = run_train(tiny, tmp_path / "again")
    assert outcome(again) == outcome(trained_run)
    figures = [{name: value for name, value in report(out).items() if name not in TIMES} for out in (again, trained_run)]
    assert figures[0] == figures[1]


def test_another_seed_gives_other_bits(trained_run, tiny, tmp_path, no_picture):
    other = outcome(run_train(tiny, tmp_path / "other", "--seed", "1"))[0]
    same = {name for name, bits in outcome(trained_run)[0].items() if bits == other[name]}
    assert same == set()


def test_the_evaluation_seed_changes_only_the_test(trained_run, tiny, tmp_path, no_picture):
    other, base = outcome(run_train(tiny, tmp_path / "other", "--eval-seed", "3")), outcome(trained_run)
    assert other[0] == base[0]
    assert other[3] != base[3]


def test_validation_does_not_depend_on_the_test_events(tiny, tmp_path, no_picture):
    changed = shutil.copytree(tiny, tmp_path / "changed")
    header, *events = (changed / "events.csv").read_text().splitlines()
    last = {}
    for i, event in enumerate(events):
        user, group, _, _, when = event.split(",")
        if int(when) >= last.get((user, group), (0, 0))[0]:
            last[user, group] = int(when), i
    for (_, group), (_, i) in last.items():
        user, _, action, _, when = events[i].split(",")
        events[i] = f"{user},{group},{'click' if group == 'items' else action},{group[0]}5,{when}"
    (changed / "events.csv").write_text("\n".join([header, *events]) + "\n")
    # Every event of these groups may be a target, so that the last one of each is a test event.
    runs = []
    for data in (shutil.copytree(tiny, tmp_path / "tiny"), changed):
        schema = data / "schema.toml"
        schema.write_text(schema.read_text().replace('target_actions = ["click", "buy"]\n', ""))
        runs.append(outcome(run_train(data, tmp_path / f"run of {data.name}", "--validate")))
    assert runs[0] == runs[1]


def batches_of(tiny, **settings):
    log, config = read_log(tiny), Config(batch_size=8, **settings)
    return Batches(Protocol(log, config))


def test_an_epoch_has_every_sample_once(tiny):
    batches = batches_of(tiny)
    orders = []
    for epoch in range(2):
        seen = [batches.batch(epoch, i) for i in range(batches.per_epoch)]
        positives = np.concatenate([np.stack([b.target_group, b.target_object])[:, b.label > 0].T for b in seen]).tolist()
        expected = np.stack([batches.train.group, batches.train.object]).T.tolist()
        assert sorted(positives) == sorted(expected)
        assert [len(b.label) for b in seen] == [8] * (len(seen) - 1) + [batches.targets - 8 * (len(seen) - 1)]
        orders.append(positives)
    assert orders[0] != orders[1]


def test_the_negatives_of_a_batch_are_those_of_its_users(tiny):
    """In whatever order the samples come: never what that user touches."""
    log, batches = read_log(tiny), batches_of(tiny, negatives=3)
    users = np.repeat(np.arange(len(log.users)), np.diff(log.offsets))
    touched = set(zip(users.tolist(), log.group.tolist(), log.object.tolist()))
    for i in range(batches.per_epoch):
        batch = batches.batch(1, i)
        user = np.repeat(batch.user - 1, np.diff(batch.target_offsets))
        drawn = [column[batch.label == 0].tolist() for column in (user, batch.target_group, batch.target_object)]
        assert touched.isdisjoint(zip(*drawn))


@pytest.mark.parametrize("together", [1, 8, 512])
def test_a_batch_is_a_function_of_its_place(together, tiny, monkeypatch):
    """However many are packed at a time."""
    anew = batches_of(tiny)
    monkeypatch.setattr(batches, "TOGETHER", together)
    forwards = batches_of(tiny)
    first = [tuple(forwards.batch(epoch, i)) for epoch in range(2) for i in (0, 3)]
    assert_same(first[3], tuple(anew.batch(1, 3)))
    assert_same(first[0], tuple(anew.batch(0, 0)))
    for i in range(anew.per_epoch):
        assert_same(tuple(forwards.batch(0, i)), tuple(anew.batch(0, i)))


@pytest.mark.parametrize("fresh", [True, False])
def test_negatives_afresh_or_once(tiny, fresh):
    batches, drawn = batches_of(tiny, fresh_negatives=fresh, negatives=3), []
    for epoch in range(2):
        batches.batch(epoch, 0)
        drawn.append(batches.drawn)
    assert np.array_equal(*drawn) != fresh
    assert drawn[0].shape == (len(batches.train.user), 3)


def test_test_negatives_depend_on_the_evaluation_seed_alone(tiny):
    log = read_log(tiny)
    drawn = lambda config: Protocol(log, config).task.candidates
    base = drawn(Config())
    same = Config(seed=5, negatives=3, fresh_negatives=False, batch_size=8, cap=3, width=8, loss="pair")
    np.testing.assert_array_equal(drawn(same), base)
    assert (drawn(Config(eval_seed=1)) != base).any()
    assert drawn(Config(eval_negatives=4)).shape == (len(base), 5)


@pytest.mark.parametrize("validate", [False, True])
def test_a_group_is_judged_on_the_same_whatever_else_is_ranked(tiny, validate):
    """One2one, all2one and all2all: the same moments, positives and negatives in the same order, so that they pair."""
    whole, config = read_log(tiny), Config(validate=validate, eval_negatives=2)

    def judged(group, history, targets):
        log = replace(whole, schema=whole.schema.choose(history, targets))
        task = Protocol(log, config).task
        mine = task.samples.group == whole.schema.index(group)
        columns = (task.samples.user[mine], task.samples.time[mine], task.samples.object[mine])
        return [*(column.tolist() for column in columns), task.candidates[mine].tolist()]

    groups = ["items", "queries"]
    for group in groups:
        alone = judged(group, [group], [group])
        assert len(alone[0]) > 5
        assert alone == judged(group, groups, [group]) == judged(group, groups, groups) == judged(group, groups, groups[::-1])


def test_the_cinema(tmp_path, no_picture):
    """The example with explicit negatives, bags of shared words, numbers, and days beside minutes, from end to end."""
    log = read_log(CINEMA)
    films, searches = log.schema.groups
    assert [(f.kind, f.table) for f in films.features][:2] == [("id", "films.object"), ("tokens", "words")]
    assert films.features[3].kind == "number" and (films.unit, searches.unit) == (86400, 60)
    parts = Protocol(log)
    shown = {(u, o) for u in range(20) for o in log.object[log.offsets[u] : log.offsets[u + 1]][
        log.action[log.offsets[u] : log.offsets[u + 1]] == log.actions.index("show")]}  # fmt: skip
    assert log.actions.index("show") not in parts.events.action and len(shown) > 80
    task = parts.task
    drawn = list(zip(task.samples.user.tolist(), task.candidates[:, 1].tolist()))
    assert task.uniform == {"films": 4} and sum(pair in shown for pair in drawn) >= 16
    out = run_train(CINEMA, tmp_path / "run", "--backend", "numpy", "--epochs", "60", "--l2", "0", "--dense-init", "0.2",
                    "--width", "32", "--spaces", "4")  # fmt: skip
    assert report(out)["counted"]["training negatives among films uniform, for want of shown ones"] == 7
    assert "of films, first those that the user was shown and never took (4 are uniform, as" in report(out)["negatives"]
    losses = [float(row["loss"]) for row in csv.DictReader((out / "metrics.csv").open())]
    assert losses[-1] < 0.25 < 0.5 < losses[0]


# A stopped run goes on to the same bits

SHORT = ["--epochs", "3", "--batch-size", "2", "--evaluations", "20"]  # 201 steps
LONG = ["--epochs", "16", "--batch-size", "2", "--evaluations", "4"]  # 1,072 steps: a fold of the tables' scale is in them


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


def at_step(monkeypatch, step, act):
    """`act` is called in the middle of the run, before training step number `step`."""
    make = trained.make_backend

    def make_and_watch(*arguments):
        backend = make(*arguments)
        train_step = backend.train_step

        def watched(batch, rate):
            if backend.step == step:
                act()
            return train_step(batch, rate)

        backend.train_step = watched
        return backend

    monkeypatch.setattr(trained, "make_backend", make_and_watch)


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def killed():
    raise Killed


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_stopped_and_resumed(backend, tiny, tmp_path, monkeypatch, no_picture):
    """Twice by Ctrl-C, before and after the fold of the tables' scale, once killed between two checkpoints."""
    flags, fold = [*LONG, "--backend", backend], 1000
    if backend == "numpy":  # slower: fold sooner
        flags, fold = SHORT, 100
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


def test_a_flag_beside_the_model_wins(tiny, tmp_path, no_picture):
    flags = ["--model", "bpr_mf", "--backend", "numpy", "--epochs", "1"]
    assert load(run_train(tiny, tmp_path / "run", *flags, "--loss", "point")).config.loss == "point"


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


def test_ctrl_c_in_a_process(tiny, tmp_path, no_picture):
    out = tmp_path / "run"
    flags = ["--data", tiny, "--out", out, "--width", 8, "--spaces", 2, *SHORT]
    running = subprocess.Popen(command_line("train", *flags), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=environment())  # fmt: skip
    while running.poll() is None and not rows_written(out):
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    stdout, stderr = running.communicate()
    assert re.fullmatch(rf"stopped after step \d+ of \d+; go on with --resume {re.escape(str(out))}\n", stderr)
    assert (running.returncode, stdout) == (130, "")
    assert 0 < load(out).step < 201
    train.main(["--resume", str(out), "--quiet"])
    assert outcome(out) == outcome(run_train(tiny, tmp_path / "whole", *SHORT))


DIES_WRITING = """
import os, signal, sys
from atrank_np import train
from atrank_np.runs import checkpoint

saved, fsync = [], os.fsync

def fsync_or_die(number):
    saved.append(number)
    if len(saved) == 3:
        os.ftruncate(number, os.fstat(number).st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(number)

checkpoint.os.fsync = fsync_or_die
train.main(sys.argv[1:])
"""


def test_killed_while_it_writes_a_checkpoint(trained_run, tiny, tmp_path, no_picture):
    """Half of the third checkpoint is on disk; the second one is what is there."""
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
        running = subprocess.Popen(command_line("train", *arguments, "--quiet"), stderr=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, env=environment())  # fmt: skip
        while running.poll() is None and rows_written(out) <= before:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.03))
        running.kill()
        assert running.wait() == -signal.SIGKILL
    assert not (out / "report.json").exists()
    train.main(["--resume", str(out), "--quiet"])
    assert outcome(out) == outcome(whole)


def test_the_checkpoint_is_written_anew(tiny, tmp_path, no_picture, monkeypatch):
    """No checkpoint changes the run: one with many scorings ends with the same parameters."""
    often = outcome(run_train(tiny, tmp_path / "often", "--evaluations", "20"))
    seldom = outcome(run_train(tiny, tmp_path / "seldom", "--evaluations", "1"))
    assert (often[:3], len(often[3]), len(seldom[3])) == (seldom[:3], 20, 1)


# How it ends when it is misused


def test_a_diverging_run(tiny, tmp_path):
    out = tmp_path / "run"
    flags = ["--epochs", 4, "--width", 8, "--spaces", 2, "--batch-size", 8, "--learning-rate", 1e18, "--l2", 0, "--quiet"]
    result = process("train", "--data", tiny, "--out", out, *flags)
    (line,) = result.stderr.splitlines()
    assert (result.returncode, result.stdout) == (3, "")
    advice = rf"try a lower --learning-rate, or --clip 1; the last good model is kept in {re.escape(str(out))}"
    assert re.fullmatch(rf"error: the loss is NaN or infinite at step \d+: {advice}", line)
    kept = load(out)
    assert all(np.isfinite(w).all() for w in kept.unscaled_parameters().values())
    assert not (out / "report.json").exists()


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
    with pytest.raises(Diverged, match="the loss is NaN or infinite at step 18: .* is kept in"):
        run_train(tiny, tmp_path / "run", "--evaluations", "5", "--backend", backend)
    kept = load(tmp_path / "run")
    assert (kept.step, len(kept.state.rows)) == (14, 2)  # of 34 steps, scored after 7, 14, 20, 27 and 34
    assert all(np.isfinite(w).all() for w in kept.params.values())


FAULTS = {
    "--epochs x": "argument --epochs: invalid int value: 'x' (see python -m atrank_np.train --help)",
    "--epochs 0": "epochs must be at least 1, not 0",
    "--nonsense": "unrecognized arguments: --nonsense (see python -m atrank_np.train --help)",
    "--model gru": "argument --model: invalid choice: 'gru'",
    "--model bpr_mf --ranking deep": "bpr_mf ranks by the product of user and object: ranking must be 'dot'",
    "--ranking cosine": "argument --ranking: invalid choice: 'cosine'",
    "--width 10 --spaces 3": "width 10 does not divide into 3 equal spaces",
    "--batch-size 7": "batch_size 7 must be a multiple of 2: a positive and its negatives",
    "--dropout 1": "dropout must be in [0, 1), not 1.0",
    "--learning-rate nan": "learning_rate must be a number of at least 0, not nan",
    "--l2 0.2": "the highest learning rate times l2 must be below 0.05, not 0.1: a step takes that share of a weight away",
    "--decay 0": "decay must be above 0, not 0.0",
    "--seed -1": "argument --seed: expected at least 0, got -1 (see python -m atrank_np.train --help)",
    "--eval-seed -1": "argument --eval-seed: expected at least 0, got -1 (see python -m atrank_np.train --help)",
    "--cap 0": "cap must be at least 1, not 0",
    f"--shards {10**24}": f"shards must be below 2^31, not {10**24}",
    f"--batch-size {2**31}": f"batch_size must be below 2^31, not {2**31}",
    "--embedding-size 0": "--embedding-size: expected at least 1, got 0",
    "--features color": "--features: expected features among object, category, price, words, got 'color'",
    "--history shops": "--history and --target: expected groups among items, queries, got 'shops'",
    "--target": "argument --target: expected one argument (see python -m atrank_np.train --help)",
}


@pytest.mark.parametrize("flags", FAULTS)
def test_faulty_flags(flags, tiny, tmp_path):
    with pytest.raises(DataError) as fault:
        train.main(["--data", str(tiny), "--out", str(tmp_path / "run"), *flags.split()])
    assert str(fault.value).startswith(FAULTS[flags])
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_is_one_line(tiny, tmp_path, monkeypatch, capsys):
    """And leaves no folder."""
    monkeypatch.setattr(trained, "make_backend", lambda *_: np.empty(2**59))  # 4 exabytes
    monkeypatch.setattr(sys, "argv", ["train", "--data", str(tiny), "--out", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as ended:
        cli.run(train.main)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and error.startswith("error: not enough memory: Unable to allocate ")
    assert error.count("\n") == 1 and list(tmp_path.iterdir()) == []


def test_an_evaluation_at_each_step_at_most(tiny, tmp_path):
    run = run_train(tiny, tmp_path / "run", "--backend", "numpy", "--epochs", "1", "--evaluations", str(2**31 - 1))
    steps = [row[0] for row in load(run).state.rows]
    assert steps == list(range(1, len(steps) + 1)) and steps[-1] == load(run).step


def test_faults_are_one_line(tiny, tmp_path):
    assert_fault(process("train", "--data", tmp_path / "nowhere"),
                 f"{tmp_path}/nowhere: expected a folder with events.csv, found none")  # fmt: skip
    assert_fault(process("train", "--data", tiny, "--epochs", "x"),
                 "argument --epochs: invalid int value: 'x' (see python -m atrank_np.train --help)")  # fmt: skip
    (tmp_path / "file").write_text("")
    assert_fault(process("train", "--data", tiny, "--out", tmp_path / "file" / "run"), f"{tmp_path}/file/run: Not a directory")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("end", ["too few events", "every object", "Ctrl-C"])
def test_a_run_that_never_starts_leaves_nothing(end, tiny, tmp_path, monkeypatch):
    data, out = write_tiny(tmp_path / "data"), tmp_path / "runs" / "run"
    text = (data / "events.csv").read_text()
    if end == "too few events":
        text, wanted, message = "user,group,action,object,time\nu,items,click,i1,5\n", DataError, "no user has enough"
        (data / "schema.toml").write_text((data / "schema.toml").read_text().replace(', "buy"', ""))
    elif end == "every object":
        text += "".join(f"u1,queries,search,q{i},9000\n" for i in range(8))
        wanted, message = DataError, "user 'u1' acts on every object of queries: no negative is left"
    else:
        wanted, message = KeyboardInterrupt, "^$"
        monkeypatch.setattr(training, "Protocol", lambda *_: press_ctrl_c())
    (data / "events.csv").write_text(text)
    with pytest.raises(wanted, match=message):
        run_train(data, out)
    assert not out.exists()


def test_a_folder_of_someone_else_is_kept(tiny, tmp_path, monkeypatch):
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.setattr(training, "Protocol", lambda *_: killed())
    with pytest.raises(Killed):
        run_train(tiny, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["config.json", "report.json"])
def test_a_file_of_someone_else_is_not_overwritten(name, tiny, tmp_path):
    (tmp_path / name).write_text("mine")
    with pytest.raises(DataError, match=f"^{tmp_path}/{name}: exists, and is not of this run; choose another --out, or remove"):
        run_train(tiny, tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]


def test_a_folder_with_a_run_is_not_overwritten(trained_run, tiny):
    before = {path: path.read_bytes() for path in trained_run.iterdir()}
    with pytest.raises(DataError, match=f"^{trained_run}: holds a run already; go on with --resume {trained_run}, or choose"):
        run_train(tiny, trained_run)
    assert {path: path.read_bytes() for path in trained_run.iterdir()} == before


def test_fit_does_not_overwrite_a_run(trained_run, tiny):
    before = {path: path.read_bytes() for path in trained_run.iterdir()}
    with pytest.raises(DataError, match="holds a run already"):
        training.fit(read_log(tiny), epochs=1, out=trained_run)
    assert {path: path.read_bytes() for path in trained_run.iterdir()} == before


def test_a_resumed_run_does_not_overwrite_another(trained_run, tiny, tmp_path):
    """fit, for a folder that it made itself: no command goes on with that."""
    log, held = read_log(tiny), load(trained_run)
    training.fit(log, epochs=1, seed=5, backend="numpy", out=tmp_path)
    before = (tmp_path / "model.npz").read_bytes()
    with pytest.raises(DataError, match=f"^{tmp_path}: holds a run already; choose another --out$"):
        training.fit(log, resume=held, out=tmp_path)
    assert (tmp_path / "model.npz").read_bytes() == before


def test_settings_that_no_run_can_have():
    assert Config(epochs=np.int32(3), clip=np.float32(1)) == Config(epochs=3, clip=1.0)
    assert json.loads(json.dumps(Config(seed=np.int64(3)).to_dict()))["seed"] == 3
    for name, value, what in (("epochs", 2.5, "whole number"), ("seed", "1", "whole number"), ("l2", "small", "number")):
        with pytest.raises(ValueError, match=f"^{name} must be a {what}, not {value!r}$"):
            Config(**{name: value})
    with pytest.raises(ValueError, match="^the highest learning rate times l2 must be below 0.05, not 0.09"):
        Config(learning_rate=0.01, decay=9, l2=1)


def test_resume_refuses_other_choices(trained_run, tmp_path):
    for flag in ("--epochs 10", "--no-item-bias", "--backend numpy", "--out x", "--batch-size 8", "--paper"):
        with pytest.raises(DataError, match="^--resume: goes on with the settings of the run; "):
            train.main(["--resume", str(trained_run), *flag.split()])
    with pytest.raises(DataError, match="nowhere: no such model; train one with"):
        train.main(["--resume", str(tmp_path / "nowhere")])
    with pytest.raises(DataError, match="^threads must be at least 1, not 0$"):
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


def test_fit_takes_the_models_own_defaults(tiny):
    small = dict(width=4, spaces=1, epochs=1, evaluations=1, batch_size=8, backend="numpy")
    for model in ("bpr_mf", "cnn"):
        config = training.fit(read_log(tiny), model=model, **small).trained.config
        assert config == Config(**{"model": model} | MODELS[model] | small)
    assert training.fit(read_log(tiny), variant="activation_l2", **small).trained.config.l2 == 0


def test_a_model_that_there_is_not(tiny):
    for settings in ({"model": "gru"}, {"variant": "small"}):
        with pytest.raises(ValueError, match=f"^{next(iter(settings))} must be one of "):
            training.fit(read_log(tiny), **settings)


def test_why_nothing_is_left_to_train_on(tmp_path):
    """Ids that are written otherwise in the objects' file."""
    (tmp_path / "events.csv").write_text("user,object,time\n" + "".join(f"u,0{i},{i}\n" for i in range(5)))
    (tmp_path / "items.csv").write_text("object\n" + "".join(f"{i}\n" for i in range(9)))
    with pytest.raises(DataError, match="no user has enough .*; 5 events whose object is in no group file; .* no file of items"):
        training.fit(read_log(tmp_path))


def test_help_tells_no_default_of_a_switch(capsys):
    with pytest.raises(SystemExit):
        train.main(["--help"])
    text = capsys.readouterr().out
    assert "(default: 20)" in text and "(default: True)" not in text and "(default: )" not in text


def test_resume_with_data_that_have_moved_or_changed(trained_run, tiny, tmp_path, no_picture):
    out, moved = shutil.copytree(trained_run, tmp_path / "run"), shutil.copytree(tiny, tmp_path / "moved")
    train.main(["--resume", str(out), "--data", str(moved), "--quiet"])
    assert outcome(out) == outcome(trained_run)
    with (moved / "events.csv").open("a") as file:
        file.write("u3,items,click,i1,5000\n")
    with pytest.raises(DataError, match=f"^{moved}: not the data that {out} was trained on"):
        train.main(["--resume", str(out), "--data", str(moved)])


# Around the commands


def test_output_that_nobody_reads(tiny, tmp_path, trained_run):
    """`| head -1`, also with an output that waits in the buffer until the end."""
    for arguments in (["recommend", trained_run, "--user", "u1"], ["train", "--help"], ["evaluate", trained_run, "--json"]):
        reader, writer = os.pipe()
        os.close(reader)
        result = subprocess.run(command_line(*arguments), stdout=writer, stderr=subprocess.PIPE, text=True, env=environment())
        os.close(writer)
        assert (result.returncode, result.stderr) == (0, "")


def test_no_output_at_all(tiny, trained_run):
    """Standard output may be closed, or know fewer letters than a table has."""
    ended = subprocess.run(f"{shlex.join(command_line('departures'))} >&-", shell=True, capture_output=True, env=environment())
    assert (ended.returncode, ended.stderr) == (0, b"")
    ascii_only = environment() | {"PYTHONIOENCODING": "ascii"}
    shown = subprocess.run(command_line("datasets.stats", tiny), capture_output=True, text=True, env=ascii_only)
    assert shown.returncode == 0 and ", ?)" in shown.stdout


def test_no_progress_bar_without_a_terminal(tiny, tmp_path):
    flags = ["--width", 8, "--spaces", 2, "--epochs", 1, "--out", tmp_path / "run"]
    result = process("train", "--data", tiny, *flags)
    assert (result.returncode, result.stderr) == (0, "")
    assert re.match(r"test AUC 0\.\d{4} ± 0\.\d{4} \(1 s\.e\., \d+ positives of \d+ users, negatives: 1 per ", result.stdout)
    assert result.stdout.count("\n") == 8


IMPORTS = """
import sys
try:
    {}
except SystemExit as end:
    assert end.code == 0
print([name for name in ("numba", "matplotlib", "scipy") if name in sys.modules])
"""


@pytest.mark.parametrize("what", ["train", "evaluate", "recommend", "package"])
def test_what_is_imported(what):
    """Neither the package nor --help loads what only a run needs."""
    code = "import atrank_np" if what == "package" else f"from atrank_np.{what} import main; main(['--help'])"
    result = subprocess.run([sys.executable, "-c", IMPORTS.format(code)], capture_output=True, text=True, env=environment())
    assert result.stdout.splitlines()[-1] == "[]", result.stderr


BLAS = """
import ctypes, pathlib, atrank_np.train, numpy
for path in pathlib.Path(numpy.__file__).parent.parent.glob("numpy.libs/*openblas*"):
    print(ctypes.CDLL(path).scipy_openblas_get_num_threads64_())
"""


def test_one_blas_thread():
    """The matrices of a step are small, and the last bits may depend on how many threads share a product."""
    free = {name: value for name, value in environment().items() if name != "OPENBLAS_NUM_THREADS"}
    result = subprocess.run([sys.executable, "-c", BLAS], capture_output=True, text=True, env=free)
    if not result.stdout:
        pytest.skip("numpy has another BLAS here")
    assert result.stdout == "1\n"
