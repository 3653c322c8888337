"""Logs that are sound and odd: what is counted, noted or refused."""

import numpy as np
import pytest
from logs import COLOURS, HEAD, NEGATIVE, one_group, write

from atrank_np import DataError
from atrank_np.datasets import stats
from atrank_np.datasets.folder import DataSource
from atrank_np.datasets.log import Log, without_full_users
from atrank_np.datasets.negatives import Negatives
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_history, read_log
from atrank_np.datasets.time_units import time_units


def test_rows_that_stand_twice(tmp_path):
    """Equal in all columns: one stays. Two unknown objects of one moment are different rows."""
    rows = ["a,x,1", "a,y,1", "a,x,1", "b,x,1", "a,x,2", "a,p,3", "a,q,3", "a,p,3"]
    log = read_log(write(tmp_path, events_csv=HEAD + "\n".join(rows) + "\n", items_csv=COLOURS))
    assert log.object.tolist() == [1, 2, 1, 0, 0, 1] and log.time.tolist() == [1, 1, 2, 3, 3, 1]
    assert log.counts["events left out, equal to another one in all columns"] == 2
    kept = read_log(tmp_path, keep_duplicates=True)
    assert kept.object.tolist() == [1, 2, 1, 1, 0, 0, 0, 1] and kept.schema.duplicates == "keep"
    write(tmp_path, history_csv=HEAD + "a,x,1\na,x,1\na,p,1\na,q,1\na,p,1\n")
    for own, objects in ((log, [1, 0, 0]), (kept, [1, 1, 0, 0, 0])):
        assert read_history(tmp_path / "history.csv", own.schema, own.actions, own.catalogues)["object"].tolist() == objects


def test_who_loses_a_test_is_counted(tmp_path):
    """u's last target is a repeat, v's is in no file, w has one event, x is tested."""
    log = one_group(tmp_path, "u a 1,u b 2,u c 3,u a 4,v a 1,v b 2,v gone 3,w a 1,x a 1,x b 2,x c 3")
    counts = Protocol(log).counts
    assert counts["users without a test among items, the last target is already in the history"] == 1
    assert counts["users without a test among items, the last target is in no file"] == 1
    assert counts["users without a target among items"] == 1


@pytest.mark.parametrize("change", [str.upper, lambda name: name + " ", lambda name: f"00{name}", lambda name: f"{name}.0"])
def test_ids_that_do_not_match(tmp_path, change):
    """The line has the share and the nearest spelling; above a half it is refused unless that is allowed."""
    rows = [f"u{n},{name},{n}" for n, name in enumerate("xyzx" * 5)]
    some = [row if n % 4 else row.replace(row.split(",")[1], change(row.split(",")[1])) for n, row in enumerate(rows)]
    log = read_log(write(tmp_path, events_csv=HEAD + "\n".join(some) + "\n", items_csv=COLOURS))
    (line,) = log.notes[1:]
    assert line == f"25.0% of the events of items have an unknown object: {change('x')!r} is not in items.csv, 'x' is"
    most = [row if n % 4 == 0 else row.replace(row.split(",")[1], change(row.split(",")[1])) for n, row in enumerate(rows)]
    write(tmp_path, events_csv=HEAD + "\n".join(most) + "\n")
    end = "; so have 75.0% of all: make the names equal, or go on with `allow_unknown`$"
    with pytest.raises(DataError, match=rf"^75.0% of the events .*, 'y' is; .*, 'z' is{end}"):
        read_log(tmp_path)
    assert np.count_nonzero(read_log(tmp_path, allow_unknown=True).object == 0) == 15
    source = DataSource(str(tmp_path), allow_unknown=True)
    assert source.read()[0].notes[1].startswith("75.0%")


