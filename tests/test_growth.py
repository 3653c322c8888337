"""A log that has grown: it is read in the model's numbering, and training goes on with it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from runs import assert_fault, outcome, process, report

from atrank_np import BPRMF, ATRank, Recommender, evaluate, read_log, recommend, train
from atrank_np.datasets.protocol import Protocol
from atrank_np.errors import DataError
from atrank_np.runs.checkpoint import load
from atrank_np.runs.growth import joined, known, warm_start

SMALL = dict(width=8, spaces=2, epochs=2, evaluations=2, batch_size=8, backend="numpy")


@pytest.fixture
def grown(tiny, tmp_path):
    """The tiny folder a day later. New: an object first in its file, a category, a word, a number, an action, a user in front."""
    data = shutil.copytree(tiny, tmp_path / "grown")

    def insert(name, *lines, at=1):
        rows = (data / name).read_text().splitlines()
        (data / name).write_text("\n".join([*rows[:at], *lines, *rows[at:]]) + "\n")

    insert("items.csv", "i99,c9,777")
    insert("queries.csv", "q99,c1 dear", at=3)
    buys = [f"new{u},items,click,{name},{900 + t}" for u in range(6) for t, name in enumerate(("i1", "i5", "i99"))]
    insert("events.csv", *buys, "new0,queries,ask,q99,950")
    insert("events.csv", "u2,items,click,i99,99990", "u2,items,click,i0,99991", at=40)
    return data


def scores(model, log, users, **options):
    """(user, object) -> score"""
    ids, values = model.recommend(log, users, n=99, exclude_seen=False, **options)
    return {(user, name): value for user, *of in zip(users, ids, values) for name, value in zip(*of) if name is not None}


@pytest.mark.parametrize("kind", [ATRank, BPRMF])
def test_what_is_known_does_not_move(kind, tiny, grown):
    """Before training goes on, each old object has the old score for the old history; new objects have a score too."""
    log, users = read_log(tiny), ["u1", "u2", "u9"]
    model = kind(**SMALL).fit(log)
    before = scores(model, log, users)
    resumed, numbered = warm_start(model.trained_, read_log(grown), model.config)
    assert resumed.step == 0 and resumed.fits(numbered) and numbered.catalogues["items"].objects[-1] == "i99"
    model._take(resumed)
    after = scores(model, log, users)
    assert after.keys() - before.keys() == {(user, "i99") for user in users}
    assert {pair: after[pair] for pair in before} == pytest.approx(before, rel=1e-4, abs=1e-6)
    assert len(set(after.values())) > len(after) - 9  # they are not all the same
    assert all(w[0].any() == 0 for name, w in resumed.params.items() if name.startswith(("table.", "bias.")))


def test_new_rows_are_trained(tiny, grown):
    """The rows of a new object, word and action move, and the test events of new users are ranked."""
    model = ATRank(**SMALL).fit(read_log(tiny))
    rows = {name: len(w) for name, w in model.trained_.params.items()}
    start, numbered = warm_start(model.trained_, read_log(grown), replace(model.config, epochs=3))
    first = start.unscaled_parameters()
    model.update(read_log(grown), epochs=3)
    assert (model.config.epochs, model.config.width) == (3, 8)
    after = model.trained_.unscaled_parameters()
    for name, new in (
        ("table.items.object", 1),
        ("table.queries.object", 1),
        ("table.words", 2),
        ("bias.items", 1),
        ("action.items", 1),
    ):
        assert len(after[name]) == rows[name] + new
    assert np.abs(after["table.items.object"][-1] - first["table.items.object"][-1]).max() > 1e-3
    assert after["bias.items"][-1] != 0
    assert "i99" in model.recommend(read_log(grown), ["u1"], n=99)[0]
    assert model.evaluate(read_log(grown), at=())["test_rankings"] == len(Protocol(numbered).test.user)
    assert repr(model).startswith("ATRank(backend='numpy', batch_size=8, epochs=3, evaluations=2, spaces=2, width=8): 30 objects")


def test_new_users_of_bpr_mf(tiny, grown):
    """They come first in the file; the old ones keep their rows, and the new ones' rows are trained."""
    model, log = BPRMF(**SMALL).fit(read_log(tiny)), read_log(grown)
    old = model.trained_.users.tolist()
    assert log.users[0] == "new0" and known(model.trained_, log).counts["users that the model does not know"] == 6
    with pytest.raises(ValueError, match="^user 'new0': not in the log"):
        model.recommend(log, ["new0"])
    start, _ = warm_start(model.trained_, log, model.config)
    model.update(log)
    users = model.trained_.users.tolist()
    assert users[: len(old)] == old and users[len(old) :] == [f"new{u}" for u in range(6)]
    table = "table.user/items"
    moved = np.abs(model.trained_.unscaled_parameters()[table] - start.unscaled_parameters()[table]).max(1)
    assert (moved[len(old) :] > 1e-4).all() and moved[0] == 0
    numbered = joined(model.trained_, log)
    mine = slice(*numbered.offsets[[2, 3]])
    assert (
        numbered.users[2] == "u2" and len(numbered.time) == len(log.time) and numbered.time[mine].tolist()[-2:] == [99990, 99991]
    )


