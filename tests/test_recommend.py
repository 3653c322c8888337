"""The command recommend: what it ranks is what the model scores, without what the history holds."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from logs import NEGATIVE, SHOWN, a, d, g, one_group
from runs import assert_fault, process, run_train

from atrank_np import recommend
from atrank_np.config import Config
from atrank_np.datasets.packing import pack
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.datasets.samples import Events, Samples
from atrank_np.errors import DataError
from atrank_np.evaluation import ranking
from atrank_np.evaluation.ranking import rank, visible
from atrank_np.runs.checkpoint import load
from atrank_np.runs.folder import open_run
from atrank_np.runs.trained import assemble


def history_of(log, user):
    u = log.users.tolist().index(user)
    own = slice(log.offsets[u], log.offsets[u + 1])
    return Events(log.group[own], log.object[own], log.action[own], log.time[own])


def scores_of(trained, history, at, group, place=-1):
    """name -> score of every object, candidate by candidate."""
    end, g = int((history.time < at).sum()), trained.schema.index(group)
    sample = Samples(*(np.array([value]) for value in (place, max(0, end - trained.config.cap), end, at, g, 0)))
    backend = trained.backend()
    names = trained.catalogues[group].objects.tolist()
    pairs = ((name, row) for row, name in enumerate(names) if row)
    return {name: backend.scores(pack(trained.schema, history, sample, np.array([[row]], np.int32)))[0] for name, row in pairs}


def assert_ranked(found, scores, left_out):
    """All objects but those left out, best first, with their scores."""
    assert {name for name, _ in found} == scores.keys() - left_out
    assert [value for _, value in found] == sorted((value for _, value in found), reverse=True)
    for name, value in found:
        assert value == pytest.approx(scores[name], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("group", ["items", "queries"])
def test_ranks_as_scores_do(group, trained_run, tiny):
    trained, log = load(trained_run), read_log(tiny)
    history = history_of(log, "u2")
    names, g = trained.catalogues[group].objects, trained.schema.index(group)
    left_out = set(names[history.object[history.group == g]].tolist())
    assert left_out
    found = rank(trained, log, user="u2", top=99, group=group)
    assert_ranked(found, scores_of(trained, history, int(history.time[-1]) + 1, group), left_out)
    assert rank(trained, log, user="u2", top=3, group=group) == found[:3]


def test_every_model_ranks_as_it_scores(competitor_run, tiny, capsys):
    """BPR-MF by its user's row: another user with the same history has other scores."""
    trained, log = load(competitor_run), read_log(tiny)
    history = history_of(log, "u2")
    at, left_out = int(history.time[-1]) + 1, trained.catalogues["items"].objects[history.object[history.group == 0]]
    place = log.users.tolist().index("u2")
    scores, others = (scores_of(trained, history, at, "items", of) for of in (place, place + 1))
    assert (scores != others) == (trained.config.model == "bpr_mf")
    found = rank(trained, log, user="u2", top=99)
    assert_ranked(found, scores, set(left_out.tolist()))
    recommend.main([str(competitor_run), "--user", "u2"])
    assert [line.split()[2] for line in capsys.readouterr().out.splitlines()] == [name for name, _ in found[:10]]


@pytest.mark.parametrize("who", ["a user", "a history"])
def test_whose_batch_it_is(who, tiny, monkeypatch):
    """Row 1 + the user's place of a users' table, or row 0, the unknown user."""
    log, seen = read_log(tiny), []
    trained = assemble(Protocol(log, Config(width=8, spaces=2, backend="numpy")))

    def note_the_user(backend, schema, events, sample):
        seen.append(pack(schema, events, sample, np.zeros((1, 0), np.int32)).user.tolist())
        return np.zeros(21)

    monkeypatch.setattr(ranking, "catalogue_scores", note_the_user)
    rank(trained, log, **({"user": "u2"} if who == "a user" else {"history": history_of(log, "u2")}))
    assert seen == [[1 + log.users.tolist().index("u2") if who == "a user" else 0]]


def test_a_history_needs_no_user_but_for_bpr_mf(competitor_run, tiny, tmp_path, capsys):
    """An unknown object is in the file, too: nothing is counted before the fault."""
    trained, file = load(competitor_run), tmp_path / "history.csv"
    file.write_text("group,action,object,time\nitems,click,i1,1\nitems,click,nobody,2\nqueries,search,q1,3\n")
    if trained.config.model != "bpr_mf":
        recommend.main([str(competitor_run), "--history", str(file)])
        assert capsys.readouterr().out.count("\n") == 11
        return
    result = process("recommend", competitor_run, "--history", file)
    assert_fault(result, "bpr_mf ranks for users of its training data, not for a history; name one of them with --user")
    with pytest.raises(DataError, match="^bpr_mf ranks for users of its training data"):
        rank(trained, history=history_of(read_log(tiny), "u2"))


