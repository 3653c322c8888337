import numpy as np

from lessons.exercises import Case

TITLE = "logs that know only the day, and a cap"
TRANSFER = True
TASK = """
In many logs all events of a day have the same time. Their order in the file means nothing, and an event of the same day must not
help to predict another. Write windows(time, is_target, cap) (about 10 lines) for one user's events, sorted by time.
    time       [E] whole numbers, never falling; several may be equal
    is_target  [E] bool: whether the event may be a target
    cap        at most so many events in a history (at least 1): the newest of those that are allowed
    returns [M,3] rows (start, end, place), one for each target event that has an allowed history of at least one event, in order:
    the history is the events start … end - 1, all of them strictly earlier than time[place]
"""
STUB = """\
import numpy as np


def windows(time, is_target, cap):  # [E], [E] bool, number -> [M,3]
    found = []
    # YOUR CODE (about 10 lines)
    ...
    return np.array(found).reshape(-1, 3)
"""
HINTS = (
    "How many events are strictly earlier than time[place]? That number is the end, as events are sorted. Which start "
    "leaves no more than cap of them?",
    "end = (time < time[place]).sum(); start = max(end - cap, 0); leave out what has end = 0. np.searchsorted(time, "
    "time[place], side='left') gives the same end faster.",
)
EXPLAIN = """
Why it is so: with ties in the history, an item bought in the same basket predicts the others of the basket: a real effect,
but not the one that is asked for. On one public log 44 % of the events are of the day of the one before, and leaving them out
costs 0.04 of AUC (the index of the lessons lists it). The cap cuts the oldest, since the newest say most.
"""


def check(answer, rng):
    for E, share, cap in ((11, 0.7, 3), (9, 1.0, 100), (12, 0.5, 1), (4, 1.0, 2), (1, 1.0, 5), (5, 0.0, 2)):
        time = np.cumsum(rng.integers(0, 2, size=E)) + 3
        is_target = rng.random(E) < share
        places = np.flatnonzero(is_target)
        ends = np.array([int(sum(t < time[p] for t in time)) for p in places], int)
        after = np.array([int(sum(t <= time[p] for t in time)) for p in places], int)

        def rows(ends, first, places=places, cap=cap):
            kept = ends > 0
            return np.stack([first(ends, cap), ends, places], axis=1)[kept]

        def newest(ends, cap):
            return np.maximum(ends - cap, 0)

        expected = rows(ends, newest)
        yours = answer.windows(time, is_target, cap)
        marks = " ".join(f"{t}{'T' if w else ''}" for t, w in zip(time, is_target))
        words = f"times {marks}, cap {cap}"
        if np.shape(yours)[:1] != expected.shape[:1]:
            words += f": {len(expected)} target events have a history, you return {len(yours)}"
        yield Case(
            words,
            yours,
            expected,
            {
                "events of the same time must stay out": rows(places, newest),
                "not even the target's own time may be in the history": rows(after, newest),
                "the cap keeps the newest, not the oldest": np.stack(
                    [np.zeros(len(expected), int), np.minimum(expected[:, 1], cap), expected[:, 2]], axis=1
                ),
                "the cap is not kept": expected * [0, 1, 1],
            },
        )
