"""The protocol on tiny logs, every array by value. Objects are named a, b, c, …, so that row 1 is a, row 2 is b, …"""

from dataclasses import replace

import numpy as np
import pytest
from helpers import assert_same
from logs import ITEMS, SHOP, a, b, c, d, e, f, g, one_group, rows, several_groups, write

from atrank_np.config import Config
from atrank_np.datasets import negatives, samples, targets
from atrank_np.datasets.negatives import Negatives
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.datasets.samples import Samples
from atrank_np.randomness import stream


def arrays(parts):
    """What a Protocol says of samples, to be compared."""
    found = parts.events, parts.offsets, tuple(parts.train), parts.test, parts.counts, parts.popularity, parts.target_actions
    return *found, parts.repeat_share


PLAIN = "u a 1,v e 5,u b 2,w g 9,v f 7,u d 8,u c 3"  # u: a b c d, v: e f, w: g


def test_the_protocol(tmp_path):
    """u has n = 4: k = 1, 2 train and k = 3 tests; v has 2: test only; w has 1: nothing."""
    parts = Protocol(one_group(tmp_path, PLAIN))
    assert {name: column.tolist() for name, column in parts.events._asdict().items()} == {
        "group": [0] * 7,
        "object": [a, b, c, d, e, f, g],
        "action": [0] * 7,
        "time": [1, 2, 3, 8, 5, 7, 9],
    }
    assert rows(parts.train) == [(0, 0, 1, 2, 0, b), (0, 0, 2, 3, 0, c)]
    assert rows(parts.test) == [(0, 0, 3, 8, 0, d), (1, 4, 5, 7, 0, f)]
    assert parts.counts == {
        "users without a target among items": 1,
        "users with a test among items and nothing to train on": 1,
    }
    assert [count.tolist() for count in parts.popularity] == [[0, 1, 1, 1, 0, 1, 0, 0]]
    assert (parts.target_actions, parts.repeat_share) == ([0], 0.0)


SPLIT = "u a 1,u b 2,u c 5,u d 6,v a 1,v b 7,w c 6,w d 7,x a 2,x b 3"


def test_a_split_by_time(tmp_path):
    """Of u the c at the very time of the split is tested, not d; w did nothing before it, x nothing after it."""
    log = one_group(tmp_path, SPLIT)
    parts = Protocol(log, Config(split_time=5))
    assert rows(parts.train) == [(0, 0, 1, 2, 0, b), (3, 8, 9, 3, 0, b)]
    assert rows(parts.test) == [(0, 0, 2, 5, 0, c), (1, 4, 5, 7, 0, b)]
    assert parts.popularity[0].tolist() == [0, 3, 2, 0, 0, 0, 0, 0]  # before the split, of all users
    counts = {"users without a target among items on both sides of the split": 2}
    assert parts.counts == counts | {"users with a test among items and nothing to train on": 1}
    validation = Protocol(log, Config(split_time=5, validate=True))
    assert rows(validation.train) == [] and rows(validation.test) == [(0, 0, 1, 2, 0, b), (3, 3, 4, 3, 0, b)]


def test_a_split_by_time_knows_no_future(tmp_path):
    """u takes c and d later: training may draw them as negatives, the test may not. Of a group that is not ranked, too."""
    parts, rng = Protocol(one_group(tmp_path, SPLIT), Config(split_time=5)), np.random.default_rng(0)
    of_u = parts.train.take(np.array([0]))
    assert set(parts.negatives.draw(rng, of_u, 200)[0].tolist()) == {c, d, e, f, g}
    assert set(parts.test_negatives.draw(rng, parts.test.take(slice(0, 1)), 200)[0].tolist()) == {e, f, g}
    events = "u q a 1,u i a 2,u q b 3,u i b 4,u q c 6,u i c 7,v q d 9"
    other = Protocol(several_groups(tmp_path, events, "targets = ['items']"), Config(split_time=5))
    assert other.popularity[1].tolist() == [0, 1, 1, 0, 0, 0, 0, 0]
    assert rows(other.test) == [(0, 0, 5, 7, 0, c)]  # with the query c, which came before


