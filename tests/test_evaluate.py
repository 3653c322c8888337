"""The command evaluate, and the controls that stand beside an AUC, by value on tiny logs."""

import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from logs import NEGATIVE, SHOWN, a, b, c, d, e, f, g, one_group, rows, several_groups, write
from runs import assert_fault, process, run_train

from atrank_np import evaluate
from atrank_np.config import Config
from atrank_np.datasets.packing import pack
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.datasets.samples import Samples, Task
from atrank_np.errors import DataError
from atrank_np.evaluation import report, scoring
from atrank_np.evaluation.controls import features_shared, in_history, swapped
from atrank_np.evaluation.ranking import full_ranks
from atrank_np.evaluation.report import auc_by_length, report_of
from atrank_np.evaluation.scoring import score
from atrank_np.metrics import auc
from atrank_np.runs.checkpoint import load


def figures(run, capsys, *flags):
    assert evaluate.main([str(run), "--json", *flags]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_figures_are_those_of_the_report(trained_run, capsys):
    found, report = figures(trained_run, capsys), json.loads((trained_run / "report.json").read_text())
    assert {name: report[name] for name in found} == found
    assert {"test_auc", "test_auc_se", "test_auc_by_group", "swapped_history_auc", "popularity_auc"} <= found.keys()


def test_every_model_is_scored_again(competitor_run, capsys):
    test_the_figures_are_those_of_the_report(competitor_run, capsys)
    assert "hr@10" in figures(competitor_run, capsys, "--full", "--users", "3")


@pytest.mark.parametrize("flags", ["--backend numba", "--validate --eval-negatives 3 --history queries --cap 2"])
def test_other_runs_too(flags, tiny, tmp_path, capsys, no_picture):
    out = run_train(tiny, tmp_path / "run", *flags.split())
    capsys.readouterr()
    report = json.loads((out / "report.json").read_text())
    found = figures(out, capsys)
    assert {name: report[name] for name in found} == found


def test_in_words(trained_run, capsys):
    """An AUC is never printed without its users, its negatives, its rule for ties, its error and its controls."""
    evaluate.main([str(trained_run)])
    first, *others = capsys.readouterr().out.splitlines()
    report = json.loads((trained_run / "report.json").read_text())
    assert first == (
        f"test AUC {report['test_auc']:.4f} ± {report['test_auc_se']:.4f} (1 s.e., {report['test_rankings']} positives of "
        f"{report['test_users']} users, negatives: 1 per positive, uniform over objects that the user never touches; "
        "a tie counts 1/2)"
    )
    assert [line.split()[0] for line in others] == ["items:", "queries:", "warning:", "controls", "popularity"]  # hardly trained


def test_the_other_backend_agrees(trained_run, capsys):
    numpy, numba = (figures(trained_run, capsys, "--backend", name) for name in ("numpy", "numba"))
    assert numba["test_auc"] == pytest.approx(numpy["test_auc"], abs=0.02)  # close scores may change places


def test_ranking_the_whole_catalogue(trained_run, tiny, capsys):
    found = figures(trained_run, capsys, "--full")
    parts = Protocol(read_log(tiny))
    length = parts.test.end - parts.test.start
    assert sum(row["rankings"] for row in found["auc_by_length"]) == found["test_rankings"] == len(length)
    assert found["ranked_users"] == found["test_users"] == len(np.unique(parts.test.user)) < len(length)
    mean = sum(row["rankings"] * row["auc"] for row in found["auc_by_length"]) / len(length)
    assert mean == pytest.approx(found["test_auc"], abs=1e-12)
    assert 0 <= found["ndcg@10"] <= found["hr@10"] <= 1
    assert figures(trained_run, capsys, "--full", "--users", "5")["ranked_users"] == 5
    several = figures(trained_run, capsys, "--full", "--at", "1,10")
    assert several["hr@10"] == found["hr@10"] and several["mrr"] == found["mrr"] and 0 <= several["hr@1"] <= several["mrr"]
    evaluate.main([str(trained_run), "--full", "--at", "3"])
    assert re.search(r"users: HR@3 0\.\d{4}, NDCG@3 0\.\d{4}, MRR 0\.\d{4}$", capsys.readouterr().out, re.M)


def test_what_the_user_had_before_the_cap_is_not_ranked(tmp_path):
    """u had a, b and c before d; the model sees c alone. All three would stand before d."""
    log = one_group(tmp_path, "u a 1,u b 2,u c 3,u d 4")
    parts = Protocol(log, Config(cap=1))
    scores = np.array([0.0, 3, 3, 3, 2, 1, 1, 1])
    backend = SimpleNamespace(catalogue_scores=lambda batch, group: scores[None].copy())
    assert full_ranks(backend, parts, parts.test).tolist() == [0]


def test_a_repeat_is_ranked_among_what_he_had(tmp_path):
    """Where the schema keeps repeated targets, recommend shows the objects of the history too."""
    log = one_group(tmp_path, "u a 1,u b 2,u a 3", "target_repeats = 'keep'")
    parts = Protocol(log)
    backend = SimpleNamespace(catalogue_scores=lambda batch, group: np.array([[0.0, 1, 2, 0, 0, 0, 0, 0]]))
    assert full_ranks(backend, parts, parts.test).tolist() == [1]  # after b


def test_a_constant_score_ranks_in_the_middle(tmp_path):
    """c, d, e, f, g tie with the positive b; a was there before."""
    log = one_group(tmp_path, "u a 1,u b 2")
    parts = Protocol(log)
    backend = SimpleNamespace(catalogue_scores=lambda batch, group: np.ones((1, 8)))
    assert full_ranks(backend, parts, parts.test).tolist() == [2.5]


def test_an_object_of_another_group_is_ranked(tmp_path):
    """u searched for query c; item c is new to this user, and stands before b."""
    log = several_groups(tmp_path, "u q c 1,u i a 2,u i b 3", "targets = ['items']")
    parts = Protocol(log)
    backend = SimpleNamespace(catalogue_scores=lambda batch, group: np.array([[0.0, 9, 1, 5, 0, 0, 0, 0]]))
    assert full_ranks(backend, parts, parts.test).tolist() == [1]


def test_how_many_are_scored_at_a_time_changes_nothing(tmp_path, monkeypatch):
    log = one_group(tmp_path, EVENTS)
    parts = Protocol(log)
    task = Task(parts.test, np.array([[c, d], [f, a], [b, c]], np.int32))
    for size in (1, 2, 3, 256):
        monkeypatch.setattr(scoring, "HISTORIES", size)
        assert score(ByObject(), parts, task).tolist() == task.candidates.tolist()


# The controls


EVENTS = "u a 1,u b 2,u c 3,v d 5,v e 7,v f 9,w g 20,w a 24,w b 27"


def test_negatives_that_were_shown_are_told(tmp_path):
    log = one_group(tmp_path, SHOWN, NEGATIVE)
    parts = Protocol(log, Config(eval_negatives=2))
    task = parts.task
    assert task.candidates[:, 0].tolist() == [g, c, c]
    assert task.candidates[0, 1] == f and sorted(task.candidates[2, 1:].tolist()) == [e, f]
    scores = score(ByObject(), parts, task)
    assert report_of(ByObject(), parts, task, scores)["negatives"] == (
        "2 per positive, uniform over objects that the user never touches; of items, first those that the user was shown and "
        "never took (3 are not, as too few were shown)"
    )
    other = Protocol(log, Config(eval_negatives=2, eval_seed=1, seed=9)).task
    assert other.candidates[0, 1] == f and not np.array_equal(other.candidates, task.candidates)


def test_swapped_histories(tmp_path):
    """u is ranked with v's history and as v, v as w, w as u: the same candidates, and the history's own elapsed times."""
    log = one_group(tmp_path, EVENTS)
    parts = Protocol(log)
    assert rows(parts.test) == [(0, 0, 2, 3, 0, c), (1, 3, 5, 9, 0, f), (2, 6, 8, 27, 0, b)]
    other = swapped(parts.test)
    assert rows(other) == [(1, 3, 5, 9, 0, c), (2, 6, 8, 27, 0, f), (0, 0, 2, 3, 0, b)]
    candidates = np.array([[c, d], [f, a], [b, c]], np.int32)
    batch, own = (pack(log.schema, parts.events, samples, candidates) for samples in (other, parts.test))
    assert batch.object.tolist() == [d, e, g, a, a, b]
    assert batch.user.tolist() == [2, 3, 1] and own.user.tolist() == [1, 2, 3]
    assert batch.target_object.tolist() == own.target_object.tolist() == [c, d, f, a, b, c]
    unit = log.schema.groups[0]
    assert unit.unit == 86400
    elapsed = np.repeat(other.time, 2) - parts.events.time[[3, 4, 6, 7, 0, 1]]
    assert elapsed.tolist() == [4, 2, 7, 3, 2, 1]  # as in the histories' own rankings


def test_histories_are_swapped_within_a_group(tmp_path):
    """So never with the user's own."""
    log = several_groups(tmp_path, "u q a 1,u q b 2,u i a 3,u i b 4,v q a 5,v q b 6,v i a 7,v i b 8")
    tests = Protocol(log).test
    assert tests.user.tolist() == [0, 1, 0, 1] and swapped(tests).user.tolist() == [1, 0, 1, 0]


def test_in_history_control(tmp_path):
    """1 if the candidate is in the history, as an object of the same group and within the cap."""
    log = several_groups(tmp_path, "u q b 1,u i a 2,u i b 3,u i c 4,v i d 1,v i e 2", "target_repeats = 'keep'")
    parts = Protocol(log, Config(cap=2))
    assert rows(parts.test) == [(0, 1, 3, 4, 0, c), (1, 4, 5, 2, 0, e)]
    task = Task(parts.test, np.array([[a, b, c], [d, e, f]], np.int32))
    assert in_history(parts, task).tolist() == [[1, 1, 0], [1, 0, 0]]


def test_features_shared_control(tmp_path):
    """The share of the history's items, queries apart, that have a candidate's kind, and its maker: their mean."""
    items = "object,kind,maker\na,1,x\nb,1,y\nc,2,x\nd,3,z\n"
    events = "user,group,object,time\nu,items,a,1\nu,queries,c,2\nu,items,b,3\nu,items,c,4\nu,items,d,5\n"
    schema = 'targets = ["items"]\n'
    for group in ("items", "queries"):
        schema += f"[groups.{group}.features]\nobject = 'id'\nkind = 'categorical'\nmaker = 'categorical'\n"
    log = read_log(write(tmp_path, events_csv=events, items_csv=items, queries_csv=items, schema_toml=schema))
    parts = Protocol(log)
    assert parts.test.object.tolist() == [d]
    task = Task(parts.test, np.array([[d, a, b, c]], np.int32))
    expected = [0, (2 / 3 + 2 / 3) / 2, (2 / 3 + 1 / 3) / 2, (1 / 3 + 2 / 3) / 2]
    assert features_shared(parts, task)[0].tolist() == pytest.approx(expected)
    empty = task._replace(samples=parts.test._replace(end=parts.test.start))
    assert features_shared(parts, empty).tolist() == [[0, 0, 0, 0]]


class ByObject:
    """A backend whose score is the number of the object."""

    def scores(self, batch):
        return batch.target_object.astype(np.float64)


def test_what_is_shared_comes_before_popularity(tmp_path):
    """u's history is w: the unpopular x beats the popular y, of another kind, but not z, which shares w's kind as x does."""
    events = "u,w,1\nu,x,2\n" + "".join(f"{user},{o},{t}\n" for user in "pqr" for t, o in enumerate("yzw"))
    log = read_log(write(tmp_path, events_csv="user,object,time\n" + events, items_csv="object,kind\nx,1\ny,2\nz,1\nw,1\n"))
    parts = Protocol(log)
    parts.test = parts.test.take(parts.test.user == 0)
    for negative, shared in ((2, 1.0), (3, 0.0)):
        task = Task(parts.test, np.array([[1, negative]], np.int32))
        found = report_of(ByObject(), parts, task, np.zeros((1, 2)))
        assert (found["features_shared_auc"], found["popularity_auc"]) == (shared, 0.0)


def test_a_report_by_hand(tmp_path):
    """Positives c, f, b against d, a, c. Before the tests a, b, d, e, g count once and a once more."""
    log = one_group(tmp_path, EVENTS)
    parts = Protocol(log)
    task = Task(parts.test, np.array([[c, d], [f, a], [b, c]], np.int32))
    found = report_of(ByObject(), parts, task, score(ByObject(), parts, task))
    assert found["test_auc"] == 1 / 3  # c < d, f > a, b < c
    assert found["test_auc_se"] == pytest.approx(np.std([0, 1, 0], ddof=1) / np.sqrt(3))
    assert parts.popularity[0].tolist() == [0, 2, 1, 0, 1, 1, 0, 1]
    assert found["popularity_auc"] == 1 / 3  # 0 < 1, 0 < 2, 1 > 0
    assert found["in_history_auc"] == 0.5
    assert found["features_shared_auc"] == found["popularity_auc"]  # these objects have an id only: all shares are 0
    assert found["swapped_history_auc"] == 1 / 3
    assert found["test_users"] == 3
    assert found["test_auc_by_group"] == {"items": {"auc": 1 / 3, "se": found["test_auc_se"], "users": 3, "ceiling": None}}


def test_a_report_of_two_groups_by_hand(tmp_path, monkeypatch):
    """u wins both rankings, v loses both; in each group it is the negative of u that is popular."""
    log = several_groups(tmp_path, "u i a 1,u i b 2,u q c 3,u q d 4,v i a 1,v i b 2,v q c 3,v q d 4")
    parts = Protocol(log)
    assert parts.test.group.tolist() == [0, 0, 1, 1] and parts.test.user.tolist() == [0, 1, 0, 1]
    task = Task(parts.test, np.array([[b, a], [b, c], [d, c], [d, e]], np.int32))
    monkeypatch.setattr(report, "ceiling", lambda *_: np.array([[1, 0], [1, 0], [1, 0], [0, 1]]))
    found = report_of(ByObject(), parts, task, score(ByObject(), parts, task), world="a shop")
    assert (found["test_auc"], found["test_auc_se"]) == (0.5, pytest.approx(0.5))  # as of two users; of four it were 0.29
    assert found["popularity_auc"] == 0.25  # 0 < 2 and 0 = 0 in both groups
    assert {name: own["ceiling"] for name, own in found["test_auc_by_group"].items()} == {"items": 1.0, "queries": 0.5}
    assert found["ceiling_auc"] == 0.75


class ByUser:
    """Users of an even number like high objects, the others low ones."""

    def scores(self, batch):
        return np.where(np.repeat(batch.user, np.diff(batch.target_offsets)) % 2, -1.0, 1.0) * batch.target_object


def test_a_report_swaps_the_histories(tmp_path):
    """u, v, w are users 1, 2, 3: with their own histories d < c, f > a, c < b lose, win and lose; as 2, 3, 1 all is turned."""
    log = one_group(tmp_path, EVENTS)
    parts = Protocol(log)
    task = Task(parts.test, np.array([[c, d], [f, a], [b, c]], np.int32))
    found = report_of(ByUser(), parts, task, score(ByUser(), parts, task))
    assert (found["test_auc"], found["swapped_history_auc"]) == (1.0, 1 / 3)
    own = np.array([[-c, -d], [f, a], [-b, -c]])  # u and w have odd numbers
    other = np.array([[c, d], [-f, -a], [-b, -c]])
    assert found["history_share"] == pytest.approx((own - other).var() / (2 * own.var()))
    assert "warning" not in "".join(report.describe(found, validate=False))


def test_a_model_that_does_not_read_its_histories_is_told(tmp_path):
    log = one_group(tmp_path, EVENTS)
    parts = Protocol(log)
    task = Task(parts.test, np.array([[c, d], [f, a], [b, c]], np.int32))
    found = report_of(ByObject(), parts, task, score(ByObject(), parts, task))
    assert found["history_share"] == 0
    warning = [line for line in report.describe(found, validate=False) if line.startswith("warning: ")]
    assert len(warning) == 1 and "user vectors" in warning[0]


def test_auc_puts_the_positive_first():
    assert auc(np.array([[2.0, 1.0, 3.0], [5.0, 5.0, 0.0]])).each.tolist() == [0.5, 0.75]


def test_auc_by_length(tmp_path):
    parts = Protocol(one_group(tmp_path, "u a 1,u b 2,v a 1,v b 2,v c 3,w a 1,w b 2,w c 3,w d 4,x a 1,x b 2"))
    scores = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])  # u, v, w, x with 1, 2, 3, 1 behaviours
    assert auc_by_length(scores, parts.test) == [("1", 2, 0.5, pytest.approx(0.5)), ("2-3", 2, 0.5, pytest.approx(0.5))]


