import numpy as np

from lessons.exercises import Case

TITLE = "the protocol in three parts: training, validation, test"
TASK = """
Settings (a learning rate, a width) must not be chosen by the test. So the event before the last is kept for validation. Write
moments(is_target) (about 7 lines) for one user's events in time order.
    is_target  [E] bool: whether the event may be a target (it is of the group that is ranked)
    returns a list of (end, place, part): the history is the events 0 … end - 1, of all groups; the target is event `place`; part
    is 2 (test) for the last target event, 1 (validation) for the one before it, 0 (training) for all others. The first target
    event is never ranked. So with target events b_1 … b_n: b_n tests, b_(n-1) validates, b_2 … b_(n-2) train.
"""
STUB = """\
def moments(is_target):  # [E] -> [(end, place, part)]
    # YOUR CODE (about 7 lines)
    ...
"""
HINTS = (
    "First collect the places of the target events. Then go through all but the first, and ask how many come after this one.",
    "A target at place p has p events before it, whatever their group: the end is p. With n places, number k (from 0) is "
    "the test if k is n - 1 and the validation if k is n - 2.",
)
EXPLAIN = """
Why it is so: k counts target events, because only they are predicted; the history holds every event before, because a search
or a coupon tells what comes next. With two target events there is a test only; with three, a test and a validation, and
nothing to train on. The package does the same with `--validate`: everything one event earlier, on a log without its test
events.
"""


def check(answer, rng):
    for E, share in ((11, 0.7), (6, 1.0), (7, 0.4), (2, 1.0), (3, 1.0), (3, 0.0), (1, 1.0)):
        is_target = rng.random(E) < share
        places = np.flatnonzero(is_target)
        n = len(places)
        part = np.maximum(np.arange(n) - (n - 3), 0)
        expected = np.stack([places, places, part], axis=1)[1:]
        counted = np.stack([np.arange(n), places, part], axis=1)[1:]
        yours = np.array([tuple(map(int, moment)) for moment in answer.moments(is_target)]).reshape(-1, 3)
        words = "".join(".T"[int(t)] for t in is_target)
        if len(yours) != len(expected):
            words += f", {len(expected)} moments, of which you return {len(yours)} (all target events but the first are ranked)"
        two_parts = expected.copy()
        two_parts[:, 2] = np.where(part[1:] == 2, 2, 0)
        turned = expected.copy()
        turned[:, 2] = np.where(part[1:] == 2, 1, np.where(part[1:] == 1, 2, 0))
        yield Case(
            f"moments of the events {words}",
            yours,
            expected,
            {
                "the history holds the events of all groups, not of the target's alone": counted,
                "no moment is the validation": two_parts,
                "validation and test are exchanged: the last event is the test": turned,
                "the target itself is not a part of its history": expected + [1, 0, 0],
            },
        )