def test_validation_is_one_event_earlier(tmp_path):
    parts = Protocol(one_group(tmp_path, PLAIN), Config(validate=True))
    assert rows(parts.train) == [(0, 0, 1, 2, 0, b)]
    assert rows(parts.test) == [(0, 0, 2, 3, 0, c)]
    assert parts.events.object.tolist() == [a, b, c, e]
    assert parts.popularity[0].tolist() == [0, 1, 1, 0, 0, 0, 0, 0]
    assert parts.counts == {"users without a target among items": 2}


def test_validation_does_not_see_the_test_events(tmp_path):
    """Every user's last event changes its object and time: nothing that training and validation use may change."""
    events = "u i a 1,u i b 2,u q c 3,u i c 4,u i {} {},v i b 1,v i c 2,v i d 3,v i {} {},w q a 1,w i {} {}"
    schema = "history_rule = 'before_time'\ntarget_repeats = 'keep'\ntargets = ['items']"
    used = []
    for last in (["d", 9, "e", 9, "f", 9], ["a", 5, "unseen", 4, "a", 2]):
        (tmp_path / str(last[0])).mkdir()
        log = several_groups(tmp_path / str(last[0]), events.format(*last), schema)
        parts = Protocol(log, Config(validate=True))
        drawn = [
            parts.negatives.draw(stream(s, "negatives", 0), samples, 9) for s in range(9) for samples in (parts.train, parts.test)
        ]
        used.append((arrays(parts), drawn))
    assert_same(*used)
    assert rows(parts.train) == [(0, 0, 1, 2, 0, b), (1, 4, 5, 2, 0, c)]


@pytest.mark.parametrize("history", [("items", "queries"), ("queries",)])
def test_moments_have_the_columns_of_samples(tmp_path, history):
    """Some of them in another order, and each column by itself. One user has no event of a history group."""
    events = "u i a 1,u q b 2,u i c 3,u q d 4,u i e 5,u i f 6,v i a 1,v i b 2,v i c 4,w q a 1,w i g 2,w i f 3,w i a 4"
    log = several_groups(tmp_path, events)
    log.schema = log.schema.choose(list(history), ["items"])
    train = Protocol(log, Config(cap=2)).train
    assert len(train) == len(rows(train)) == 4
    assert rows(train.take([2, 0])) == [rows(train)[2], rows(train)[0]]
    assert_same(tuple(getattr(train, name) for name in Samples._fields), tuple(train))


def test_several_groups(tmp_path):
    """n and k count the target group's events; a history is all events of all groups before, ties in file order."""
    events = "u q a 1,u i a 2,u i b 2,u q b 2,u i c 5,u q c 5,u i d 6,v i e 1,v q d 2,v q e 3"
    parts = Protocol(several_groups(tmp_path, events))
    items, queries = 0, 1
    assert parts.events.group.tolist() == [1, 0, 0, 1, 0, 1, 0, 0, 1, 1]
    assert rows(parts.train) == [(0, 0, 2, 2, items, b), (0, 0, 4, 5, items, c), (0, 0, 3, 2, queries, b)]
    assert rows(parts.test) == [(0, 0, 6, 6, items, d), (0, 0, 5, 5, queries, c), (1, 7, 9, 3, queries, e)]
    assert parts.counts == {
        "users without a target among items": 1,
        "users with a test among queries and nothing to train on": 1,
    }
    assert [count.tolist() for count in parts.popularity] == [[0, 1, 1, 1, 0, 0, 0, 0], [0, 1, 1, 0, 1, 0, 0, 0]]