def test_either_a_user_or_a_history_in_order(trained_run, tiny):
    log, trained = read_log(tiny), load(trained_run)
    history = history_of(log, "u2")
    with pytest.raises(DataError, match="^expected a user of the log, or a history; got both$"):
        rank(trained, log, user="u2", history=history)
    with pytest.raises(DataError, match="^history: expected the behaviours in the order of their times$"):
        rank(trained, history=Events(*(column[::-1] for column in history)))
    with pytest.raises(DataError, match="^--data: goes with --user"):
        recommend.main([str(trained_run), "--history", "any.csv", "--data", str(tiny)])


def test_at_a_time(trained_run, tiny):
    """Only behaviours before it count, and only they are left out; before all of them the history is empty."""
    trained, log = load(trained_run), read_log(tiny)
    history = history_of(log, "u2")
    at, names = int(history.time[3]), trained.catalogues["items"].objects
    before = history.time < at
    left_out = set(names[history.object[before & (history.group == 0)]].tolist())
    assert_ranked(rank(trained, log, user="u2", at=at, top=99), scores_of(trained, history, at, "items"), left_out)
    assert_ranked(rank(trained, log, user="u2", at=0, top=99), scores_of(trained, history, 0, "items"), set())


def test_the_command_ranks_at_a_time(trained_run, tiny, capsys):
    trained, log = load(trained_run), read_log(tiny)
    at = int(history_of(log, "u2").time[3])
    early, whole = ([name for name, _ in rank(trained, log, user="u2", at=when)] for when in (at, None))
    recommend.main([str(trained_run), "--user", "u2", "--at", str(at)])
    assert [line.split()[2] for line in capsys.readouterr().out.splitlines()] == early != whole


def test_the_cap_and_repeats_and_the_groups_of_a_history(tiny, tmp_path, no_picture):
    data = shutil.copytree(tiny, tmp_path / "data")
    (data / "schema.toml").write_text('target_repeats = "keep"\nhistory = ["items"]\n' + (data / "schema.toml").read_text())
    trained, log = load(run_train(data, tmp_path / "run", "--cap", "2")), read_log(data)
    whole = history_of(log, "u2")
    items = Events(*(column[whole.group == 0] for column in whole))
    last = Events(*(column[-2:] for column in items))
    found = rank(trained, log, user="u2", top=99)
    assert_ranked(found, scores_of(trained, items, int(items.time[-1]) + 1, "items"), set())
    assert rank(trained, history=last, top=99) == found


def test_a_log_that_has_grown_or_changed(trained_run, competitor_run, tiny, tmp_path):
    """New events of the same objects are read; a log that numbers objects otherwise is refused, not misread."""
    trained, users = load(trained_run), load(competitor_run)
    data = shutil.copytree(tiny, tmp_path / "data")
    with (data / "events.csv").open("a") as file:
        file.write("u2,items,click,i0,99999\nnewcomer,items,click,i1,5\n")
    grown = read_log(data)
    found = rank(trained, grown, user="u2", top=99)
    history = history_of(grown, "u2")
    left_out = trained.catalogues["items"].objects[history.object[history.group == 0]].tolist()
    assert "i0" in left_out
    assert_ranked(found, scores_of(trained, history, int(history.time[-1]) + 1, "items"), set(left_out))
    assert len(rank(trained, grown, user="newcomer", top=99)) == 19
    head, *items = (data / "items.csv").read_text().splitlines()
    (data / "items.csv").write_text("\n".join([head, *items[::-1]]) + "\n")
    refused = [(trained, read_log(data)), (trained, None)] + [(users, grown)] * (users.config.model == "bpr_mf")
    for of, log in refused:
        with pytest.raises(DataError, match="^to rank for a user, give the log that the model was trained on"):
            rank(of, log, user="u2")


def test_what_is_not_taken_is_no_part_of_a_history(tmp_path):
    log = one_group(tmp_path, SHOWN, NEGATIVE)
    assert visible(ranking.history_of(log, "u"), log.schema, log.actions).object.tolist() == [a, d, g]


