"""Negatives: drawn from all objects, or shown and not taken."""

import numpy as np
import pytest
from logs import ITEMS, NEGATIVE, SHOWN, a, b, c, d, e, f, g, moments, one_group, rows, several_groups, write

from atrank_np.config import Config
from atrank_np.datasets.negatives import Negatives
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.errors import DataError
from atrank_np.randomness import stream


def test_negatives_are_never_touched_and_uniform(tmp_path):
    """u touches a, c, f and something unknown: b, d, e, g are left, one in four each. v touches all but d, e."""
    log = one_group(tmp_path, "u a 1,u c 2,u x 3,u f 4,v a 1,v b 2,v c 3,v f 4,v g 5")
    negatives = Negatives(log)
    for user, left in ((0, [b, d, e, g]), (1, [d, e])):
        drawn = negatives.draw(stream(0, "negatives", 0), moments([user] * 4000), 5)
        assert drawn.dtype == np.int32
        objects, count = np.unique(drawn, return_counts=True)
        assert objects.tolist() == left
        expected = drawn.size / len(left)
        chi_square = ((count - expected) ** 2 / expected).sum()
        assert chi_square < 16.3  # the 99.9 % quantile with 3 degrees of freedom


def test_negatives_are_of_the_targets_group(tmp_path):
    """As items u touches all but g; as queries all but a. What u touches in one group may be a negative in the other."""
    items, queries = "abcdef", "bcdefg"
    events = [f"u i {o} 1" for o in items] + [f"u q {o} 2" for o in queries]
    negatives = Negatives(several_groups(tmp_path, ",".join(events)))
    samples = moments([0] * 50)._replace(group=np.arange(50, dtype=np.int8) % 2)
    assert negatives.draw(stream(0, "negatives", 0), samples).ravel().tolist() == [g, a] * 25


def test_the_last_object_left_is_found(tmp_path):
    """In a large catalogue, where drawing at random would hardly ever meet it."""
    objects = [f"o{i}" for i in range(5000)]
    events = "user,object,time\n" + "".join(f"u,{o},1\n" for o in objects[:-1])
    negatives = Negatives(read_log(write(tmp_path, events_csv=events, items_csv="object\n" + "\n".join(objects) + "\n")))
    assert negatives.draw(stream(0, "negatives", 0), moments([0] * 3), 2).tolist() == [[5000, 5000]] * 3


def test_the_last_objects_left_are_drawn_alike(tmp_path):
    """Two of five thousand: one is as good as the other."""
    objects = [f"o{i}" for i in range(5000)]
    events = "user,object,time\n" + "".join(f"u,{o},1\n" for o in objects[:-2])
    negatives = Negatives(read_log(write(tmp_path, events_csv=events, items_csv="object\n" + "\n".join(objects) + "\n")))
    drawn = negatives.draw(stream(0, "negatives", 0), moments([0] * 20), 2)
    assert min((drawn == o).sum() for o in (4999, 5000)) > 10


def test_a_user_who_touches_everything(tmp_path):
    log = one_group(tmp_path, "v a 1," + ",".join(f"u {o} 1" for o in "abcdefg"))
    with pytest.raises(DataError) as fault:
        Negatives(log).draw(stream(0, "negatives", 0), moments([0, 1]))
    assert str(fault.value) == (
        "1 users ('u') act on every object of items, so no negative is left for them; leave them out with `drop_full_users`"
    )
    assert (Negatives(log).draw(stream(0, "negatives", 0), moments([0, 0])) > a).all()


def test_what_is_not_taken_is_no_behaviour(tmp_path):
    """u's history is a d g. Three shows make no repeat, count in no popularity, and are no most frequent action."""
    parts = Protocol(one_group(tmp_path, SHOWN, NEGATIVE))
    assert parts.events.object.tolist() == [a, d, g, a, b, c, a, b, c]
    assert rows(parts.train) == [(0, 0, 1, 3, 0, d), (1, 3, 4, 2, 0, b), (2, 6, 7, 1, 0, b)]
    assert rows(parts.test) == [(0, 0, 2, 5, 0, g), (1, 3, 5, 3, 0, c), (2, 6, 8, 2, 0, c)]
    assert [count.tolist() for count in parts.popularity] == [[0, 3, 2, 0, 1, 0, 0, 0]]
    assert parts.target_actions == [0]
    assert parts.counts["events of what was shown and not taken"] == 12
    other = Protocol(several_groups(tmp_path, "u i a 1,u i b 2,u q a 1", "targets = ['items']"))
    assert other.popularity[1].tolist() == [0, 1, 0, 0, 0, 0, 0, 0]


