"""Reading logs: every array by value, every fault by its exact text, the format's page by running its example."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from logs import HEAD, write

from atrank_np.datasets import csv_files
from atrank_np.datasets.catalogue import Bag
from atrank_np.datasets.reading import read_history, read_log
from atrank_np.errors import DataError

EVENTS = "user,object,time\nb,x,5\na,y,9\nb,z,5\nb,y,4\nc,x,-1\n"
ITEMS = "object,category\nx,red\ny,\nz,red\n"

EQUAL = "events left out, equal to another one in all columns"

TWO_GROUPS = """
targets = ["items"]
[groups.items.features]
object = "id"
shop = "categorical"
price = "number"
[groups.coupons.features]
shop = "categorical"
item = {kind = "categorical", table = "items.object"}
words = "tokens"
"""
TWO_ITEMS = "price,object,ignored,shop\n1.5,i1,?,s1\n,i2,?,unknown\n-2e3,unknown,?,\n"
TWO_COUPONS = 'object,words,item,shop\nc1,"b  a, b ",i2,s9\nc2,,i7,s1\nc3,a,,missing\n'
TWO_EVENTS = """user,group,action,object,time
u,coupons,take,c3,3
u,items,click,i2,2
v,items,click,unknown,2
u,items,show,c3,2
u,coupons,show,c1,2
"""


def write_two_groups(folder, **files):
    return write(
        folder,
        **{"schema_toml": TWO_GROUPS, "items_csv": TWO_ITEMS, "coupons_csv": TWO_COUPONS, "events_csv": TWO_EVENTS, **files},
    )


def equal(array, values, dtype=None):
    np.testing.assert_array_equal(array, values)
    assert dtype is None or array.dtype == dtype


def test_one_group_without_schema(tmp_path):
    log = read_log(write(tmp_path, events_csv=EVENTS, items_csv=ITEMS))
    assert log.actions == ("act",)
    equal(log.users, ["b", "a", "c"])
    equal(log.offsets, [0, 3, 4, 5], np.int64)
    equal(log.time, [4, 5, 5, 9, -1], np.int64)
    equal(log.object, [2, 1, 3, 2, 1], np.int32)  # x before z, a tie in file order
    equal(log.group, [0] * 5, np.int8)
    equal(log.action, [0] * 5, np.int16)
    assert list(log.tables) == ["items.object", "category"]
    equal(log.tables["items.object"], ["unknown", "x", "y", "z"])
    equal(log.tables["category"], ["unknown", "red", "missing"])
    (items,) = log.catalogues.values()
    equal(items.objects, ["unknown", "x", "y", "z"])
    equal(items.features["object"], [0, 1, 2, 3], np.int32)
    equal(items.features["category"], [0, 1, 2, 1], np.int32)
    assert log.counts == {"events whose object is in no group file": 0, "users with one event": 2, EQUAL: 0}


def test_two_groups_with_schema(tmp_path):
    log = read_log(write_two_groups(tmp_path))
    assert log.actions == ("take", "click", "show")
    equal(log.users, ["u", "v"])
    equal(log.offsets, [0, 4, 5])
    equal(log.time, [2, 2, 2, 3, 2])
    equal(log.group, [0, 0, 1, 1, 0])
    equal(log.object, [2, 0, 1, 3, 3])  # c3 is no item; an object named unknown is an ordinary one
    equal(log.action, [1, 2, 2, 0, 1])
    items, coupons = log.catalogues["items"], log.catalogues["coupons"]
    equal(items.objects, ["unknown", "i1", "i2", "unknown"])
    equal(items.features["price"], [np.nan, 1.5, np.nan, -2000], np.float64)
    equal(log.tables["shop"], ["unknown", "s1", "unknown", "missing", "s9"])
    equal(items.features["shop"], [0, 1, 2, 3])
    equal(coupons.features["shop"], [0, 4, 1, 3])
    equal(log.tables["items.object"], ["unknown", "i1", "i2", "unknown", "i7", "missing"])
    equal(items.features["object"], [0, 1, 2, 3])
    equal(coupons.features["item"], [0, 2, 4, 5])
    assert list(coupons.features) == ["shop", "item", "words"]
    words = coupons.features["words"]
    assert isinstance(words, Bag)
    equal(log.tables["words"], ["unknown", "b", "a,", "a"])
    equal(words.ids, [1, 2, 1, 3], np.int32)
    equal(words.offsets, [0, 0, 3, 3, 4], np.int64)
    assert set(log.tables) == {"items.object", "shop", "words"}
    assert log.counts == {"events whose object is in no group file": 1, "users with one event": 1, EQUAL: 0}


def test_declared_actions_keep_their_order(tmp_path):
    log = read_log(write_two_groups(tmp_path, schema_toml='actions = ["a", "show", "take", "click"]' + TWO_GROUPS))
    assert log.actions == ("a", "show", "take", "click")
    equal(log.action, [3, 1, 1, 2, 3])


def test_one_declared_group_and_action_need_no_columns(tmp_path):
    schema = 'actions = ["buy"]\n[groups.goods.features]\nobject = "id"\n'
    log = read_log(write(tmp_path, schema_toml=schema, goods_csv=ITEMS, events_csv=EVENTS))
    assert log.actions == ("buy",) and list(log.catalogues) == ["goods"]


def test_a_history_keeps_the_order_of_its_ties(tmp_path):
    """Those of one basket, as in the file; what is later stands before them there."""
    items = "object\n" + "".join(f"o{n}\n" for n in range(60))
    rows = "".join(f"o{n},{5 - n % 2}\n" for n in range(60))
    files = {"events_csv": EVENTS, "items_csv": items, "history_csv": "object,time\n" + rows}
    log = read_log(write(tmp_path, **files), allow_unknown=True)
    found = read_history(tmp_path / "history.csv", log.schema, log.actions, log.catalogues)
    equal(found["object"], [*range(2, 61, 2), *range(1, 61, 2)])


def test_selected_features_leave_the_others_unread(tmp_path):
    log = read_log(write_two_groups(tmp_path, items_csv="object,shop\ni1,s\n"), features=["shop"], allow_unknown=True)
    assert [list(c.features) for c in log.catalogues.values()] == [["shop"], ["shop"]]
    assert list(log.tables) == ["shop"]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text + "\n\n",
        lambda text: text[:-1],
        lambda text: re.sub(r"[^,\n]+", r'"\g<0>"', text),
    ],
    ids=["bom", "crlf", "blank last lines", "no last line end", "quotes"],
)
def test_spellings_of_the_same_log(tmp_path, change):
    log = read_log(write(tmp_path, events_csv=change(EVENTS), items_csv=change(ITEMS)))
    equal(log.users, ["b", "a", "c"])
    equal(log.object, [2, 1, 3, 2, 1])
    equal(log.time, [4, 5, 5, 9, -1])
    equal(log.tables["category"], ["unknown", "red", "missing"])


def test_blocks_do_not_show(tmp_path, monkeypatch):
    whole = read_log(write_two_groups(tmp_path))
    monkeypatch.setattr(csv_files, "ROWS", 2)
    blocks = read_log(tmp_path)
    for name in ("users", "offsets", "group", "object", "action", "time"):
        equal(getattr(blocks, name), getattr(whole, name), getattr(whole, name).dtype)
    words = [log.catalogues["coupons"].features["words"] for log in (blocks, whole)]
    equal(words[0].ids, words[1].ids, np.int32)
    equal(words[0].offsets, words[1].offsets, np.int64)
    equal(blocks.catalogues["items"].features["price"], whole.catalogues["items"].features["price"])


REST = "'action', 'object', 'time' (say which it is: `columns` group=…)"
NUMBER = "an integer below 2^62 or a decimal below 2^53"
OPEN = "expected well-formed CSV: the row that begins here has a quote that is not closed"
FAULTS = [
    ("events", "", "events.csv:1: expected a header, found an empty file"),
    ("events", "\n\n", "events.csv:1: expected a header, found an empty file"),
    ("events", HEAD, "events.csv:1: expected rows below the header, found none"),
    (
        "events",
        "user,object\na,x\n",
        "events.csv:1: expected a column 'time', got 'user', 'object' (say which it is: `columns` time=…)",
    ),
    ("events", "user,time,user\na,x\n", "events.csv:1: expected different column names, got 'user' twice"),
    (
        "events",
        ",user,object,time\n0,a,x,1\n",
        "events.csv:1: column 1 has no name (from pandas, write with to_csv(index=False))",
    ),
    ("events", HEAD + "a,x,1\na,x\n", "events.csv:3: expected 3 cells, got 2"),
    ("events", HEAD + "a,x,1\n\na,x,1,1\n", "events.csv:4: expected 3 cells, got 4"),
    ("events", HEAD + "a,x,1\na,x,soon\n", f"events.csv:3: time: expected {NUMBER}, got 'soon'"),
    ("events", HEAD + "a,x,1\na,x,2020-01-01\n", f"events.csv:3: time: expected {NUMBER}, got '2020-01-01'"),
    ("events", HEAD + "a,x,2020-01-01\na,x,2\n", "events.csv:3: time: expected an ISO date, got '2'"),
    ("events", HEAD + f"a,x,{2**53}.5\n", f"events.csv:2: time: expected {NUMBER} or an ISO date, got '{2**53}.5'"),
    ("events", HEAD + "a,x,NaN\n", f"events.csv:2: time: expected {NUMBER} or an ISO date, got 'NaN'"),
    ("events", HEAD + "a,x,\n", f"events.csv:2: time: expected {NUMBER} or an ISO date, got ''"),
    ("events", HEAD + "a,x,1_000\n", f"events.csv:2: time: expected {NUMBER} or an ISO date, got '1_000'"),
    ("events", HEAD + f"a,x,{2**63}\n", f"events.csv:2: time: expected {NUMBER} or an ISO date, got '{2**63}'"),
    ("events", HEAD + f"a,x,{-(2**62)}\n", f"events.csv:2: time: expected {NUMBER} or an ISO date, got '{-(2**62)}'"),
    ("events", HEAD + '"a\nb",x,1\n\na,x,?\n', f"events.csv:5: time: expected {NUMBER}, got '?'"),
    ("events", HEAD + ",x,1\n", "events.csv:2: user: expected a name, got an empty cell"),
    ("events", HEAD + "a,,1\n", "events.csv:2: object: expected a name, got an empty cell"),
    ("events", "user,object,time,action\na,x,1,\n", "events.csv:2: action: expected a name, got an empty cell"),
    ("events", "user,object,time,group\na,x,1,items\na,x,1,iterns\n", "events.csv:3: group: expected one of items, got 'iterns'"),
    ("events", HEAD.encode() + b"a,x,1\na,\xe9,1\n", "events.csv:3: expected UTF-8, got byte 0xe9; save the file as UTF-8"),
    ("events", HEAD + 'a,x,1\n\na,"x,1\na,x,2\n', f"events.csv:4: {OPEN} (unexpected end of data)"),
    ("events", HEAD + 'a,x,1\na,"x,1\na,x,2\na,"x",3\n', f"events.csv:3: {OPEN} (',' expected after '\"')"),
    ("items", "", "items.csv:1: expected a header, found an empty file"),
    ("items", "object\n", "items.csv:1: expected rows below the header, found none"),
    (
        "items",
        "id,category\nx,red\n",
        "items.csv:1: expected a column 'object', got 'id', 'category' (say which it is: `columns` object=…)",
    ),
    ("items", "object,category\nx,red\n,red\n", "items.csv:3: object: expected a name, got an empty cell"),
    ("events", HEAD + "a,x,1\na\0,x,1\n", "events.csv:3: user: expected a name, got a character of code 0"),
    ("items", "object\nx\ny\nz\ny\nx\n", "items.csv:5: object: expected every object once, got 'y' again"),
    ("items", "object,category\nx\n", "items.csv:2: expected 2 cells, got 1"),
    ("items", b"object\n\xff\n", "items.csv:2: expected UTF-8, got byte 0xff; save the file as UTF-8"),
]


@pytest.mark.parametrize("block", [1, 2, csv_files.ROWS])
@pytest.mark.parametrize("name, text, expected", FAULTS)
def test_faults(tmp_path, monkeypatch, block, name, text, expected):
    monkeypatch.setattr(csv_files, "ROWS", block)
    write(tmp_path, events_csv=EVENTS, items_csv=ITEMS)
    write(tmp_path, **{f"{name}_csv": text})
    with pytest.raises(DataError) as fault:
        read_log(tmp_path)
    assert str(fault.value) == expected


@pytest.mark.parametrize(
    "name, old, new, expected",
    [
        ("items_csv", "-2e3", "cheap", "items.csv:4: price: expected a finite number or an empty cell, got 'cheap'"),
        ("items_csv", "-2e3", "nan", "items.csv:4: price: expected a finite number or an empty cell, got 'nan'"),
        ("items_csv", "-2e3", "-inf", "items.csv:4: price: expected a finite number or an empty cell, got '-inf'"),
        ("items_csv", "-2e3", "1e999", "items.csv:4: price: expected a finite number or an empty cell, got '1e999'"),
        ("items_csv", "-2e3", "2_0", "items.csv:4: price: expected a finite number or an empty cell, got '2_0'"),
        ("items_csv", "price", "cost", "items.csv:1: expected a column 'price', got 'cost', 'object', 'ignored', 'shop'"),
        ("events_csv", "group", "kind", f"events.csv:1: expected a column 'group', got 'user', 'kind', {REST}"),
        ("events_csv", "v,items", "v,shops", "events.csv:4: group: expected one of items, coupons, got 'shops'"),
        (
            "schema_toml",
            '["items"]',
            '["items"]\nactions = ["take", "click"]',
            "events.csv:5: action: expected one of take, click, got 'show'",
        ),
        (
            "schema_toml",
            "[groups.items.features]",
            '[groups.items]\ntarget_action = "buy"\n[groups.items.features]',
            "schema.toml: groups.items: expected actions among take, click, show, got 'buy'",
        ),
        (
            "schema_toml",
            "[groups.items.features]",
            '[groups.items]\nnegative_actions = ["shown"]\n[groups.items.features]',
            "schema.toml: groups.items: expected actions among take, click, show, got 'shown'",
        ),
    ],
)
def test_faults_of_two_groups(tmp_path, name, old, new, expected):
    text = {"items_csv": TWO_ITEMS, "events_csv": TWO_EVENTS, "schema_toml": TWO_GROUPS}[name]
    assert old in text
    with pytest.raises(DataError) as fault:
        read_log(write_two_groups(tmp_path, **{name: text.replace(old, new, 1)}))
    assert str(fault.value) == expected


def test_missing_files(tmp_path):
    schema = read_log(write(tmp_path, events_csv=EVENTS, items_csv=ITEMS)).schema
    with pytest.raises(DataError, match="nowhere: expected a folder with events.csv, found none"):
        read_log(tmp_path / "nowhere", schema=schema)
    (tmp_path / "events.csv").unlink()
    with pytest.raises(DataError) as fault:
        read_log(write(tmp_path, items_csv=ITEMS))
    assert str(fault.value) == f"{tmp_path / 'events.csv'}: expected a readable file: No such file or directory"


def test_too_many_actions(tmp_path):
    rows = "".join(f"a,x,{n},{n}\n" for n in range(2**15 + 1))
    with pytest.raises(DataError) as fault:
        read_log(write(tmp_path, items_csv=ITEMS, events_csv="user,object,action,time\n" + rows))
    assert str(fault.value) == "events.csv:32770: action: expected at most 32768 names, got one more"


def test_example_of_the_format_page(tmp_path):
    page = (Path(__file__).parents[1] / "data" / "README.md").read_text()
    files = dict(re.findall(r"\*\*([\w.]+)\*\*\n\n```\w+\n(.*?)```", page, re.DOTALL))
    assert set(files) == {"events.csv", "items.csv", "queries.csv", "schema.toml"}
    log = read_log(write(tmp_path, **files))
    equal(log.users, ["ann", "bob"])
    equal(log.group, [0, 1, 0, 0, 0])
    equal(log.object, [1, 1, 2, 2, 0])
    assert [log.actions[a] for a in log.action] == ["click", "search", "buy", "click", "click"]
    equal(log.tables["words"], ["unknown", "red", "leather", "shoes"])
    equal(log.catalogues["items"].features["tags"].ids, [1, 2, 1])
    equal(log.catalogues["queries"].features["words"].ids, [1, 3])
    assert log.schema.groups[0].unit == 3600 and log.schema.groups[0].features[2].size == 32


REAL = [
    ("amazon_beauty", 198_502, 22_363, 12_101, {"category": 195, "brand": 435}, ("act",)),
    (
        "jd_microbehavior",
        30_358,
        3_880,
        12_971,
        {"category": 78, "brand": 1864, "shop": 2631},
        ("browse", "order", "comment", "follow"),
    ),
]


@pytest.mark.real
@pytest.mark.skipif("ATRANK_DATA" not in os.environ, reason="ATRANK_DATA names no folder of real logs")
@pytest.mark.parametrize("name, events, users, objects, values, actions", REAL)
def test_real_logs(name, events, users, objects, values, actions):
    log = read_log(Path(os.environ["ATRANK_DATA"]) / name)
    items = log.catalogues["items"]
    assert (len(log.time), len(log.users), len(items.objects)) == (events, users, objects + 1)
    assert {table: len(set(log.tables[table]) - {"unknown", "missing"}) for table in values} == values
    assert set(log.actions) == set(actions)
    assert log.counts == {"events whose object is in no group file": 0, "users with one event": 0, EQUAL: 0}
    starts = np.repeat(log.offsets[:-1], np.diff(log.offsets))
    later = np.arange(events) > starts
    assert np.all(np.diff(log.time)[later[1:]] >= 0)
