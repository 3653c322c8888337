import numpy as np


def windows(time, is_target, cap):  # [E], [E] bool, number -> [M,3]
    found = []
    for place in range(len(time)):
        if not is_target[place]:
            continue
        end = int((time < time[place]).sum())
        start = max(end - cap, 0)
        if end > 0:
            found.append((start, end, place))
    return np.array(found).reshape(-1, 3)


WRONG = [
    ("int((time < time[place]).sum())", "place", "events of the same time"),
    ("(time < time[place])", "(time <= time[place])", "the target itself"),
    ("max(end - cap, 0)", "0", "no cap"),
    ("max(end - cap, 0)", "end - cap", "a start below 0"),
    ("if end > 0:", "if True:", "without a history"),
    ("        if not is_target[place]:\n            continue\n", "", "all events as targets"),
    ("found.append((start, end, place))", "found.append((0, min(end, cap), place))", "the oldest kept"),
]
