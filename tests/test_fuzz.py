"""Inputs that nobody would write: each ends in success, or in one line of at most 300 letters, within four times the memory.

Every case is drawn from its number. One that fails names its kind and number, by which it is run alone:
`CASE=model:17 pytest tests/test_fuzz.py`.
"""

import contextlib
import csv
import functools
import json
import os
import random
import re
import shutil
import tomllib
import traceback
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fuzz_inputs import VALUES, changed_array, changed_json, write_mutated
from helpers import assert_same

import atrank_np
from atrank_np import evaluate, explain, recommend, train
from atrank_np.datasets.reading import read_history, read_log
from atrank_np.datasets.samples import Events
from atrank_np.errors import AtrankError
from atrank_np.evaluation.ranking import log_of, moments, ranked
from atrank_np.memory import peak_rss_mb
from atrank_np.runs.checkpoint import load

QUICK, MANY = 45, 720  # cases of each of the kinds
SETTINGS = {"width": 4, "spaces": 2, "epochs": 1, "batch_size": 8, "backend": "numpy"}


@functools.cache
def cached(read, path):
    return read(path)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ATRANK_DATA", raising=False)
    return tmp_path


def read_plainly(path):
    """The rows of a CSV, by Python's own reader: column -> cell."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def case_data(rng, tiny, trained_run, here):
    folder = Path(shutil.copytree(tiny, here / "data"))
    write_mutated(rng, folder / rng.choice(["events.csv", "events.csv", "items.csv", "queries.csv"]))
    log = read_log(folder)
    rows = read_plainly(folder / "events.csv")
    known = {name: {row.get("object") for row in read_plainly(folder / f"{name}.csv")} for name in log.catalogues}
    plain = rows and {"user", "object", "time", "group"} <= rows[0].keys() and not any(None in names for names in known.values())
    if plain and all(re.fullmatch(r"-?[0-9]+", row["time"]) for row in rows):
        expected = {
            (r["user"], r["group"], r["object"] if r["object"] in known[r["group"]] else None, int(r["time"])) for r in rows
        }
        user = np.repeat(log.users, np.diff(log.offsets))
        found = set()
        for u, g, o, t in zip(user.tolist(), log.group.tolist(), log.object.tolist(), log.time.tolist()):
            name = log.schema.groups[g].name
            found.add((u, name, str(log.catalogues[name].objects[o]) if o else None, t))
        assert found == expected
    if rng.random() < 0.3:
        atrank_np.ATRank(**SETTINGS).fit(log)


def case_schema(rng, tiny, trained_run, here):
    folder = Path(shutil.copytree(tiny, here / "data"))
    path, text = folder / "schema.toml", (folder / "schema.toml").read_text()
    if rng.random() < 0.3:
        write_mutated(rng, path)
    else:
        token = rng.choice(
            ["items", "queries", "6", "10", "4", "2", '"click"', '"buy"', '"id"', '"tokens"', '"words"', '"number"', "["]
        )
        new = rng.choice(
            ["0", "-1", "1", "7", "2147483648", "1e3", "true", '"day"', '"minute"', "[]", '["click"]', '"a\\u0000"', "{}"]
        )
        if rng.random() < 0.05:
            new = "[" * 100_000
        path.write_text(text.replace(token, new, rng.choice([1, -1])))
    schema = read_log(folder).schema
    written = tomllib.loads(path.read_text("utf-8-sig")) if path.exists() else {"groups": {}}
    for name, group in written["groups"].items():
        for key in group.keys() & {"buckets", "bucket_unit"}:
            if isinstance(group[key], int):
                assert getattr(schema.group(name), "unit" if key == "bucket_unit" else key) == group[key]
        if "features" in group:
            assert [f.name for f in schema.group(name).features] == list(group["features"])


def case_history(rng, tiny, trained_run, here):
    trained, path = cached(load, trained_run), here / "history.csv"
    rows = [f"items,click,i{rng.randrange(20)},{rng.randrange(2000)}" for _ in range(rng.randrange(6))]
    path.write_text("\n".join(["group,action,object,time", *rows]) + "\n")
    if rng.random() < 0.8:
        write_mutated(rng, path)
    events = Events(**read_history(path, trained.schema, trained.actions, trained.catalogues))
    rows = read_plainly(path)
    assert len(events.time) <= len(rows)
    if rows and "time" in rows[0] and all(re.fullmatch(r"-?[0-9]+", row["time"]) for row in rows):
        assert set(events.time.tolist()) == {int(row["time"]) for row in rows}
    score_all(trained, log_of(trained, events))


def score_all(trained, log):
    """The kernels read everything; scores are finite, and rows are rows of the catalogue."""
    for group in trained.schema.targets:
        asked = moments(trained, log, np.arange(len(log.users)), group)
        for _, rows, scores in ranked(trained, trained.backend(), asked, 5):
            assert np.isfinite(scores[rows > 0]).all() and (rows < len(trained.catalogues[group].objects)).all()


def case_bits(rng, tiny, trained_run, here):
    data = bytearray((trained_run / "model.npz").read_bytes())
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    if rng.random() < 0.1:
        del data[rng.randrange(len(data)) :]
    (here / "model.npz").write_bytes(data)
    found, whole = load(here), cached(load, trained_run)
    assert_same((found.params, found.tables, vars(found.state)), (whole.params, whole.tables, vars(whole.state)))


def case_model(rng, tiny, trained_run, here):
    with np.load(trained_run / "model.npz") as file:
        arrays = dict(file)
    if rng.random() < 0.4:
        arrays["about"] = np.array(json.dumps(changed_json(rng, json.loads(str(arrays["about"])))))
    else:
        name = rng.choice(sorted(arrays))
        arrays[name] = changed_array(rng, arrays[name])
        if rng.random() < 0.1:
            arrays[rng.choice(sorted(arrays)) + rng.choice(["", "x"])] = arrays.pop(name)
    np.savez(here / "model.npz", **arrays)
    trained, log = load(here), cached(read_log, tiny)
    score_all(trained, recommend.known(trained, log))


def case_run(rng, tiny, trained_run, here):
    out = Path(shutil.copytree(trained_run, here / "run"))
    path = out / rng.choice(["config.json", "config.json", "metrics.csv", "report.json", "test_scores.npz", "model.npz"])
    if path.suffix == ".json" and rng.random() < 0.7:
        path.write_text(json.dumps(changed_json(rng, json.loads(path.read_text()))))
    elif rng.random() < 0.3:
        path.unlink()
        if rng.random() < 0.5:
            path.mkdir()
    else:
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
    command, *flags = rng.choice(
        [
            (train, "--resume", out, "--quiet"),
            (train, "--data", tiny, "--out", out, "--quiet"),
            (evaluate, out, "--full", "--json"),
            (recommend, out, "--user", "u1"),
            (explain, out, "--user", "u1", "--samples", "3"),
        ]
    )
    assert command.main(list(map(str, flags))) == 0


def case_python(rng, tiny, trained_run, here):
    """A call of the library in which one argument is of another kind."""
    value, log = rng.choice(VALUES), cached(read_log, tiny)
    model = atrank_np.ATRank(**SETTINGS)
    model._take(cached(load, trained_run))
    calls = [
        lambda: read_log(value),
        lambda: load(value),
        lambda: atrank_np.ATRank(**SETTINGS | {rng.choice([*SETTINGS, "loss", "seed", "cap", "dropout"]): value}).fit(log),
        lambda: atrank_np.ATRank(**SETTINGS).fit(value),
        lambda: atrank_np.Log.from_frame(value),
        lambda: atrank_np.Log.from_frame(FRAME | {rng.choice([*FRAME]): value}),
        lambda: atrank_np.Log.from_frame(FRAME, value),
        lambda: atrank_np.Recommender.load(value),
        lambda: model.evaluate(rng.choice([value, log]), at=value),
        lambda: model.recommend(value),
        lambda: model.recommend(log, value),
        lambda: model.recommend(log, ["u1"], n=value),
        lambda: model.recommend(log, ["u1"], at=value),
        lambda: model.recommend(log, ["u1"], group=value),
        lambda: model.recommend(history=value),
        lambda: model.recommend(history=["i1", "i2"], times=value),
        lambda: model.recommend(history=["i1", "i2"], actions=value),
        lambda: model.similar_items(value),
        lambda: model.similar_items("i1", n=value),
        lambda: model.attention(log, value, "i1"),
        lambda: model.attention(log, "u1", value),
        lambda: model.update(value),
    ]
    rng.choice(calls)()


FRAME = {"user": ["a", "a", "b"], "object": ["x", "y", "x"], "time": [1, 2, 3]}


def case_codes(rng, tiny, trained_run, here):
    """A caller's own log, in which one array has another value, type or shape."""
    log, trained = cached(read_log, tiny), cached(load, trained_run)
    name = rng.choice(["offsets", "group", "object", "action", "time"])
    log = replace(log, **{name: changed_array(rng, getattr(log, name))})
    model = atrank_np.ATRank(**SETTINGS)
    rng.choice([model.fit, model._take(trained).recommend, model.evaluate, model.update])(log)