def test_history_groups_and_target_groups(tmp_path):
    """Ranking items from queries only; a history may be empty, and the target's own group stays out of it."""
    events = "u i a 1,u i b 2,u q a 3,u i c 4,u q b 5,u i d 6,u q c 7,v i a 1,v q a 2,v i b 3"
    parts = Protocol(several_groups(tmp_path, events, "targets = ['items']\nhistory = ['queries']"))
    assert parts.events.group.tolist() == [1, 1, 1, 1]
    assert parts.events.time.tolist() == [3, 5, 7, 2]
    assert rows(parts.train) == [(0, 0, 0, 2, 0, b), (0, 0, 1, 4, 0, c)]
    assert rows(parts.test) == [(0, 0, 2, 6, 0, d), (1, 3, 4, 3, 0, b)]
    # Of a group that is not ranked, training knows what stands before the first tested event: u's a and b, v's a.
    assert parts.popularity[1].tolist() == [0, 2, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("targets", ["items,queries", "queries,items"])
def test_the_first_tested_event_ends_what_training_knows(tmp_path, targets):
    """Of films, which are not ranked: u's a stands before the tested query; b after it, though before the tested item."""
    events = "u items a 1,u queries a 2,u films a 3,u queries b 4,u films b 5,u items b 6,u films c 7"
    text = "\n".join(["user,group,object,time", *(event.replace(" ", ",") for event in events.split(","))]) + "\n"
    schema = "".join(f"[groups.{name}.features]\nobject = 'id'\n" for name in ("items", "queries", "films"))
    log = read_log(write(tmp_path, events_csv=text, items_csv=ITEMS, queries_csv=ITEMS, films_csv=ITEMS, schema_toml=schema))
    log.schema = log.schema.choose(targets=targets.split(","))
    assert Protocol(log).popularity[2].tolist() == [0, 1, 0, 0, 0, 0, 0, 0]


def test_before_time_leaves_ties_out(tmp_path):
    """Baskets: b and c are bought at once, and so are d and e."""
    events = "u a 1,u b 2,u c 2,u d 3,u e 3,v a 3,v b 3"
    at_once = Protocol(one_group(tmp_path, events, "history_rule = 'before_time'"))
    assert rows(at_once.train) == [(0, 0, 1, 2, 0, b), (0, 0, 1, 2, 0, c), (0, 0, 3, 3, 0, d)]
    assert rows(at_once.test) == [(0, 0, 3, 3, 0, e), (1, 5, 5, 3, 0, b)]
    in_order = Protocol(one_group(tmp_path, events, "history_rule = 'before_event'"))
    assert [row[1:3] for row in rows(in_order.train)] == [(0, 1), (0, 2), (0, 3)]
    assert [row[1:3] for row in rows(in_order.test)] == [(0, 4), (5, 6)]


ACTIONS = "u a 1 view,u b 2 buy,u c 3 view,u d 4 buy,u e 5 buy,u f 6 view,v a 1 view,v b 2 view,v c 3 buy"


def test_target_actions(tmp_path):
    """Only what is bought is ranked; what is viewed is history all the same. u buys b, d, e; v only c."""
    parts = Protocol(one_group(tmp_path, ACTIONS, "[groups.items]\ntarget_actions = ['buy']"))
    assert rows(parts.train) == [(0, 0, 3, 4, 0, d)]
    assert rows(parts.test) == [(0, 0, 4, 5, 0, e)]
    assert parts.events.action.tolist() == [0, 1, 0, 1, 1, 0, 0, 0, 1]
    assert parts.target_actions == [1]
    assert parts.popularity[0].tolist() == [0, 0, 1, 0, 1, 0, 0, 0]
    assert parts.counts == {"users without a target among items": 1}


def test_target_action(tmp_path):
    """The most frequent one of the training events, here 4 views and 3 buys, whatever the others are; or the schema's."""
    assert Protocol(one_group(tmp_path, ACTIONS)).target_actions == [0]
    assert Protocol(one_group(tmp_path, ACTIONS.replace("f 6 view", "f 6 buy"))).target_actions == [0]  # the tested one
    assert Protocol(one_group(tmp_path, ACTIONS + ",x a 1 buy,y a 1 buy,z a 1 buy")).target_actions == [0]  # no target
    assert Protocol(one_group(tmp_path, ACTIONS.replace("c 3 view", "c 3 buy"))).target_actions == [1]
    chosen = Protocol(one_group(tmp_path, ACTIONS, "[groups.items]\ntarget_action = 'buy'"))
    assert chosen.target_actions == [1]


REPEATS = "u a 1,u b 2,u a 3,u b 4,u c 5,v a 1,v d 2,v d 3,w e 1,w f 2"


def test_repeated_targets(tmp_path):
    """u's second a and b, and v's tested d, stand in their histories; w's f does not, though others have seen it."""
    parts = Protocol(one_group(tmp_path, REPEATS))
    assert rows(parts.train) == [(0, 0, 1, 2, 0, b), (1, 5, 6, 2, 0, d)]
    assert rows(parts.test) == [(0, 0, 4, 5, 0, c), (2, 8, 9, 2, 0, f)]
    assert parts.counts["targets among items dropped, already in the history"] == 3
    assert parts.repeat_share == 1 / 3  # of u, v and w, before dropping
    kept = Protocol(one_group(tmp_path, REPEATS, "target_repeats = 'keep'"))
    assert [row[5] for row in rows(kept.train)] == [b, a, b, d]
    assert [row[5] for row in rows(kept.test)] == [c, d, f]
    assert "targets among items dropped, already in the history" not in kept.counts
    assert kept.repeat_share == 1 / 3


def test_a_repeat_is_of_the_same_group_and_visible(tmp_path):
    """Item b is no repeat of query b, nor of an item b in another user's history, nor where items are no history."""
    events = "u q b 1,u i a 2,u i b 3,v i b 1,v i a 2,v q c 3,v q a 4"
    assert Protocol(several_groups(tmp_path, events)).repeat_share == 0
    repeated = "u i a 1,u i b 2,u i a 3,u q a 4"
    assert Protocol(several_groups(tmp_path, repeated, "targets = ['items']")).repeat_share == 1
    assert Protocol(several_groups(tmp_path, repeated, "targets = ['items']\nhistory = ['queries']")).repeat_share == 0


def test_a_repeat_beyond_the_cap_is_one_all_the_same(tmp_path):
    parts = Protocol(one_group(tmp_path, "u a 1,u b 2,u c 3,u a 4"), Config(cap=1))
    assert parts.repeat_share == 1
    assert rows(parts.test) == []
    assert parts.counts["histories cut at the cap"] == 1  # that of c: what is dropped is not counted


def look_up(monkeypatch, block):
    """So many events at a time."""
    for module in (samples, targets, negatives):
        monkeypatch.setattr(module, "BLOCK", block)


def test_how_many_are_looked_up_at_a_time_changes_nothing(monkeypatch):
    log = read_log(SHOP)
    log.schema = replace(log.schema, target_repeats="drop")
    found = []
    for block in (2**16, 1, 50):
        look_up(monkeypatch, block)
        parts, drawn = Protocol(log), Negatives(log)
        assert parts.repeat_share > 0
        found.append((arrays(parts), drawn.draw(stream(0, "negatives", 0), parts.train, 20)))
    assert_same(found[0], found[1])
    assert_same(found[0], found[2])


def test_the_last_users_have_no_history(tmp_path, monkeypatch):
    """Those with one end just where a block does."""
    log = several_groups(tmp_path, "u q a 1,u q b 2,v i a 1,v i b 2,v i c 3")
    log.schema = log.schema.choose(["queries"], ["items"])
    look_up(monkeypatch, 1)
    parts = Protocol(log)
    assert rows(parts.test) == [(1, 2, 2, 3, 0, c)] and parts.offsets.tolist() == [0, 2, 2]


def test_ties_do_not_repeat_each_other_before_time(tmp_path):
    parts = Protocol(one_group(tmp_path, "u a 1,u b 2,u b 2", "history_rule = 'before_time'"))
    assert rows(parts.test) == [(0, 0, 1, 2, 0, b)]
    assert parts.repeat_share == 0


def test_cap(tmp_path):
    """The last two behaviours of a history; counted are the samples that lose some."""
    parts = Protocol(one_group(tmp_path, "v g 1,v f 2,u a 1,u b 2,u c 3,u d 4,u e 5"), Config(cap=2))
    assert rows(parts.train) == [(1, 2, 3, 2, 0, b), (1, 2, 4, 3, 0, c), (1, 3, 5, 4, 0, d)]
    assert rows(parts.test) == [(0, 0, 1, 2, 0, f), (1, 4, 6, 5, 0, e)]
    assert parts.counts["histories cut at the cap"] == 2


def test_unknown_objects(tmp_path):
    """An object that is in no file stays in histories, as row 0, and is no target; two of them are no repeat."""
    parts = Protocol(one_group(tmp_path, "u x 1,u a 2,u y 3,u b 4,v a 1,v x 2"))
    assert parts.events.object.tolist() == [0, a, 0, b, a, 0]
    assert rows(parts.train) == [(0, 0, 1, 2, 0, a)]
    assert rows(parts.test) == [(0, 0, 3, 4, 0, b)]
    assert parts.counts["targets that are in no file of items"] == 2
    assert parts.repeat_share == 0


def test_no_user_has_a_target(tmp_path):
    parts = Protocol(one_group(tmp_path, "u a 1,v b 1"))
    assert rows(parts.train) == rows(parts.test) == []
    assert parts.repeat_share == 0
    assert parts.popularity[0].sum() == 0


# Negatives


# Shown and not taken