def test_negatives_that_were_shown(tmp_path):
    """After the positive before (a tie with that belongs to it), up to the positive's time, ties included; never what u
    takes at another time (a), each object once. v was shown something too late; w's first two positives tie."""
    log = one_group(tmp_path, SHOWN, NEGATIVE)
    parts, negatives = Protocol(log), Negatives(log)

    def shown(samples):
        row, object = negatives.shown_to(samples, 0)
        return [object[row == s].tolist() for s in range(3)]

    assert shown(parts.train) == [[c, e], [], [e]]
    assert shown(parts.test) == [[f], [], [e, f]]
    assert negatives.uniform(parts.train) == {"items": 1}
    assert negatives.uniform(parts.test, 2) == {"items": 3}
    found = [set(), set(), set()]
    for n in range(200):
        drawn = negatives.draw(stream(n, "negatives", 0), parts.train)
        for one, objects in zip(found, drawn):
            one.update(objects.tolist())
    assert found == [{c, e}, {d, e, f, g}, {e}]
    for n in range(20):
        drawn = negatives.draw(stream(n, "negatives", 0), parts.test, 2)
        assert drawn[0, 0] == f and set(drawn[1].tolist()) <= {d, e, f, g} and sorted(drawn[2].tolist()) == [e, f]
    assert {tuple(negatives.draw(stream(n, "negatives", 0), parts.test, 2)[2].tolist()) for n in range(20)} == {(e, f), (f, e)}


def test_what_another_user_was_shown_is_not_used(tmp_path):
    """u is shown c at the last time of the log. w, the next user, has two positives at its first time, and none before."""
    log = one_group(tmp_path, "u a 1 view,u b 2 view,u c 9 show,w b 1 view,w d 1 view,x e 1 show", NEGATIVE)
    test = Protocol(log).test
    assert test.user.tolist() == [0, 1]
    assert [values.tolist() for values in Negatives(log).shown_to(test, 0)] == [[], []]


def test_only_what_may_be_a_target_ends_the_time_of_showing(tmp_path):
    """u buys a and e, which are ranked; the view of c between them does not end the time in which b was shown."""
    log = one_group(tmp_path, "u a 1 buy,u b 2 show,u c 3 view,u d 4 show,u e 5 buy", f"{NEGATIVE}\ntarget_actions = ['buy']")
    assert Negatives(log).shown_to(Protocol(log).test, 0)[1].tolist() == [b, d]


def test_negatives_that_were_shown_when_validating(tmp_path):
    """The tested event is not there: u's a d are left, g may be shown and be a negative, and its time does not count."""
    log = one_group(tmp_path, SHOWN.replace("u e 3 show", "u g 3 show"), NEGATIVE)
    parts = Protocol(log, Config(validate=True))
    assert rows(parts.test) == [(0, 0, 1, 3, 0, d), (1, 2, 3, 2, 0, b), (2, 4, 5, 1, 0, b)]
    pairs = parts.negatives.shown_to(parts.test, 0)
    assert [values.tolist() for values in pairs] == [[0, 0, 2], [c, g, e]]


def test_only_the_groups_own_negative_actions_count(tmp_path):
    events = (
        "user,group,action,object,time\nu,items,see,a,1\nu,items,see,b,2\nu,queries,see,c,2\n"
        "u,items,use,c,3\nu,items,use,d,4\nu,queries,see,e,5\n"
    )
    schema = "[groups.items]\nnegative_actions = ['see']\n[groups.items.features]\nobject = 'id'\n"
    schema += "[groups.queries.features]\nobject = 'id'\n"
    log = read_log(write(tmp_path, events_csv=events, items_csv=ITEMS, queries_csv=ITEMS, schema_toml=schema))
    parts = Protocol(log)
    assert list(zip(parts.events.group.tolist(), parts.events.object.tolist())) == [(1, c), (0, c), (0, d), (1, e)]
    assert rows(parts.test) == [(0, 0, 2, 4, 0, d), (0, 0, 3, 5, 1, e)]
    assert Negatives(log).uniform(parts.test) == {"items": 1}
    log.schema = log.schema.choose(targets=["queries"])  # then what is seen of items is not counted there either
    assert Protocol(log).popularity[0].tolist() == [0, 0, 0, 1, 1, 0, 0, 0]