def test_the_error_of_a_length_is_over_users():
    """Of users 0, 0, 1, 1 the first wins twice and the other loses twice: ½; as four users it would be 0.29."""
    column = np.zeros(4, int)
    samples = Samples(np.array([0, 0, 1, 1]), column, column + 1, column, column, column)
    scores = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    assert auc_by_length(scores, samples) == [("1", 4, 0.5, pytest.approx(0.5))]


# Faults


def test_faults(trained_run, tiny, tmp_path):
    with pytest.raises(DataError, match="nowhere: no such model; train one with python -m atrank_np.train --out FOLDER$"):
        evaluate.main([str(tmp_path / "nowhere")])
    with pytest.raises(DataError, match="^--users: expected at least 1, got 0$"):
        evaluate.main([str(trained_run), "--full", "--users", "0"])
    with pytest.raises(DataError, match="^argument --at: expected whole numbers of at least 1, separated by commas, got '5,0' "):
        evaluate.main([str(trained_run), "--full", "--at", "5,0"])
    with pytest.raises(DataError, match="^--users: expected --full beside it$"):
        evaluate.main([str(trained_run), "--users", "3"])
    other = shutil.copytree(tiny, tmp_path / "other")
    (other / "items.csv").write_text((other / "items.csv").read_text().replace("i4,", "i99,"))
    what = "other objects of items; give the right folder with --data"
    with pytest.raises(DataError, match=f"^{other}: not the data that {trained_run} was trained on: {what}$"):
        evaluate.main([str(trained_run), "--data", str(other)])


