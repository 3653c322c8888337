"""Recommendations: what is ranked is what the model scores, without what the history holds; and the command."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from logs import NEGATIVE, SHOWN, a, d, g, one_group
from runs import assert_fault, process, run_train

from atrank_np import Recommender, recommend
from atrank_np.config import Config
from atrank_np.datasets.packing import pack
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.datasets.samples import Events, Samples
from atrank_np.errors import DataError
from atrank_np.evaluation import ranking
from atrank_np.evaluation.ranking import best, moments, ranked
from atrank_np.runs.checkpoint import load
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
    found = [(name, value) for name, value in zip(*found) if name is not None]
    assert {name for name, _ in found} == scores.keys() - left_out
    assert [value for _, value in found] == sorted((value for _, value in found), reverse=True)
    for name, value in found:
        assert value == pytest.approx(scores[name], rel=1e-5, abs=1e-7)


def of_user(model, log, user, **options):
    ids, scores = model.recommend(log, [user], n=99, **options)
    return ids[0], scores[0]


def shown(capsys):
    """The names that the command prints below its header."""
    return [line.split()[2] for line in capsys.readouterr().out.splitlines()[1:]]


@pytest.mark.parametrize("group", ["items", "queries"])
def test_ranks_as_scores_do(group, trained_run, tiny):
    model, log = Recommender.load(trained_run), read_log(tiny)
    trained, history = model.trained_, history_of(log, "u2")
    names, g = trained.catalogues[group].objects, trained.schema.index(group)
    left_out = set(names[history.object[history.group == g]].tolist())
    assert left_out
    scores = scores_of(trained, history, int(history.time[-1]) + 1, group)
    found = of_user(model, log, "u2", group=group)
    assert_ranked(found, scores, left_out)
    assert model.recommend(log, ["u2"], n=3, group=group)[0][0].tolist() == found[0][:3].tolist()
    assert_ranked(of_user(model, log, "u2", group=group, exclude_seen=False), scores, set())
    some = [name for name in names[1:6].tolist() if name not in left_out]
    assert_ranked(of_user(model, log, "u2", group=group, candidates=some), scores, scores.keys() - set(some))


def test_every_model_ranks_as_it_scores(competitor_run, tiny, capsys):
    """BPR-MF by its user's row: another user with the same history has other scores."""
    model, log = Recommender.load(competitor_run), read_log(tiny)
    trained, history = model.trained_, history_of(log, "u2")
    at, left_out = int(history.time[-1]) + 1, trained.catalogues["items"].objects[history.object[history.group == 0]]
    place = log.users.tolist().index("u2")
    scores, others = (scores_of(trained, history, at, "items", of) for of in (place, place + 1))
    assert (scores != others) == (trained.config.model == "bpr_mf")
    found = of_user(model, log, "u2")
    assert_ranked(found, scores, set(left_out.tolist()))
    recommend.main([str(competitor_run), "--user", "u2"])
    assert shown(capsys) == found[0][:10].tolist()


def test_whose_batch_it_is(tiny, monkeypatch):
    """Row 1 + the user's place of a users' table."""
    log, seen = read_log(tiny), []
    trained = assemble(Protocol(log, Config(width=8, spaces=2, backend="numpy")))

    def note_the_users(backend, schema, events, samples):
        seen.extend(pack(schema, events, samples, np.zeros((len(samples.user), 0), np.int32)).user.tolist())
        return np.zeros((len(samples.user), 21))

    monkeypatch.setattr(ranking, "catalogue_scores", note_the_users)
    list(ranked(trained, trained.backend(), moments(trained, log, np.array([4, 2]), "items"), 3))
    assert seen == [5, 3]


def test_in_blocks_of_any_size(trained_run, tiny, monkeypatch):
    """All users; what holds for one alone holds for all at once."""
    model, log = Recommender.load(trained_run), read_log(tiny)
    ids, scores = model.recommend(log)
    assert ids.shape == scores.shape == (len(log.users), 10)
    monkeypatch.setattr(ranking, "NUMBERS", 7 * 21)  # seven users
    again = model.recommend(log)
    assert again[0].tolist() == ids.tolist() and again[1].tolist() == scores.tolist()
    for u, user in enumerate(log.users[:9].tolist()):
        assert model.recommend(log, [user])[0].tolist() == ids[[u]].tolist()


def test_the_best_of_some_scores():
    """Equal ones by their rows; as many as there are."""
    scores = np.array([[-np.inf, 1, 3, 1, 3], [-np.inf, 5, -np.inf, -np.inf, 6]], np.float32)
    for n, expected in ((1, [[2], [4]]), (3, [[2, 4, 1], [4, 1, 0]]), (6, [[2, 4, 1, 3, 0, 0], [4, 1, 0, 0, 0, 0]])):
        rows, values = best(scores, n)
        assert rows.tolist() == expected
        assert values.tolist() == [own[row].tolist() for own, row in zip(scores, rows)]


