"""The folder of a run: what it holds, and when it is refused, kept or removed."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from runs import (
    TIMES,
    Killed,
    killed,
    press_ctrl_c,
    report,
    run_train,
    write_tiny,
)

from atrank_np import train, training
from atrank_np.datasets.folder import DataSource, find_data
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.errors import DataError
from atrank_np.metrics import auc
from atrank_np.runs.checkpoint import load
from atrank_np.runs.folder import FILES
from atrank_np.runs.trained import COLUMNS

REPORT = (
    *("schema_version", "test_auc", "test_auc_se", "test_auc_by_group", "test_users", "test_rankings", "negatives", "tie_rule"),
    *("popularity_auc", "swapped_history_auc", "history_share", "in_history_auc", "features_shared_auc", "ceiling_auc"),
    "repeat_share",
    *("train_samples", "epochs", "seconds", "compile_seconds", "samples_per_second", "peak_rss_mb", "backend", "shards"),
    *("threads", "seed", "eval_seed", "config", "counted"),
)


def test_the_run_folder(trained_run, tiny):
    names = {"config.json", "curve.png", "metrics.csv", "model.npz", "report.json", "test_scores.npz"}
    assert {path.name for path in trained_run.iterdir()} == names == set(FILES)
    assert tuple(report(trained_run)) == REPORT
    assert (trained_run / "curve.png").read_bytes().startswith(b"\x89PNG")
    kept = json.loads((trained_run / "config.json").read_text())
    assert DataSource(**kept["data"]) == DataSource(str(tiny))
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


@pytest.mark.parametrize("end", ["too few events", "every object", "Ctrl-C"])
def test_a_run_that_never_starts_leaves_nothing(end, tiny, tmp_path, monkeypatch):
    data, out = write_tiny(tmp_path / "data"), tmp_path / "runs" / "run"
    text = (data / "events.csv").read_text()
    if end == "too few events":
        text, wanted, message = "user,group,action,object,time\nu,items,click,i1,5\n", DataError, "no user has a target"
        (data / "schema.toml").write_text((data / "schema.toml").read_text().replace(', "buy"', ""))
    elif end == "every object":
        text += "".join(f"u1,queries,search,q{i},9000\n" for i in range(8))
        wanted, message = DataError, "users .'u1'. act on every object of queries, so no negative is left"
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
    with pytest.raises(DataError, match=f"^{tmp_path}/{name}: exists, but is not from this run; choose another --out, or remove"):
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