SETTINGS = '{"data": {"data": %s, "features": %s, "history": null, "target": null, "embedding_size": null}}'


@pytest.mark.parametrize(
    "content", [None, "", "[]", "{", '{"data": {}}', '{"data": 7}', SETTINGS % ("5", "null"), SETTINGS % ('"x"', '"object"')]
)
def test_a_run_without_its_settings(content, trained_run, tmp_path):
    run = shutil.copytree(trained_run, tmp_path / "run")
    (run / "config.json").unlink()
    if content is not None:
        (run / "config.json").write_text(content)
    with pytest.raises(DataError, match="config.json: expected the run's settings, as train writes them$"):
        evaluate.main([str(run)])


def test_a_fault_is_one_line(trained_run, tmp_path):
    run = shutil.copytree(trained_run, tmp_path / "run")
    (run / "config.json").unlink()
    assert_fault(process("evaluate", run), f"{run}/config.json: expected the run's settings, as train writes them")


def test_validation_is_named(tiny, tmp_path, capsys, no_picture):
    evaluate.main([str(run_train(tiny, tmp_path / "run", "--validate"))])
    assert [line.split(" AUC")[0] for line in capsys.readouterr().out.splitlines() if "(1 s.e." in line] == ["validation"] * 2
    assert load(tmp_path / "run").config.validate
