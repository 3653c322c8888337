"""The command that simulates the shop, and the data that it makes."""

import hashlib

import numpy as np
import pytest
from logs import SHOP

from atrank_np.datasets import shop, shop_ceiling, shop_world
from atrank_np.datasets.reading import read_log
from atrank_np.errors import DataError

ITEMS, QUERIES, COUPONS = range(3)
SHA256 = {  # of data/shop, as the default arguments make it
    "coupons.csv": "29c6bc9e1f15552777adb3e76a71841e45a5f2a507fe88c7cf89ce7b4ac1b457",
    "events.csv": "4871d7df8b8f55a66873def22a551e2942f387ea480a90272164173758cebc44",
    "items.csv": "eca0c76ad9d7506128719fbce5876006e7e29ce43d3cb45fa5e13bb6e3c59020",
    "queries.csv": "980202abde2eb40eb6e909aa1dba6e226fc7916e3d40cf3c0a9e39391ccabb2d",
    "schema.toml": "5cb4aef6b8f1137110bdec11e213bd17c3648871c6b74d8c5113648bd7e122b4",
    "world.json": "4eebe80a99b0f8306355c50ba49af7ef81b66cbfff6ec11af2339d14e61cd21d",
}


def test_same_arguments_same_bytes(tmp_path):
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        shop.main(["--out", str(tmp_path / name), "--users", "40", "--seed", seed])
    a, b, c = ([path.read_bytes() for path in sorted((tmp_path / name).iterdir())] for name in "abc")
    assert a == b != c


def test_a_shop_of_another_seed_is_known_again(tmp_path):
    shop.main(["--out", str(tmp_path), "--users", "3", "--seed", "4"])
    assert (
        shop_ceiling.load_world(tmp_path, read_log(tmp_path)).objects
        == shop_world.make_world(4).objects
        != shop_world.make_world().objects
    )


def test_no_user_comes_twice():
    """Users are simulated in blocks of 2,000; those of the second block have other numbers and times."""
    one, other = ((user, time) for user, _, _, _, time in shop.simulate(shop_world.make_world(), 4000))
    assert np.unique(one[0]).tolist() == [*range(2000)] and np.unique(other[0]).tolist() == [*range(2000, 4000)]
    assert not np.isin(other[1][:100], one[1]).any()


def test_the_simulator_by_counting():
    """What the events of another seed say of the law of times and groups, without any function of the law."""
    columns = zip(*shop.simulate(shop_world.make_world(1), 4000))
    user, groups, _, _, times = (np.concatenate(column) for column in columns)
    day = 86400
    items = np.flatnonzero(groups == ITEMS)
    same = user[items[1:]] == user[items[:-1]]
    later, before = items[1:][same], items[:-1][same]  # items that have one before, and that one
    gap = times[later] - times[before]
    near = gap < day // 2
    assert gap.min() >= 20 and gap[near].max() < 20 + 40 * 32 and gap.max() < day // 2 + 32 * day
    assert abs(near.mean() - 0.65) < 3 * np.sqrt(0.65 * 0.35 / len(gap))
    assert set((later - before).tolist()) == {1, 2}  # at most one lead
    led, lead = later - before == 2, groups[later - 1]
    age = times[later] - times[later - 1]
    for group, share, some, reach in ((QUERIES, 0.3, gap > 0, 3600), (COUPONS, 0.45, ~near, day // 2)):
        here = led & (lead == group)
        assert not (here & ~some).any()
        assert abs(here[some].mean() - share) < 3 * np.sqrt(share * (1 - share) / some.sum())
        longest = np.minimum(gap, reach)[here]
        assert (age[here] >= 1).all() and (age[here] < longest).all()
        relative = age[here] / longest
        assert abs(relative.mean() - 0.5) < 3 / np.sqrt(12 * len(relative)) + 0.01  # whole seconds: a little to one side
    count = np.bincount(user[items])
    assert count.min() == 1 and count.max() <= 30
    assert abs(count.mean() - (1 + 4.5 + 10 / 5)) < 3 * count.std() / np.sqrt(len(count))


def test_the_number_of_events_is_that_of_the_file(tmp_path, monkeypatch, capsys):
    """Of several blocks of users, the last of which is smaller."""
    monkeypatch.setattr(shop, "USERS", 20)
    assert shop.main(["--out", str(tmp_path), "--users", "50"]) == 0
    lines = (tmp_path / "events.csv").read_text().splitlines()
    assert capsys.readouterr().out == f"{tmp_path}: 50 users, {len(lines) - 1} events\n"
    assert {line.split(",")[0] for line in lines[1:]} == {f"u{n}" for n in range(50)}


def test_the_committed_data_are_what_the_command_makes(tmp_path):
    shop.main(["--out", str(tmp_path)])
    for folder in (tmp_path, SHOP):
        assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()} == SHA256
    assert sum(path.stat().st_size for path in SHOP.iterdir()) < 1_000_000


def test_histories_stay_below_the_cap():
    log = read_log(SHOP)
    length = np.diff(log.offsets)
    assert 10 <= length.mean() <= 14 and length.max() <= 60 and length.min() >= 1
    assert np.all(np.diff(log.time)[np.diff(np.repeat(np.arange(len(length)), length)) == 0] > 0)  # no ties


def test_faults_are_one_line(tmp_path):
    with pytest.raises(DataError, match="--users: expected at least 1, got 0"):
        shop.main(["--out", str(tmp_path), "--users", "0"])
    (tmp_path / "world.json").write_text("{}")
    with pytest.raises(DataError, match="world.json: the file exists already; choose another --out, or delete it"):
        shop.main(["--out", str(tmp_path), "--users", "1"])
    assert [path.name for path in tmp_path.iterdir()] == ["world.json"]
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="expected a folder to write to"):
        shop.main(["--out", str(tmp_path / "file")])
