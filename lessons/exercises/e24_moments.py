import numpy as np

from lessons.exercises import Case

TITLE = "the protocol with several groups"
TASK = """
Write moments(group, history, target) (about 8 lines), for one user.
    group    [n]  the group of each of their events, in time order
    history  a list of groups: those that a history is made of          target  one group: the one that is ranked
    returns an array [m,3], a row for each ranking moment in time order:
        which event is the target, counted from 0; how many history events stand before it; 1 if it is the test, else 0
    a user with fewer than two events of the target group has none: then the shape is [0,3]
The target group's own events count: its first one is no moment (k = 0), its last one is the test.
The history is every event of the history groups before the target, whatever its group.
"""
STUB = """\
import numpy as np


def moments(group, history, target):  # [n], [groups], number -> [m,3]
    # YOUR CODE (about 8 lines)
    ...
"""
HINTS = (
    "places = np.flatnonzero(group == target); the moments are places[1:], the test is the last of them.",
    "in_history = np.isin(group, history); in_history[:place].sum() counts what stands before a place. For a user with fewer "
    "than two target events return np.zeros((0, 3), int).",
)
EXPLAIN = """
Why it is so: one2one, all2one and all2all differ in `history` and `target` alone. The moments of a target group are the same in
all of them, and so are the users, positives and negatives of the test: that is what makes their numbers comparable.
"""


def check(answer, rng):
    for n, history, target in ((9, [0], 0), (12, [0, 1, 2], 1), (7, [1, 2], 0), (5, [0, 1, 2], 3)):
        group = rng.integers(3, size=n)
        group[:3] = [target % 3, 1, target % 3]
        found, seen, count = [], 0, 0
        for event, g in enumerate(group.tolist()):
            if g == target:
                seen += 1
                if seen > 1:
                    found.append([event, count, 0])
            count += g in history
        if found:
            found[-1][2] = 1
        right = np.array(found).reshape(-1, 3)
        own = right.copy()
        own[:, 1] = np.arange(1, len(right) + 1)
        everything = right.copy()
        everything[:, 1] = right[:, 0]
        yield Case(
            f"moments (groups {group.tolist()}, history {history}, target {target})",
            answer.moments(group, history, target),
            right,
            {
                "the history counts its own groups' events, not the target's": own,
                "events of groups outside the history are counted": everything,
            },
        )