def test_a_name_that_is_nearly_another(tmp_path):
    rows = "".join(f"a,{name},{n}\n" for n, name in enumerate(["item_135", "item-135", "item_7", "item_135"]))
    log = read_log(write(tmp_path, events_csv=HEAD + rows, items_csv="object\nitem_135\nitem_7\nitem_99\n"))
    assert log.notes[1].endswith("'item-135' is not in items.csv, 'item_135' is")


@pytest.mark.parametrize(
    "ticks, text",
    [
        (1, None),
        (1000, "% of the behaviours of items are older than the last time bucket starts: are times in milliseconds? "),
        (10**9, "100% of the behaviours of items are older than the last time bucket starts: are times in nanoseconds? "),
        (1 / 86400, "100% of the behaviours of items are newer than one bucket_unit (86,400 ticks): are times in days? "),
    ],
)
def test_times_in_another_unit(tmp_path, capsys, ticks, text):
    """Days between a user's events are lognormal(3, 1.8), as in the paper's data."""
    rng = np.random.default_rng(0)
    time = 1_500_000_000 + np.cumsum(86400 * np.floor(rng.lognormal(3, 1.8, (50, 20)).clip(0, 100)), axis=1)
    rows = "".join(f"u{u},x,{int(t * ticks)}\n" for u, own in enumerate(time) for t in own)
    write(tmp_path, events_csv=HEAD + rows, items_csv=COLOURS)
    lines = time_units(read_log(tmp_path))
    assert len(lines) == (text is not None) and all(text in line for line in lines)
    stats.main([str(tmp_path)])
    assert [line for line in capsys.readouterr().out.splitlines() if "behaviours of items are" in line] == lines
    if ticks == 1000:
        assert lines[0].endswith("Then bucket_unit = 86400000 in schema.toml")


def test_dates_without_dashes(tmp_path):
    """They are whole numbers; what they seem to be is said."""
    rows = "".join(f"u{u},x,202401{day:02}\n" for u in range(5) for day in range(1, 14))
    (line,) = time_units(read_log(write(tmp_path, events_csv=HEAD + rows, items_csv=COLOURS)))
    assert line.endswith("than one bucket_unit (86,400 ticks): is 20240113 a date? Then write 2024-01-13")


def test_a_user_near_the_whole_catalogue(monkeypatch):
    """What is left is looked up once, not row by row, and drawn uniformly."""
    n = 1500
    events = {"user": ["bot"] * (n - 5) + ["u"] * 3, "object": [*range(n - 5), 1, 2, 3], "time": range(n - 2)}
    log = Log.from_frame({name: list(values) for name, values in events.items()}, {"object": list(range(n))})
    negatives, calls = Negatives(log), []
    takes = Negatives._takes
    monkeypatch.setattr(Negatives, "_takes", lambda self, *arguments: calls.append(1) or takes(self, *arguments))
    train = Protocol(log).train
    calls.clear()
    drawn = negatives.draw(np.random.default_rng(0), train, 1)[train.user == 0, 0]
    assert len(calls) < 30 and len(drawn) > 1000
    left, counts = np.unique(drawn, return_counts=True)
    assert left.tolist() == list(range(n - 4, n + 1)) and counts.min() > 200


def test_users_with_everything(tmp_path):
    """They are listed, and can be left out. What was shown and not taken is not theirs."""
    every = ",".join(f"{user} {object} {n} view" for user in ("u", "v", "w", "x") for n, object in enumerate("abcdefg"))
    log = one_group(tmp_path, every + ",y a 1 view,y b 2 view,y c 3 view,y d 4 show", NEGATIVE)
    with pytest.raises(DataError) as fault:
        Protocol(log).task  # noqa: B018
    assert str(fault.value).startswith("4 users ('u', 'v', 'w', …) act on every object of items, so no negative is left")
    source = DataSource(str(tmp_path), drop_full_users=True)
    kept, _ = source.read()
    assert kept.users[np.unique(Protocol(kept).test.user)].tolist() == ["y"]
    assert kept.counts["users left out, who act on every object"] == 4
    assert without_full_users(kept).counts["users left out, who act on every object"] == 0