def test_a_line_for_each_object(trained_run, capsys, monkeypatch):
    """Whatever stands in a name or a feature."""
    trained, log, _ = open_run(trained_run)

    def broken(names):
        return np.array([f"{name}\r\n!" for name in names])

    objects = broken(trained.catalogues["items"].objects)
    items = replace(trained.catalogues["items"], objects=objects)
    tables = {name: broken(names) for name, names in trained.tables.items()}
    trained = replace(trained, catalogues=trained.catalogues | {"items": items}, tables=tables)
    monkeypatch.setattr(recommend, "open_run", lambda *_: (trained, log, None))
    monkeypatch.setattr(recommend, "rank", lambda *_, **asked: [(str(objects[1]), 0.5), (str(objects[2]), 0.25)])
    assert recommend.main([str(trained_run), "--user", "u1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and " i0 ! " in lines[0] and lines[0].endswith("category c0 !")


def test_a_history_from_a_file(trained_run, tiny, tmp_path, capsys):
    """The same events give the same ranking, in any order of rows, with the data folder gone."""
    recommend.main([str(trained_run), "--user", "u2"])
    of_the_user = capsys.readouterr().out
    lines = [line.split(",", 1)[1] for line in (tiny / "events.csv").read_text().splitlines() if line.startswith("u2,")]
    file = tmp_path / "history.csv"
    file.write_text("\n".join(["group,action,object,time", *lines[::-1]]) + "\n")
    run = shutil.copytree(trained_run, tmp_path / "run")
    (run / "config.json").unlink()  # so that nothing can lead to the data
    recommend.main([str(run), "--history", str(file)])
    assert capsys.readouterr().out == of_the_user
    assert len(of_the_user.splitlines()) == 10
    best = rank(load(run), history=history_of(read_log(tiny), "u2"), top=1)[0]
    place, score, name, feature, value = of_the_user.splitlines()[0].split()
    assert (place, score, name, feature) == ("1", f"{best[1]:.4f}", best[0], "category")
    assert f"{name},{value}," in (tiny / "items.csv").read_text()


def test_unknown_objects_are_counted(trained_run, tmp_path, capsys):
    file = tmp_path / "history.csv"
    file.write_text("group,action,object,time\nitems,click,i1,1\nitems,click,nobody,2\nqueries,search,i1,3\n")
    recommend.main([str(trained_run), "--history", str(file), "--top", "1"])
    counted, ranked = capsys.readouterr().out.splitlines()
    assert counted == "counted: 2 of 3 behaviours whose object the model does not know"
    assert ranked.startswith("  1  ")


def test_faults(trained_run, tmp_path, monkeypatch):
    run, file = str(trained_run), tmp_path / "history.csv"
    file.write_text("group,action,object,time\nitems,click,i1,soon\n")
    two, every = tmp_path / "two.csv", tmp_path / "every.csv"
    two.write_text("user,group,action,object,time\nann,items,click,i1,1\nbob,items,click,i2,2\n")
    every.write_text("group,action,object,time\n" + "".join(f"items,click,i{i},{i}\n" for i in range(20)))
    wrong = {
        ("--user", "nobody"): "user 'nobody': not in the log; some of its users are 'u0', 'u1', 'u2'",
        ("--user", "u1", "--top", "0"): "--top: expected at least 1, got 0",
        ("--user", "u1", "--group", "shops"): "group 'shops': expected one that the model ranks: items, queries",
        ("--history", str(file)): "history.csv:2: time: expected an integer below 2^62 or a decimal below 2^53 or an ISO date, got 'soon'",
        ("--history", str(two)): "two.csv: expected the events of one user, got those of 'ann', 'bob' …",
        ("--history", str(every)): "group 'items': no object is left to rank, because the history holds all of them",
        ("--history", str(tmp_path / "none.csv")): f"{tmp_path}/none.csv: expected a readable file: No such file or directory",
        (): "one of the arguments --user --history is required (see python -m atrank_np.recommend --help)",
    }
    for flags, text in wrong.items():
        with pytest.raises(DataError) as fault:
            recommend.main([run, *flags])
        assert str(fault.value) == text
    with pytest.raises(DataError, match="no such model"):
        recommend.main([str(tmp_path / "nowhere"), "--user", "u1"])


def test_a_fault_is_one_line(trained_run):
    result = process("recommend", trained_run, "--user", "nobody")
    assert_fault(result, "user 'nobody': not in the log; some of its users are 'u0', 'u1', 'u2'")
