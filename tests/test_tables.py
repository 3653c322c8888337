"""Logs as people have them: other separators, column names and times, gzip, Parquet, data frames, doubled rows, other ids."""

import doctest
import gzip
import importlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from logs import COLOURS, HEAD, ITEMS, SHOP, write

from atrank_np import DataError
from atrank_np.datasets import csv_files, stats
from atrank_np.datasets.catalogue import Bag
from atrank_np.datasets.log import Log
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_history, read_log
from atrank_np.runs.checkpoint import load, save
from atrank_np.runs.trained import assemble

EVENTS = "user,object,time\nb,x,5\na,y,9\nb,z,5\nb,y,4\nc,x,-1\n"
FRAME = {"user": ["b", "a", "b", "b", "c"], "object": ["x", "y", "z", "y", "x"], "time": [5, 9, 5, 4, -1]}
ITEM_FRAME = {"object": ["x", "y", "z"], "category": ["red", None, "red"]}


def same(log, other):
    """Asserts that two logs are equal in all that a model sees."""
    assert (log.schema, log.actions, log.counts) == (other.schema, other.actions, other.counts)
    for name in ("users", "offsets", "group", "object", "action", "time"):
        np.testing.assert_array_equal(getattr(log, name), getattr(other, name), name)
        assert getattr(log, name).dtype == getattr(other, name).dtype
    assert list(log.tables) == list(other.tables) and list(log.catalogues) == list(other.catalogues)
    for name, names in log.tables.items():
        np.testing.assert_array_equal(names, other.tables[name])
    for name, catalogue in log.catalogues.items():
        np.testing.assert_array_equal(catalogue.objects, other.catalogues[name].objects)
        for feature, values in catalogue.features.items():
            found = other.catalogues[name].features[feature]
            for a, b in zip(*([v.ids, v.offsets] if isinstance(v, Bag) else [v] for v in (values, found))):
                np.testing.assert_array_equal(a, b)


def plain(folder):
    (folder / "plain").mkdir()
    return read_log(write(folder / "plain", events_csv=EVENTS, items_csv=COLOURS))


@pytest.mark.parametrize("separator, word", csv_files.SEPARATORS.items())
@pytest.mark.parametrize(
    "header", ["user,object,time", "User, OBJECT ,time", '"user","Object",Time', "user, object, time"], ids=range(4)
)
def test_dialects(tmp_path, separator, word, header):
    """A space behind each separator of the header stands in the rows as well, or does not."""
    events = EVENTS.replace("user,object,time", header)
    if header == "user, object, time":
        events = events.replace(",x", ", x").replace(",5", ", 5")
    write(tmp_path, events_csv="\ufeff" + events.replace(",", separator), items_csv=COLOURS.replace(",", separator))
    log = read_log(tmp_path)
    same(log, plain(tmp_path))
    assert log.notes[0].startswith(f"read events.csv ({word}: user") and "whole numbers" in log.notes[0]


def test_a_separator_within_quotes_does_not_count(tmp_path):
    write(tmp_path, events_csv=EVENTS, items_csv='object,"category;a;b;c"\nx,red\ny,\nz,red\n')
    assert list(read_log(tmp_path).tables) == ["items.object", "category;a;b;c"]


def test_gzip(tmp_path):
    (tmp_path / "events.csv.gz").write_bytes(gzip.compress(EVENTS.encode()))
    (tmp_path / "items.tsv.gz").write_bytes(gzip.compress(COLOURS.replace(",", "\t").encode()))
    same(read_log(tmp_path), plain(tmp_path))
    (tmp_path / "events.csv.gz").write_bytes(gzip.compress(EVENTS.encode())[:-12])
    with pytest.raises(DataError, match="events.csv.gz: expected a readable file: "):
        read_log(tmp_path)
    write(tmp_path, events_csv=EVENTS)
    with pytest.raises(DataError, match="expected one table events, found events.csv and events.csv.gz"):
        read_log(tmp_path)