def everything_plain(tiny, trained_run, here):
    """What the cases do, with nothing changed."""
    log, trained = read_log(tiny), load(trained_run)
    model = atrank_np.ATRank(**SETTINGS).fit(log)
    model._take(trained).evaluate(log)
    model.update(log)
    score_all(trained, recommend.known(trained, log))
    assert explain.main([str(shutil.copytree(trained_run, here / "plain")), "--user", "u1", "--samples", "3"]) == 0


def forget_peak():
    """From now on `peak_rss_mb` is that of what comes; where a system cannot do so, of all that was."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


KINDS = {name.removeprefix("case_"): case for name, case in list(globals().items()) if name.startswith("case_")}


def end_of(case, number, *arguments):
    """How a case ends, in a word; AssertionError if it is neither a success nor one line."""
    rng = random.Random(f"{case.__name__} {number}")
    try:
        case(rng, *arguments)
        return "success"
    except (AtrankError, OSError) as fault:
        text = str(fault)
        if not isinstance(fault, AtrankError):  # `cli` prints the file and the reason, shortened
            assert fault.filename and fault.strerror
        else:
            assert len(text) <= 300 and text.splitlines() == [text], text
        return "refusal"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cases", [pytest.param(QUICK, id="quick"), pytest.param(MANY, id="many", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_every_case_ends_well(kind, cases, tiny, trained_run, here, capsys):
    numbers, ends, wrong = range(cases), Counter(), []
    if "CASE" in os.environ:
        chosen, number = os.environ["CASE"].split(":")
        numbers = [int(number)] if kind == chosen else []
    forget_peak()
    everything_plain(tiny, trained_run, here)
    plain = peak_rss_mb()
    for number in numbers:
        for path in here.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        forget_peak()
        try:
            ends[end_of(KINDS[kind], number, tiny, trained_run, here)] += 1
            assert plain is None or peak_rss_mb() <= 4 * plain, f"{peak_rss_mb():.0f} MB in the place of {plain:.0f}"
        except Exception as fault:
            if "CASE" in os.environ:
                raise
            *_, at = (frame for frame in traceback.extract_tb(fault.__traceback__) if "site-packages" not in frame.filename)
            wrong.append(f"{kind}:{number} {type(fault).__name__}: {str(fault)[:200]} ({Path(at.filename).name}:{at.lineno})")
    with capsys.disabled():
        print(f"\n{kind}: {len(numbers)} cases, {ends['success']} successes, {ends['refusal']} refusals, {len(wrong)} others")
    assert not wrong, "\n".join(wrong)