def test_a_history_needs_no_user_but_for_bpr_mf(competitor_run, tiny, tmp_path, capsys):
    """An unknown object is in the file, too: nothing is counted before the fault."""
    file = tmp_path / "history.csv"
    file.write_text("group,action,object,time\nitems,click,i1,1\nitems,click,nobody,2\nqueries,search,q1,3\n")
    if competitor_run.name != "bpr_mf":
        recommend.main([str(competitor_run), "--history", str(file)])
        assert capsys.readouterr().out.count("\n") == 12
        return
    fault = "history: bpr_mf ranks for users of its training data, not for a history; name one of them"
    assert_fault(process("recommend", competitor_run, "--history", file), fault)
    with pytest.raises(DataError, match="^history: bpr_mf ranks for users of its training data"):
        Recommender.load(competitor_run).recommend(history=["i1"])


def test_at_a_time(trained_run, tiny, capsys):
    """Only behaviours before it count, and only they are left out; before all of them the history is empty."""
    model, log = Recommender.load(trained_run), read_log(tiny)
    trained, history = model.trained_, history_of(log, "u2")
    at, names = int(history.time[3]), trained.catalogues["items"].objects
    before = history.time < at
    left_out = set(names[history.object[before & (history.group == 0)]].tolist())
    early = of_user(model, log, "u2", at=at)
    assert_ranked(early, scores_of(trained, history, at, "items"), left_out)
    assert_ranked(of_user(model, log, "u2", at=0), scores_of(trained, history, 0, "items"), set())
    recommend.main([str(trained_run), "--user", "u2", "--at", str(at)])
    assert shown(capsys) == early[0][:10].tolist() != of_user(model, log, "u2")[0][:10].tolist()


def test_the_cap_and_repeats_and_the_groups_of_a_history(tiny, tmp_path, no_picture):
    data = shutil.copytree(tiny, tmp_path / "data")
    (data / "schema.toml").write_text('target_repeats = "keep"\nhistory = ["items"]\n' + (data / "schema.toml").read_text())
    model, log = Recommender.load(run_train(data, tmp_path / "run", "--cap", "2")), read_log(data)
    whole = history_of(log, "u2")
    items = Events(*(column[whole.group == 0] for column in whole))
    found = of_user(model, log, "u2")
    assert_ranked(found, scores_of(model.trained_, items, int(items.time[-1]) + 1, "items"), set())
    names, actions = model.trained_.catalogues["items"].objects[items.object[-2:]], np.array(log.actions)[items.action[-2:]]
    last = model.recommend(history=names.tolist(), times=items.time[-2:], actions=actions.tolist(), n=99)
    assert last[0].tolist() == found[0].tolist() and last[1] == pytest.approx(found[1])


def test_what_is_not_taken_is_no_part_of_a_history(tmp_path):
    log = one_group(tmp_path, SHOWN, NEGATIVE)
    trained = assemble(Protocol(log, Config(width=8, spaces=2)))
    events, first, samples = moments(trained, log, np.array([0]), "items")
    assert events.object[first[0] : samples.end[0]].tolist() == [a, d, g]


# The command


