import numpy as np

from lessons.exercises import Case

TITLE = "the protocol: which moments train, which one tests"
TASK = """
Write moments(is_target) (about 5 lines) for one user's events in time order.
    is_target  [E] bool: whether the event may be a target (it is of the group that is ranked)
    returns a list of (end, place, test): the history is the events 0 … end - 1, of all groups; the target is event `place`; test
    is True for the last target event only. With target events b_1 … b_n the moments are those of b_2 … b_n.
"""
STUB = """\
def moments(is_target):  # [E] -> [(end, place, test)]
    # YOUR CODE (about 5 lines)
    ...
"""
HINTS = (
    "First collect the places of the target events. The first of them is never ranked, and the last is the test.",
    "A target at place p has p events before it, whatever their group: the end is p, not the number of target events before.",
)
EXPLAIN = """
Why it is so: k counts target events, because only they are predicted; the history holds every event before, because a
search or a coupon tells what comes next. A user with two target events has a test and nothing to train on; with one,
there is neither.
"""


def check(answer, rng):
    for E, share in ((11, 0.6), (5, 1.0), (7, 0.3), (2, 1.0), (3, 0.0), (1, 1.0)):
        is_target = rng.random(E) < share
        places = np.flatnonzero(is_target)
        n = len(places)
        expected = np.array([(places[k], places[k], k == n - 1) for k in range(1, n)]).reshape(-1, 3)
        counted = np.array([(k, places[k], k == n - 1) for k in range(1, n)]).reshape(-1, 3)
        first = np.array([(p, p, i == n - 1) for i, p in enumerate(places)]).reshape(-1, 3)
        untested = expected[:-1]
        yours = np.array([tuple(map(int, moment)) for moment in answer.moments(is_target)]).reshape(-1, 3)
        words = "".join(".T"[int(t)] for t in is_target)
        if len(yours) != len(expected):
            why = {len(first): "the first target event is not ranked", len(untested): "the last target event is the test"}
            words += f", {len(expected)} moments, of which you return {len(yours)} ({why.get(len(yours), 'not all or too many')})"
        yield Case(
            f"moments of the events {words}",
            yours,
            expected,
            {
                "the history holds the events of all groups, not of the target's alone": counted,
                "`test` is True for the last target event, and only there": np.c_[expected[:, :2], 1 - expected[:, 2]],
                "no moment is the test": np.c_[expected[:, :2], 0 * expected[:, 2]],
                "the target itself is not a part of its history": np.c_[expected[:, 0] + 1, expected[:, 1:]],
            },
        )
