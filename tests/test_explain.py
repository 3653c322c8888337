"""The command explain."""

import csv
import re
import shutil

import numpy as np
import pytest
from runs import assert_fault, process, run_train
from small_models import WORDS, a_model_of_two_groups, data_of, longest

from atrank_np import evaluate, explain, recommend, train
from atrank_np.datasets.reading import read_log
from atrank_np.errors import DataError
from atrank_np.evaluation import attention
from atrank_np.evaluation.plots import DAY
from atrank_np.evaluation.ranking import first_choices
from atrank_np.runs.checkpoint import load
from atrank_np.text import folder_name


def test_table_4_of_some_samples(trained_run, opened, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(explain, "attention_by_elapsed", lambda trained, log, most, **others: asked.append(most) or [])
    for draw in ("draw_self_attention", "draw_vanilla_attention", "write_page"):
        monkeypatch.setattr(explain, draw, lambda *_: None)
    for samples in ("7", "0"):
        explain.main([str(trained_run), "--user", longest(opened[1]), "--out", str(tmp_path), "--samples", samples])
    assert asked == [7, None]


def test_the_command_writes_pictures_and_numbers(trained_run, opened, tmp_path, capsys):
    assert explain.main([str(trained_run), "--user", longest(opened[1]), "--out", str(tmp_path)]) == 0
    assert "Table 4" in capsys.readouterr().out
    names = {"self_attention.png", "vanilla_attention.png", "self_attention.csv", "vanilla_attention.csv"}
    names |= {"attention_by_elapsed.csv", "nearest.csv", "arrays.npz", "explore.html"}
    assert names == {path.name for path in tmp_path.iterdir()}
    targets, (_, *rows) = data_of(tmp_path / "explore.html")["targets"], csv.reader((tmp_path / "vanilla_attention.csv").open())
    scores = [target["score"] for target in targets]
    assert len(targets) == attention.TARGETS and scores == sorted(scores, reverse=True)
    trained, log = opened
    effect = attention.left_out(trained, attention.look_inside(trained, log, longest(log)).batch)[:, 0]
    np.testing.assert_allclose([float(row[-1]) for row in rows], effect, atol=1e-7)
    rows = list(csv.reader((tmp_path / "self_attention.csv").open()))[1:]
    np.testing.assert_allclose([sum(map(float, row[2:])) for row in rows], 1, rtol=1e-5)


def test_a_model_for_top_n_is_explained_and_goes_on(tiny, tmp_path, no_picture):
    """All that reads a run reads one with a pool: the other commands, and a warm start with fewer epochs."""
    out = run_train(tiny, tmp_path / "run", "--for", "top-n", "--batch-size", "34", "--pool", "5")
    user = longest(read_log(tiny))
    assert explain.main([str(out), "--user", user, "--out", str(tmp_path / "pictures")]) == 0
    assert recommend.main([str(out), "--user", user]) == evaluate.main([str(out), "--full"]) == 0
    assert train.main(["--warm-start", str(out), "--epochs", "1", "--out", str(tmp_path / "more"), "--quiet"]) == 0


def test_the_command_means_what_it_is_asked(tmp_path, monkeypatch, capsys):
    """A group, a time, a target and a tick: every target of the page, the picture and the line of what matters most."""
    trained, log = a_model_of_two_groups(tmp_path)
    monkeypatch.setattr(explain, "open_run", lambda *_: (trained, log, None))
    drawn = []
    monkeypatch.setattr(explain, "draw_vanilla_attention", lambda _, inside, effect, tick: drawn.append((inside, effect, tick)))
    at = int(log.time.max())
    flags = ["run", "--user", "u", "--group", "queries", "--target", "q2", "--at", str(at), "--tick", "3600"]
    assert explain.main([*flags, "--out", str(tmp_path / "out")]) == 0
    data, out = data_of(tmp_path / "out" / "explore.html"), capsys.readouterr().out
    best = first_choices(trained, log, "u", 10, "queries", at)
    names = ["q2", *(name for name in best if name != "q2")]
    looks = [attention.look_inside(trained, log, "u", name, at, "queries") for name in names]
    effects = [attention.left_out(trained, look.batch)[:, 0] for look in looks]
    assert [target["name"] for target in data["targets"]] == [f"queries: {name}, {WORDS[name]}" for name in names]
    assert len(names) > 2 and np.abs(effects[0] - effects[1]).max() > 1e-3
    for target, look, effect in zip(data["targets"], looks, effects):
        np.testing.assert_allclose(target["effect"], effect, rtol=2e-3, atol=1e-6)
        np.testing.assert_allclose(target["vanilla"], look.vanilla_attention, rtol=1e-3)
    assert [row["age"] for row in data["behaviours"]] == [f"{(at - time) * 3600 // DAY} d" for time in log.time[:-1]]
    ((inside, effect, tick),) = drawn
    assert (inside.target, tick) == ("q2", 3600.0)
    np.testing.assert_allclose(effect, effects[0], rtol=2e-3, atol=1e-6)
    most = np.argsort(-np.abs(effects[0]), kind="stable")[:3]
    assert [int(part.split()[0]) for part in re.search("without a behaviour: (.*)", out)[1].split("; ")] == [i + 1 for i in most]


def test_a_model_without_self_attention_is_one_line(competitor_run):
    fault = f"{competitor_run}: explain draws self-attention, and {load(competitor_run).config.model} has none"
    with pytest.raises(DataError) as raised:
        explain.main([str(competitor_run), "--user", "u1"])
    assert str(raised.value) == fault
    if competitor_run.name == "cnn":  # one process says it for all
        assert_fault(process("explain", competitor_run, "--user", "u1"), fault)
    assert not (competitor_run / "explain").exists()


def test_a_variant_without_self_attention(tiny, tmp_path):
    run = run_train(tiny, tmp_path / "run", "--variant", "no_self_attention")
    with pytest.raises(DataError, match="explain draws self-attention, and no_self_attention has none$"):
        explain.main([str(run), "--user", "u1"])


def test_wrong_names_are_one_line(trained_run):
    result = process("explain", trained_run, "--user", "nobody")
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    result = process("explain", trained_run, "--user", "u1", "--target", "nothing")
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1


def test_what_cannot_be_drawn_is_one_line(trained_run, opened, tmp_path):
    user, run = longest(opened[1]), str(trained_run)
    faults = {
        "--at 0": f"user {user!r}: no behaviour before the time of ranking, so there is no attention to draw",
        f"--at {2**70}": f"at: expected less than {2**62}, got {2**70}",
        "--tick 0": "--tick: expected seconds above 0 and at most 1e9, got 0.0",
        "--tick 1e10": "--tick: expected seconds above 0 and at most 1e9, got 10000000000.0",
        "--samples -1": "--samples: expected at least 0, got -1",
        "--group nothing": "group 'nothing': expected one that the model ranks: ",
    }
    for flags, fault in faults.items():
        with pytest.raises(DataError) as raised:
            explain.main([run, "--user", user, "--out", str(tmp_path / "out"), *flags.split()])
        assert str(raised.value).startswith(fault) and not (tmp_path / "out").exists()


def test_each_user_has_a_folder(trained_run, tmp_path):
    """Case 19: the page of one is not overwritten by that of another, and no name leads out of the run folder."""
    run = shutil.copytree(trained_run, tmp_path / "run")
    for user in ("u1", "u2"):
        explain.main([str(run), "--user", user, "--samples", "3"])
    assert sorted(path.name for path in (run / "explain").iterdir()) == ["u1", "u2"]
    assert data_of(run / "explain" / "u1" / "explore.html")["user"] == "u1"
    assert [folder_name(name) for name in ("..", "a/b", "a_b", "名前", "x" * 99)] == ["%2e%2e", "a%2fb", "a_b", "名前", "x" * 60]
