"""The figures of a data set, by value on tiny logs."""

import json
from dataclasses import replace

import numpy as np
import pytest
from logs import SHOP, several_groups
from runs import assert_fault, process

from atrank_np.config import Config
from atrank_np.datasets import shop, shop_ceiling, stats
from atrank_np.datasets.packing import pack
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.metrics import auc

EVENTS = "u q a 0,u i a 5,u i b 5,u q b 16,u i c 47,u i d 60,v i e 1,v q d 2,v q e 3,w i a 9"
UNITS = "[groups.items]\nbucket_unit = 10\nbuckets = 4\n[groups.queries]\nbucket_unit = 2\nbuckets = 6"


def figures(capsys, *arguments):
    assert stats.main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_figures_by_hand(tmp_path, capsys):
    """Items: u trains on b and c, and tests on d. Queries: u tests on b, v on e."""
    several_groups(tmp_path, EVENTS, UNITS)
    found = figures(capsys, tmp_path)
    assert (found["users"], found["records"], found["records_per_user"]) == (3, 10, 10 / 3)
    assert found["objects"] == {"items": 7, "queries": 7} and found["features"] == {}
    assert found["records_by_group"] == {"items": 6, "queries": 4}
    samples = found["samples"]
    assert list(samples) == ["items", "queries"] and set(samples["items"]) == {"test_users", "training", "test"}
    assert samples["items"]["test_users"] == 1
    assert samples["items"]["training"] == {"samples": 2, "history_length": (2 + 4) / 2}
    assert samples["items"]["test"] == {"samples": 1, "history_length": 5.0}
    assert samples["queries"]["test_users"] == 2
    assert samples["queries"]["training"] == {"samples": 0, "history_length": 0.0}
    assert samples["queries"]["test"] == {"samples": 2, "history_length": (3 + 2) / 2}
    assert found["history_length"] == (2 + 4 + 5 + 3 + 2) / 5
    # Ages of items. b: 0; c: 42, 42; d: 55, 55, 13; query b: 11, 11; query e: 2. In units of 10: 0; 4, 4; 5, 5, 1; 1, 1; 0.
    assert found["buckets"]["items"] == [2, 3, 0, 4]
    # Ages of queries. b: 5; c: 47, 31; d: 60, 44; query b: 16; query e: 1. In units of 2: 2; 23, 15; 30, 22; 8; 0.
    assert found["buckets"]["queries"] == [1, 0, 1, 0, 2, 3]
    assert found["counted"]["users with one event"] == 1
    capped = figures(capsys, tmp_path, "--cap", 1, "--target", "items,items", "--history", "items")
    assert capped["buckets"] == {"items": [1, 1, 0, 1]} and list(capped["samples"]) == ["items"]
    assert capped["history_length"] == 1.0


def test_a_cap_beyond_all_histories(tmp_path, capsys):
    several_groups(tmp_path, EVENTS, UNITS)
    assert figures(capsys, tmp_path, "--cap", 2**40) == figures(capsys, tmp_path)


def test_feature_values(tiny, capsys):
    found = figures(capsys, tiny)
    assert found["features"] == {"words": 6}  # c0 … c3, missing, cheap: the table that items and queries share
    assert figures(capsys, SHOP)["features"] == {"category": 32, "brand": 5, "shop": 5}


def test_buckets_are_those_of_the_batches(tiny, monkeypatch):
    monkeypatch.setattr(stats, "CHUNK", 7)
    log = read_log(tiny)
    parts = Protocol(log, Config(cap=5))
    counts = stats.bucket_counts(log.schema, parts.events, [parts.train, parts.test])
    for g, group in enumerate(log.schema.groups):
        expected = np.zeros(group.buckets, int)
        for samples in (parts.train, parts.test):
            batch = pack(log.schema, parts.events, samples, samples.object[:, None])
            expected += np.bincount(batch.bucket[batch.group == g], minlength=group.buckets)
        assert counts[g].tolist() == expected.tolist() and expected.sum() > 90


def test_in_words(tmp_path, capsys):
    several_groups(tmp_path, EVENTS, UNITS)
    stats.main([str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert "| users | items | queries | records | records of a user | mean history length |" in lines
    assert "| 3     | 7     | 7       | 10      | 3.3               | 3.2                 |" in lines
    assert "| items   | training | 2       |       | 3.0         |" in lines
    at = lines.index("Elapsed time of items, in buckets of 10 ticks: 9 behaviours in all histories")
    assert [line.split(")")[0] for line in lines[at + 2 : at + 6]] == ["  [0, 1", "  [1, 2", "  [2, 4", "  [4, ∞"]
    assert lines[at + 3] == f"  [1, 2)          {1 / 3:.1%}  " + "#" * 17


def test_ceilings(capsys, noise):
    """A history of more groups is better, for every target; in the twin all is chance."""
    best = figures(capsys, SHOP, "--ceilings")["ceilings"]
    assert {target: len(own) for target, own in best.items()} == {"items": 4, "queries": 4, "coupons": 4}
    for target, own in best.items():
        assert own[target]["gain"] == 0 and own["items,queries,coupons"]["gain"] > 2 * own["items,queries,coupons"]["gain_se"]
    assert best["items"]["items,queries,coupons"]["gain"] > 0.03
    # On the candidates that train and evaluate draw without further flags; the gain's error is that of the differences.
    log = read_log(SHOP)
    world = shop_ceiling.load_world(SHOP, log)
    log = replace(log, schema=log.schema.choose(targets=["items"]))
    samples, candidates, _ = Protocol(log).task
    moments = samples.user, samples.time, samples.group, candidates
    all_, alone = (auc(shop_ceiling.ceiling(world, log, *moments, history)) for history in (None, ["items"]))
    gain = all_.each - alone.each
    expected = all_.mean, all_.se, gain.mean(), gain.std(ddof=1) / np.sqrt(len(gain))
    assert [*best["items"]["items,queries,coupons"].values()] == pytest.approx(expected, rel=1e-12)
    for own in figures(capsys, noise, "--ceilings")["ceilings"].values():
        assert all(figures == dict(auc=0.5, se=0, gain=0, gain_se=0) for figures in own.values())


def test_faults(tmp_path, tiny):
    none = tmp_path / "none"
    assert_fault(process("datasets.stats", none), f"{none}: expected a folder with events.csv, found none")
    with pytest.raises(stats.DataError, match="--cap: expected at least 1, got 0"):
        stats.main([str(tiny), "--cap", "0"])
    with pytest.raises(stats.DataError, match="--ceilings: expected a simulated shop"):
        stats.main([str(tiny), "--ceilings"])
    shop.main(["--out", str(tmp_path), "--users", "3"])
    with pytest.raises(stats.DataError, match="--ceilings: expected at least two test samples of coupons, got 1"):
        stats.main([str(tmp_path), "--ceilings"])
    with pytest.raises(stats.DataError, match="`history` and `target`: expected groups among items, queries, got 'cars'"):
        stats.main([str(tiny), "--history", "cars"])