def test_names_as_they_are(trained_run, capsys, monkeypatch):
    """Whatever stands in a name or a feature: a line for each object, and no two names look the same."""

    def broken(names):
        return np.array([f" {name}\r\n!" for name in names])

    trained = load(trained_run)
    items = replace(trained.catalogues["items"], objects=broken(trained.catalogues["items"].objects))
    tables = {name: broken(names) for name, names in trained.tables.items()}
    trained = replace(trained, catalogues=trained.catalogues | {"items": items}, tables=tables)
    monkeypatch.setattr(recommend, "load", lambda _: trained)
    monkeypatch.setattr(recommend, "known", lambda _, log: log)
    assert recommend.main([str(trained_run), "--user", "u1", "--top", "2"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["score", "items"] and len(lines) == 2
    assert all(' " i' in line and '\\r\\n!"' in line and 'category " c' in line for line in lines)


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_all_users_into_a_file(kind, trained_run, tiny, tmp_path, capsys):
    """What Python recommends, in the log's order; a user without any object left has no row."""
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    out, some, few = tmp_path / f"recs.{kind}", tmp_path / "some.csv", tmp_path / "few.csv"
    some.write_text("note,user\n1,u5\n2,u2\n")
    few.write_text("object\ni1\ni2\n")
    model, log = Recommender.load(trained_run), read_log(tiny)
    for flags, asked in (
        (["--all"], {}),
        (
            ["--users", str(some), "--candidates", str(few), "--seen"],
            {"users": ["u5", "u2"], "candidates": ["i1", "i2"], "exclude_seen": False},
        ),
    ):
        out.unlink(missing_ok=True)
        assert recommend.main([str(trained_run), *flags, "--top", "3", "--out", str(out)]) == 0
        if kind == "csv":
            head, *found = csv.reader(out.open(newline=""))
        elif kind == "json":
            head, found = (
                ["user", "group", "place", "object", "score"],
                [list(row.values()) for row in json.loads(out.read_text())],
            )
        else:
            table = pytest.importorskip("pyarrow.parquet").read_table(out)
            head, found = table.column_names, [list(row.values()) for row in table.to_pylist()]
        assert head == ["user", "group", "place", "object", "score"]
        ids, scores = model.recommend(log, n=3, **asked)
        users = asked.get("users", log.users.tolist())
        expected = [
            [u, "items", p, o, s] for u, *of in zip(users, ids, scores) for p, o, s in zip((1, 2, 3), *of) if o is not None
        ]
        assert [row[:2] + [int(row[2]), row[3]] for row in found] == [row[:4] for row in expected]
        assert [float(row[4]) for row in found] == pytest.approx([float(row[4]) for row in expected], rel=1e-6)
    assert "the best items for 2 users" in capsys.readouterr().out
    with pytest.raises(DataError, match="the file exists already"):
        recommend.main([str(trained_run), "--all", "--out", str(out)])


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
    assert len(of_the_user.splitlines()) == 11
    (name,), (value,) = Recommender.load(run).recommend(read_log(tiny), ["u2"], n=1)
    place, score, shown_name, feature, category = of_the_user.splitlines()[1].split()
    assert (place, score, shown_name, feature) == ("1", f"{value[0]:.4f}", name[0], "category")
    assert f"{name[0]},{category}," in (tiny / "items.csv").read_text()


def test_a_new_user_without_a_history(trained_run, tmp_path, capsys):
    """As a user of the log before their first event."""
    file = tmp_path / "history.csv"
    file.write_text("group,action,object,time\n")
    recommend.main([str(trained_run), "--history", str(file)])
    names = shown(capsys)
    recommend.main([str(trained_run), "--user", "u2", "--at", "0"])
    assert shown(capsys) == names and len(names) == 10


def test_unknown_objects_are_counted(trained_run, tmp_path, capsys):
    file = tmp_path / "history.csv"
    file.write_text("group,action,object,time\nitems,click,i1,1\nitems,click,nobody,2\nqueries,search,i1,3\n")
    recommend.main([str(trained_run), "--history", str(file), "--top", "1"])
    counted, _, first = capsys.readouterr().out.splitlines()
    assert counted == "counted: 2 events of an object that the model does not know"
    assert first.startswith("  1  ")


def test_faults(trained_run, tmp_path):
    run, file = str(trained_run), tmp_path / "history.csv"
    file.write_text("group,action,object,time\nitems,click,i1,soon\n")
    two, every, gone, none = (tmp_path / f"{name}.csv" for name in ("two", "every", "gone", "none"))
    gone.write_text("object\ni1\ni99\n")
    two.write_text("user,group,action,object,time\nann,items,click,i1,1\nbob,items,click,i2,2\n")
    every.write_text("group,action,object,time\n" + "".join(f"items,click,i{i},{i}\n" for i in range(20)))
    wrong = {
        ("--user", "nobody"): "user 'nobody': not in the log; some of its users are 'u0', 'u1', 'u2'",
        ("--user", "u1", "--top", "0"): "--top: expected at least 1, got 0",
        ("--user", "u1", "--group", "shops"): "group 'shops': expected one that the model ranks: items, queries",
        ("--user", "u1", "--candidates", str(gone)): "object 'i99': expected one of the model's items; none has that name",
        ("--user", "u1", "--at", str(2**62 + 1)): f"at: expected less than {2**62}, got {2**62 + 1}",
        ("--history", str(file)): "history.csv:2: time: expected an integer below 2^62 or a "
        "decimal below 2^53 or an ISO date, got 'soon'",
        ("--history", str(two)): "two.csv: expected the events of one user, got those of 'ann', 'bob' …",
        ("--history", str(every)): "group 'items': no object is left to rank, because the history holds all of them",
        ("--history", str(none)): f"{none}: expected a readable file: No such file or directory",
        ("--history", str(two), "--data", "x"): "--data: not with --history, which needs no data folder",
        ("--all",): "--all and --users: expected --out FILE beside them",
        ("--all", "--out", "recs.txt"): "--out: expected a name that ends with .csv, .json, .parquet, got 'recs.txt'",
        ("--users", str(every), "--out", "recs.csv"): "every.csv:1: expected a column 'user', got 'group', 'action', "
        "'object', 'time'",
        (): "one of the arguments --user --history --all --users is required (see python -m atrank_np.recommend --help)",
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
