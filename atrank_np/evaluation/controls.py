"""Scores without a model, and with another user's history: what an AUC must be compared with."""

import numpy as np

from ..arrays import Floats, Ints
from ..datasets.protocol import Protocol
from ..datasets.samples import Samples, Task


def swapped(samples: Samples, part: Ints | None = None) -> Samples:  # ., [S]
    """Each ranking with user, history and time of the next ranking of its group, which is another user's.

    So elapsed times are those of that history. In a group with a single ranking, it keeps its own. part: the partition of each
    ranking, within which they are swapped.
    """
    other = np.arange(len(samples.user))
    kind = samples.group if part is None else samples.group + np.int64(1 + samples.group.max(initial=0)) * part
    for k in np.unique(kind):
        places = np.flatnonzero(kind == k)
        other[places] = np.roll(places, -1)
    return samples._replace(**{name: getattr(samples, name)[other] for name in ("user", "start", "end", "time")})


def in_history(protocol: Protocol, task: Task) -> Floats:  # -> [S,1+R]
    """1 where a candidate stands in the history, else 0."""
    events, found = protocol.events, np.zeros(task.candidates.shape)
    for s in range(len(found)):
        history = slice(task.samples.start[s], task.samples.end[s])
        same_group = events.group[history] == task.samples.group[s]
        found[s] = np.isin(task.candidates[s], events.object[history][same_group])
    return found


def features_shared(protocol: Protocol, task: Task) -> Floats:  # -> [S,1+R]
    """For each candidate: the share of the history's objects that have its value of a categorical feature, mean of features.

    Only objects of the candidate's group count. 0 where there are none, or where the group has no categorical feature.
    """
    catalogues, events, shared = protocol.log.catalogues, protocol.events, np.zeros(task.candidates.shape)
    for s, g in enumerate(task.samples.group):
        group = protocol.schema.groups[g]
        codes = [catalogues[group.name].codes(f.name) for f in group.features if f.kind == "categorical"]
        history = slice(task.samples.start[s], task.samples.end[s])
        objects = events.object[history][events.group[history] == g]
        if codes and len(objects):
            shared[s] = np.mean([(code[objects][:, None] == code[task.candidates[s]]).mean(0) for code in codes], axis=0)
    return shared