def test_new_values_of_features(tiny, grown):
    """An object that both know has what the new file says; one that the new file lacks keeps what it had."""
    trained = ATRank(**SMALL).fit(read_log(tiny)).trained_
    items = (grown / "items.csv").read_text().replace("i4,c0", "i4,c9")
    (grown / "items.csv").write_text("".join(line for line in items.splitlines(True) if not line.startswith("i6,")))
    (grown / "queries.csv").write_text((grown / "queries.csv").read_text().replace("q5,c1 cheap", "q5,cheap dear cheap"))
    log = joined(trained, read_log(grown))
    items, words = log.catalogues["items"], log.tables["words"]
    assert items.objects.tolist() == [*trained.catalogues["items"].objects, "i99"]
    category = dict(zip(items.objects.tolist(), words[items.codes("category")].tolist()))
    assert (category["i4"], category["i6"], category["i99"], category["i7"]) == ("c9", "c2", "c9", "missing")
    price = dict(zip(items.objects.tolist(), items.numbers("price")))
    assert price["i99"] == 777 and price["i6"] == trained.catalogues["items"].numbers("price")[7] and np.isnan(price["i3"])
    bag, names = log.catalogues["queries"].features["words"], log.catalogues["queries"].objects.tolist()
    of = {name: words[bag.ids[bag.offsets[i] : bag.offsets[i + 1]]].tolist() for i, name in enumerate(names)}
    assert (of["q5"], of["q99"], of["unknown"], of["q0"]) == (["cheap", "dear", "cheap"], ["c1", "dear"], [], ["c0"])
    assert sorted(words[len(trained.tables["words"]) :]) == ["c9", "dear"]


def test_a_new_object_is_unknown_to_the_old_model(tiny, grown, trained_run, capsys):
    """As in a history of names; the command says how many there are."""
    model, log = Recommender.load(trained_run), read_log(grown)
    u = log.users.tolist().index("u2")
    own = slice(log.offsets[u], log.offsets[u + 1])
    groups = [log.schema.groups[g].name for g in log.group[own]]
    names = [str(log.catalogues[group].objects[o]) for group, o in zip(groups, log.object[own])]
    assert names[-2:] == ["i99", "i0"]
    found = model.recommend(log, ["u2"], n=99)
    actions = [log.actions[a] for a in log.action[own]]
    same = model.recommend(history=names, times=log.time[own], actions=actions, n=99)
    assert same[0].tolist() == found[0][0].tolist() and "i0" not in found[0][0] and same[1] == pytest.approx(found[1][0])
    flags = ["--data", str(grown), "--users", str(tiny / "events.csv"), "--out", str(grown / "recs.csv")]
    recommend.main([str(trained_run), *flags])
    counted, written = capsys.readouterr().out.splitlines()
    assert counted == (
        "counted: 1 events of an action that the model does not know; 8 events of an object that the model does not know"
    )
    assert written.endswith("for 30 users")  # each once
    recommend.main([str(trained_run), "--user", "new0", "--data", str(grown), "--top", "1"])
    assert capsys.readouterr().out.splitlines()[-1].startswith("  1 ")


def test_what_a_model_cannot_read(tiny, grown, trained_run, tmp_path):
    run = str(trained_run)
    trained, log = load(trained_run), read_log(tiny)
    fewer = log.schema.select_features(["object", "words"])
    with pytest.raises(DataError, match=r"^the log: expected a feature 'category' of items \(categorical, table 'words'"):
        joined(trained, read_log(tiny, schema=fewer))
    with pytest.raises(
        DataError, match=f"^{grown}: not the data that {run} was trained on: other actions; give the right folder with --data$"
    ):
        evaluate.main([run, "--data", str(grown)])


def test_the_command_goes_on(tiny, grown, trained_run, tmp_path, capsys, no_picture):
    """With the settings of the run and those that are given; its folder is scored again, resumed and begun from as any other."""
    out = tmp_path / "tomorrow"
    flags = ["--warm-start", str(trained_run), "--data", str(grown), "--epochs", "3", "--learning-rate", "0.1", "--quiet"]
    assert train.main([*flags, "--out", str(out)]) == 0
    config = load(out).config
    assert config == replace(load(trained_run).config, epochs=3, learning_rate=0.1)
    assert json.loads((out / "config.json").read_text())["warm_start"] == str(trained_run.resolve())
    model = Recommender.load(trained_run).update(read_log(grown), epochs=3, learning_rate=0.1)
    assert {n: w.tobytes() for n, w in model.trained_.params.items()} == {n: w.tobytes() for n, w in load(out).params.items()}
    capsys.readouterr()
    assert evaluate.main([str(out), "--json"]) == 0
    assert f'"test_auc": {report(out)["test_auc"]}' in capsys.readouterr().out
    before = outcome(out)
    assert train.main(["--resume", str(out), "--quiet"]) == 0 and outcome(out) == before  # its data are recognised
    assert train.main(["--warm-start", str(out), "--epochs", "1", "--quiet", "--out", str(tmp_path / "after")]) == 0
    assert len(load(tmp_path / "after").catalogues["items"].objects) == 22


def test_faults(tiny, trained_run, tmp_path):
    wrong = {
        ("--width", "16"): "--width: a warm start keeps the model's value, 8; got 16",
        ("--resume", "r"): "--resume: goes on with the settings of the run; --warm-start cannot be chosen again, but a new run "
        "can begin where this one ends, with --warm-start",
        ("--features", "object"): "--warm-start: keeps features, groups and sizes of the run; --features cannot be chosen",
    }
    for flags, text in wrong.items():
        assert_fault(process("train", "--warm-start", trained_run, *flags, cwd=tmp_path), text)
        assert list(tmp_path.iterdir()) == []