def test_columns_of_other_names(tmp_path):
    """--columns: those of the events; a file of objects may call its objects as the events do, or `object`."""
    columns = {"user": "visitorid", "object": "itemid", "time": "timestamp"}
    for number, own in enumerate(("object", "itemid")):
        folder = tmp_path / str(number)
        folder.mkdir()
        events = EVENTS.replace("user,object,time", "timestamp,event,visitorid,itemid", 1)
        rows = [row.split(",") for row in events.splitlines()]
        text = "\n".join([",".join(rows[0]), *(f"{time},view,{user},{object}" for user, object, time in rows[1:])]) + "\n"
        write(folder, events_csv=text, items_csv=COLOURS.replace("object", own))
        log = read_log(folder, columns=columns)
        same(log, plain(folder))
        assert "user = visitorid, object = itemid, time = timestamp" in log.notes[0]
    with pytest.raises(
        DataError, match="events.csv:1: expected a column 'when', got 'timestamp', 'event', 'visitorid', 'itemid'"
    ):
        read_log(folder, columns=columns | {"time": "when"})
    with pytest.raises(DataError, match="columns: expected names among user, group, action, object, time, got 'usr'"):
        read_log(folder, columns={"usr": "visitorid"})
    write(folder, history_csv="itemid,timestamp\nz,7\n")
    found = read_history(folder / "history.csv", log.schema, log.actions, log.catalogues, columns)
    assert {name: values.tolist() for name, values in found.items()} == {"group": [0], "object": [3], "action": [0], "time": [7]}


