"""The best that any model can reach on the simulated shop: its law, given all that is visible."""

import json
from pathlib import Path

import numpy as np

from ..errors import DataError
from .shop_world import CODE, GROUPS, LEADS, NEVER, TASTES, Context, chance, make_world


def ceiling(world, log, user, time, group, candidates=None, history=None):
    """p(candidate | the user's events before `time`): no score of what is visible ranks better on average.

    user, time [S]; group: index in log.schema.groups, [S] or one for all; candidates: rows of that group's catalogue,
    [S, R] or [R], None: all but `unknown`; history: names of the visible groups, None: the schema's.  -> [S, R] float32
    DataError if an object is not of this shop.
    """
    names = [g.name for g in log.schema.groups]
    view = log.schema.history if history is None else history
    code = {g: _rows_of(world, g, log.catalogues[g].objects) for g in names}
    events = {g: np.flatnonzero(log.group == i) for i, g in enumerate(names) if g in view}
    object = np.zeros(len(log.time), int)
    latest = {g: np.full(len(log.time) + 1, -1) for g in GROUPS}  # before every row of the log, the last row of g
    for g, rows in events.items():
        object[rows] = _known(code[g][log.object[rows]])
        latest[g][rows + 1] = rows
        latest[g] = np.maximum.accumulate(latest[g])

    def context(start, end, time):  # [S] each; the visible past is the rows start:end
        last = np.where(latest["items"][end] >= start, latest["items"][end], -1)
        lead, lead_group = np.maximum(last, start - 1), np.zeros(len(end), int)
        for g in LEADS:
            lead_group = np.where(latest[g][end] > lead, CODE[g], lead_group)
            lead = np.maximum(lead, latest[g][end])
        gap = np.where(last >= 0, time - log.time[last], NEVER)
        return Context(object[last], gap, lead_group, object[lead], time - log.time[lead])

    # log p(h | visible) but for a constant: a running sum over the log, less its value where the user's events start.
    tastes, owner = np.arange(TASTES), np.repeat(np.arange(len(log.users)), np.diff(log.offsets))
    evidence = np.zeros((len(log.time) + 1, TASTES))
    is_buy = np.array([action == "buy" for action in log.actions])
    for g, all_rows in events.items():
        for rows in _blocks(all_rows, TASTES):
            moment = context(log.offsets[owner[rows]], rows, log.time[rows])
            p = chance(world, g, tastes[None], object[rows, None], moment, view)
            if g == "items":
                buy = world.buy.T[object[rows]]
                p = p * np.where(is_buy[log.action[rows], None], buy, 1 - buy)
            evidence[rows + 1] = np.log(p)
    np.cumsum(evidence, axis=0, out=evidence)
    user, time = np.asarray(user, np.int64), np.asarray(time, np.int64)
    end = np.searchsorted(owner * NEVER + log.time, user * NEVER + time)  # where the events before `time` end
    belief = evidence[end] - evidence[log.offsets[user]]
    belief = np.exp(belief - belief.max(axis=1, keepdims=True))
    belief /= belief.sum(axis=1, keepdims=True)

    group = np.broadcast_to(group, len(user))
    if candidates is None:
        candidates = np.arange(1, len(log.catalogues[names[group[0]]].objects))
    candidates = np.broadcast_to(candidates, (len(user), np.shape(candidates)[-1]))
    scores = np.empty(candidates.shape)
    for i, g in enumerate(names):
        for s in _blocks(np.flatnonzero(group == i), TASTES * candidates.shape[1]):
            rows, moment = _known(code[g][candidates[s]]), context(log.offsets[user[s]], end[s], time[s])
            p = chance(world, g, tastes[None, None], rows[:, :, None], moment, view)
            scores[s] = np.einsum("srt,st->sr", p, belief[s])
    return scores.astype(np.float32)  # chances that are equal but for the last bits of the sums become ties


def _rows_of(world, group, names):  # the world's row of each name; -1: none
    rows = {line.split(",")[0]: n for n, line in enumerate(world.objects.get(group, ()))}
    return np.array([rows.get(name, -1) for name in names.tolist()])


def _known(rows):
    if (rows < 0).any():
        raise DataError("world.json: an object is not of this shop, so there is no ceiling; expected the file removed")
    return rows


def _blocks(rows, width):  # parts of rows, of at most about 2 million numbers each
    size = max(1, 2_000_000 // width)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def load_world(folder, log):
    """The world that made a data folder and its log, or None if no simulator made it.

    DataError if the log holds an object that is not of this world: then there is no ceiling.
    """
    path = Path(folder) / "world.json"
    if not path.exists():
        return None
    try:
        made_by = json.loads(path.read_text())
        world = make_world(made_by["seed"], made_by["noise"])
    except (ValueError, KeyError, TypeError):
        raise DataError(f"world.json: expected the seed and noise of the shop, got {path.read_bytes()[:60]!r}") from None
    for name, catalogue in log.catalogues.items():
        _known(_rows_of(world, name, catalogue.objects[1:]))
    return world
