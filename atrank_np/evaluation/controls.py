"""Scores without a model, and with another user's history: what an AUC must be compared with."""

import numpy as np

from ..datasets.protocol import Protocol
from ..datasets.samples import Samples, Task


def swapped(samples: Samples) -> Samples:
    """Each ranking with the history (and name) of the next one of its group, so of another user; elapsed times are the
    history's own. Where a group has but one ranking it keeps its history.
    """
    other = np.arange(len(samples.user))
    for g in np.unique(samples.group):
        places = np.flatnonzero(samples.group == g)
        other[places] = np.roll(places, -1)
    return samples._replace(**{name: getattr(samples, name)[other] for name in ("user", "start", "end", "time")})


def in_history(protocol: Protocol, task: Task) -> np.ndarray:
    """1 where a candidate stands in the history, else 0: [S, 1+R]."""
    events, found = protocol.events, np.zeros(task.candidates.shape)
    for s in range(len(found)):
        history = slice(task.samples.start[s], task.samples.end[s])
        same_group = events.group[history] == task.samples.group[s]
        found[s] = np.isin(task.candidates[s], events.object[history][same_group])
    return found


def features_shared(protocol: Protocol, task: Task) -> np.ndarray:
    """The share of the history that a candidate's categorical features are shared with, their mean: [S, 1+R].

    Of behaviours with objects of its own group; 0 where there are none, or no such feature.
    """
    catalogues, events, shared = protocol.log.catalogues, protocol.events, np.zeros(task.candidates.shape)
    for s, g in enumerate(task.samples.group):
        group = protocol.schema.groups[g]
        codes = [catalogues[group.name].features[f.name] for f in group.features if f.kind == "categorical"]
        history = slice(task.samples.start[s], task.samples.end[s])
        objects = events.object[history][events.group[history] == g]
        if codes and len(objects):
            shared[s] = np.mean([(code[objects][:, None] == code[task.candidates[s]]).mean(0) for code in codes], axis=0)
    return shared
