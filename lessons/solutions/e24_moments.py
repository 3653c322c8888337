import numpy as np


def moments(group, history, target):  # [n], [groups], number -> [m,3]
    places = np.flatnonzero(group == target)[1:]
    in_history = np.isin(group, history)
    before = [in_history[:place].sum() for place in places]
    is_test = np.arange(len(places)) == len(places) - 1
    return np.stack([places, np.array(before, int), is_test.astype(int)], 1)


WRONG = [
    ("[1:]", "[0:]", "the first target event has no past of its own group: k = 0"),
    ("np.isin(group, history)", "np.isin(group, [target])", "the history of the target's group, whatever was asked"),
    ("np.isin(group, history)", "np.ones(len(group))", "events of all groups"),
    ("in_history[:place]", "in_history[: place + 1]", "the target stands in its own history"),
    ("len(places) - 1\n", "0\n", "the first moment is the test"),
]