def test_the_flags(tmp_path, capsys):
    text = EVENTS.replace("object", "itemid").replace("b,z,5\n", "b,z,5\nb,z,5\nd,q,1\n")
    write(tmp_path, events_csv=text, items_csv=COLOURS)
    flags = [str(tmp_path), "--columns", "object=itemid", "--keep-duplicates"]
    assert stats.main([*flags, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["records"] == 7
    assert stats.main(flags) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("read events.csv (commas: user, object = itemid, ")
    assert lines[1] == "14.3% of the events of items have an unknown object: 'q' is not in items.csv"
    with pytest.raises(DataError, match="expected NAME=COLUMN"):
        stats.main([str(tmp_path), "--columns", "itemid"])


TIMES = {
    "whole": ["1577836800", "1577836801", "1577836802", "1577836803"],
    "decimal": ["1577836800.0", "1577836801.75", "1577836802", "1577836803.5"],
    "dates": ["2020-01-01", "2020-01-01T00:00:01.75Z", "2020-01-01 01:00:02+01:00", "2020-01-01 00:00:03.5"],
}


@pytest.mark.parametrize("form", TIMES)
@pytest.mark.parametrize("block", [1, csv_files.ROWS])
def test_forms_of_time(tmp_path, monkeypatch, form, block):
    """Ticks are seconds. Within a second the fraction orders the events, although it is then left out."""
    monkeypatch.setattr(csv_files, "ROWS", block)
    rows = [f"a,{object},{time}\n" for object, time in zip("xyzx", TIMES[form])]
    log = read_log(write(tmp_path, events_csv=HEAD + "".join(rows[::-1]), items_csv=COLOURS))
    assert log.time.tolist() == [1577836800, 1577836801, 1577836802, 1577836803] and log.object.tolist() == [1, 2, 3, 1]
    assert log.notes[0].split(" in ")[1].split(")")[0].split()[0] == {"dates": "ISO"}.get(form, form)
    if form != "whole":
        again = (
            HEAD + "a,y,5.75\na,x,5.25\na,x,5.5\n" if form == "decimal" else HEAD + "a,y,2020-01-01 00:00:00.5\na,x,2020-01-01\n"
        )
        log = read_log(write(tmp_path, events_csv=again))
        assert len(set(log.time)) == 1 and log.object.tolist() == [1, 1, 2][-len(log.object) :]


def test_the_example():
    found = doctest.testmod(importlib.import_module("atrank_np.datasets.log"))
    assert found.attempted and not found.failed


def test_more_users_than_sixteen_bits_can_number(tmp_path):
    """Users 0 and 65,536 are two; their events come back to them, in time order."""
    n = 2**16 + 2
    log = Log.from_frame({"user": [*range(n), *range(n)], "object": [1] * n + [2] * n, "time": [5] * n + [4] * n})
    assert log.users.tolist() == list(map(str, range(n))) and (np.diff(log.offsets) == 2).all()
    assert log.object.reshape(n, 2).tolist() == [[2, 1]] * n


def test_events_alone(tmp_path):
    """Objects are those of the events, in their order; a file of the group that is named elsewhere is asked for."""
    log = read_log(write(tmp_path, events_csv=EVENTS))
    assert log.catalogues["items"].objects.tolist() == ["unknown", "x", "y", "z"] == log.tables["items.object"].tolist()
    assert log.object.tolist() == [2, 1, 3, 2, 1] and log.catalogues["items"].codes("object").tolist() == [0, 1, 2, 3]
    assert log.notes[0].endswith("; items: the objects of the events")
    write(tmp_path, schema_toml='[groups.items.features]\nobject = "id"\nshop = "categorical"\n')
    with pytest.raises(DataError, match="items: expected a table of its objects, with a column 'shop'; found none"):
        read_log(tmp_path)


def test_tokens_with_a_separator(tmp_path):
    schema = '[groups.items.features]\nobject = "id"\ngenres = {kind = "tokens", separator = "|"}\n'
    items = "object,genres\nx,Action|Science Fiction| Action \ny,\nz,|Comedy\n"
    log = read_log(write(tmp_path, events_csv=EVENTS, items_csv=items, schema_toml=schema))
    assert log.tables["genres"].tolist() == ["unknown", "Action", "Science Fiction", "Comedy"]
    bag = log.catalogues["items"].features["genres"]
    assert bag.ids.tolist() == [1, 2, 1, 3] and bag.offsets.tolist() == [0, 0, 3, 3, 4]
    frame = {"object": ["x", "y", "z"], "genres": [["Action", "Science Fiction", "Action"], [], ["Comedy"]]}
    same(Log.from_frame(FRAME, frame, schema=log.schema), log)
    with pytest.raises(DataError, match="genres.separator: only tokens have one, and this is categorical"):
        read_log(write(tmp_path, schema_toml=schema.replace("tokens", "categorical")))


def in_pandas(columns):
    return importlib.import_module("pandas").DataFrame(columns)


def in_pyarrow(columns):
    return importlib.import_module("pyarrow").table(columns)


def in_polars(columns):
    return importlib.import_module("polars").DataFrame(columns)


@pytest.mark.parametrize("make", [dict, in_pandas, in_pyarrow, in_polars])
def test_frames(tmp_path, make):
    if make is not dict:
        pytest.importorskip(make.__name__[3:])
    same(Log.from_frame(make(FRAME), make(ITEM_FRAME)), plain(tmp_path))
    renamed = {"visitor": FRAME["user"], "object": FRAME["object"], "time": np.array(FRAME["time"])}
    same(Log.from_frame(make(renamed), {"items": make(ITEM_FRAME)}, columns={"user": "visitor"}), read_log(tmp_path / "plain"))
    alone = read_log(write(tmp_path, events_csv=EVENTS))
    same(Log.from_frame(make(FRAME)), alone)
    seconds = np.array(FRAME["time"]) * 1000 + 500
    same(Log.from_frame(make(FRAME | {"time": seconds.astype("datetime64[ms]")})), alone)
    same(Log.from_frame(make(FRAME | {"time": seconds / 1000})), alone)


def test_several_groups_in_frames():
    """The shop, with its schema, out of columns of texts."""
    import csv

    def columns(name):
        with (SHOP / f"{name}.csv").open(newline="") as file:
            header, *rows = csv.reader(file)
        return {name: np.array(column, object) for name, column in zip(header, zip(*rows))}

    log = read_log(SHOP)
    found = Log.from_frame(columns("events"), {g.name: columns(g.name) for g in log.schema.groups}, schema=log.schema.to_dict())
    same(found, log)


def test_whole_numbers_are_names():
    log = Log.from_frame({"user": np.array([7, 7]), "object": np.array([12.0, 13.0]), "time": [1, 2]}, {"object": [12, 13]})
    assert log.users.tolist() == ["7"] and log.object.tolist() == [1, 2]


@pytest.mark.parametrize(
    "events, text",
    [
        ([1, 2], "events: expected a data frame or a dict of arrays, got list"),
        (FRAME | {"time": [1, 2]}, "events: expected columns of equal length, got time of another"),
        (FRAME | {"time": np.zeros((5, 2))}, "events: time: expected one value for each row, got an array of shape (5, 2)"),
        (
            FRAME | {"time": [1, 2, 3, None, 5]},
            "events: row 3: time: expected an integer below 2^62 or a decimal below 2^53, got ''",
        ),
        (FRAME | {"user": ["a", "b", None, "d", "e"]}, "events: row 2: user: expected a name, got an empty cell"),
        (
            {"user": ["a"], "time": [1]},
            "events: expected a column 'object', got 'user', 'time' (say which it is: `columns` object=…)",
        ),
        ({name: [] for name in FRAME}, "events: expected rows below the header, found none"),
    ],
)
def test_faults_of_frames(events, text):
    with pytest.raises(DataError) as fault:
        Log.from_frame(events)
    assert str(fault.value) == text


def test_parquet(tmp_path):
    """A file, or a folder of parts in the order of their numbers; names may be encoded or numbers, times timestamps."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    log = plain(tmp_path)
    events = pa.table(FRAME | {"user": pa.array(FRAME["user"]).dictionary_encode()})
    pq.write_table(pa.table(ITEM_FRAME), tmp_path / "items.parquet")
    pq.write_table(events, tmp_path / "events.parquet", row_group_size=2)
    same(read_log(tmp_path), log)
    assert (
        log.notes != read_log(tmp_path).notes and "events.parquet (Parquet: user, object, time in" in read_log(tmp_path).notes[0]
    )
    odd = pa.DictionaryArray.from_arrays([2, 1, 2, 2, 0], ["c", "a", "b", "nobody"])  # another order, and a name of no event
    pq.write_table(pa.table(FRAME | {"user": odd}), tmp_path / "events.parquet")
    same(read_log(tmp_path), log)
    odd = pa.DictionaryArray.from_arrays([2, 1, 2, 2, 0], ["c", "a", "b", "nobody"])  # another order, and a name of no event
    pq.write_table(pa.table(FRAME | {"user": odd}), tmp_path / "events.parquet")
    same(read_log(tmp_path), log)
    (tmp_path / "events.parquet").unlink()
    (tmp_path / "events.parquet" / "day=1").mkdir(parents=True)
    for part, rows in ((2, slice(0, 3)), (10, slice(3, 5))):
        pq.write_table(events.slice(rows.start, rows.stop - rows.start), tmp_path / f"events.parquet/day=1/part.{part}.parquet")
    (tmp_path / "events.parquet" / "_SUCCESS").touch()
    same(read_log(tmp_path), log)
    bad = pa.table(FRAME | {"user": ["b", "a", None, "b", "c"], "time": pa.array(FRAME["time"], pa.timestamp("s"))})
    pq.write_table(bad, tmp_path / "events.parquet/day=1/part.2.parquet")
    (tmp_path / "events.parquet" / "day=1" / "part.10.parquet").unlink()
    with pytest.raises(DataError, match="events.parquet: row 2: user: expected a name, got an empty cell"):
        read_log(tmp_path)
    (tmp_path / "items.parquet").write_bytes(b"no Parquet")
    with pytest.raises(DataError, match="items.parquet: expected readable Parquet: "):
        read_log(tmp_path)


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "events.parquet").touch()
    with pytest.raises(DataError, match="events.parquet: Parquet needs pyarrow: pip install pyarrow"):
        read_log(tmp_path)


def test_one_long_name(tmp_path):
    """It costs its own length, in memory and in the file of a model; so does a long token, category or user."""
    long, names = "é" * 100_000, [f"i{n}" for n in range(2000)]
    items = "object,category\n" + "".join(f"{name},{long if name == 'i7' else 'c'}\n" for name in [*names, long])
    events = HEAD + "".join(f"{long if n == 5 else n},{names[n + k]},{k}\n" for n in range(600) for k in range(3))
    log = read_log(write(tmp_path, events_csv=events, items_csv=items))
    arrays = [log.users, *log.tables.values(), log.catalogues["items"].objects]
    assert sum(array.nbytes for array in arrays) < 200_000 and all(long in array.tolist() for array in arrays)
    trained = assemble(Protocol(log))
    save(tmp_path / "model.npz", replace(trained, params={name: w for name, w in trained.params.items()}))
    assert (tmp_path / "model.npz").stat().st_size < 1_000_000 + sum(w.nbytes for w in trained.params.values())
    assert load(tmp_path / "model.npz").fits(log)


def test_a_long_cell_that_nobody_reads(tmp_path, monkeypatch):
    schema = '[groups.items.features]\nobject = "id"\n'
    items = "object,text\nx,a\ny,{}\nz,b\n"
    write(tmp_path, events_csv=EVENTS, items_csv=items.format("word " * 30_000), schema_toml=schema)
    read_log(tmp_path)
    write(tmp_path, schema_toml=schema + 'text = "tokens"\n')
    assert np.diff(read_log(tmp_path).catalogues["items"].features["text"].offsets).max() == 30_000
    write(tmp_path, items_csv=items.format("x" * (csv_files.LONGEST + 1)))
    with pytest.raises(
        DataError, match="items.csv:3: .* a cell of the row that begins here is longer than 16,777,216 characters"
    ):
        read_log(tmp_path)


def test_real_cases_of_quotes_and_headers(tmp_path):
    items = Path(write(tmp_path, items_csv=ITEMS) / "items.csv")
    assert items.exists()
    write(tmp_path, events_csv="user,object ,time\nu,a,1\nu,b,2\n")
    assert read_log(tmp_path).object.tolist() == [1, 2]
    write(tmp_path, events_csv=",user,object,time\n0,u,a,1\n")
    with pytest.raises(DataError, match=r"events.csv:1: column 1 has no name \(from pandas, write with to_csv\(index=False\)\)"):
        read_log(tmp_path)
