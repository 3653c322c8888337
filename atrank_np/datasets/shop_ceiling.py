"""The best possible scores on the simulated shop: the probability of each object, given all visible events."""

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats, Ints, Texts
from ..errors import DataError
from .log import Log
from .shop_world import CODE, GROUPS, LEADS, NEVER, TASTES, Context, World, chance, make_world

LARGEST = 2_000_000  # numbers in an array of chances: this bounds the memory


def ceiling(
    world: World,
    log: Log,
    user: ArrayLike,
    time: ArrayLike,
    group: ArrayLike,
    candidates: ArrayLike | None = None,
    history: Collection[str] | None = None,
) -> Floats:
    """p(candidate | the user's events before `time`): no score of the visible events ranks better on average.

    Parameters
    ----------
    world, log : the shop and a log that it made.
    user, time : [S] the user (an index in log.users) and the time (in ticks of the log) of each moment of ranking.
    group : the group that is ranked, an index in log.schema.groups; [S], or one for all moments.
    candidates : [S, R], or [R] for all moments: rows of that group's catalogue. None: all objects but `unknown`.
    history : names of the visible groups. None: the schema's history.

    Returns
    -------
    [S, R] float32

    Raises
    ------
    DataError
        An object of the log is not an object of this shop.
    """
    names = [g.name for g in log.schema.groups]
    view = log.schema.history if history is None else history
    world_row = {g: _rows_of(world, g, log.catalogues[g].objects) for g in names}
    events = {g: np.flatnonzero(log.group == i) for i, g in enumerate(names) if g in view}
    object: Ints = np.zeros(len(log.time), int)
    latest = {g: np.full(len(log.time) + 1, -1) for g in GROUPS}  # [row]: the last row of g before it; -1: none
    for g, all_rows in events.items():
        object[all_rows] = _known(world_row[g][log.object[all_rows]])
        latest[g][all_rows + 1] = all_rows
        latest[g] = np.maximum.accumulate(latest[g])

    def context(start: Ints, end: Ints, time: Ints) -> Context:  # [S] each; the visible past is the rows start:end
        last = np.where(latest["items"][end] >= start, latest["items"][end], -1)
        lead, lead_group = np.maximum(last, start - 1), np.zeros(len(end), int)
        for g in LEADS:
            lead_group = np.where(latest[g][end] > lead, CODE[g], lead_group)
            lead = np.maximum(lead, latest[g][end])
        gap = np.where(last >= 0, time - log.time[last], NEVER)
        return Context(object[last], gap, lead_group, object[lead], time - log.time[lead])

    # evidence [E+1, T]: sums of log p(event | taste) over the log. The difference of two rows is log p(taste | the events
    # between them), up to a constant.
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
    end = np.searchsorted(owner * NEVER + log.time, user * NEVER + time)  # the first event that is not before `time`
    belief = evidence[end] - evidence[log.offsets[user]]
    belief = np.exp(belief - belief.max(axis=1, keepdims=True))
    belief /= belief.sum(axis=1, keepdims=True)  # [S, T] p(taste | visible)

    group = np.broadcast_to(group, len(user))
    if candidates is None:
        candidates = np.arange(1, len(log.catalogues[names[group[0]]].objects))
    candidates = np.broadcast_to(candidates, (len(user), np.shape(candidates)[-1]))
    scores = np.empty(candidates.shape)
    for i, g in enumerate(names):
        for some in _blocks(np.flatnonzero(group == i), TASTES * candidates.shape[1]):
            rows, moment = _known(world_row[g][candidates[some]]), context(log.offsets[user[some]], end[some], time[some])
            p = chance(world, g, tastes[None, None], rows[:, :, None], moment, view)
            scores[some] = np.einsum("srt,st->sr", p, belief[some])
    return scores.astype(np.float32)  # chances that differ only in the last bits of the sums become ties


def _rows_of(world: World, group: str, names: Texts) -> Ints:  # [M] -> [M]
    """The row of each name in the world's group; -1 for a name that it does not have."""
    rows = {line.split(",")[0]: n for n, line in enumerate(world.objects.get(group, ()))}
    return np.array([rows.get(name, -1) for name in names.tolist()])


def _known(rows: Ints) -> Ints:
    """The rows as they are. DataError if one of them is -1."""
    if (rows < 0).any():
        raise DataError(
            "world.json: the log holds an object that this shop does not have; delete world.json if you changed the data"
        )
    return rows


def _blocks(rows: Ints, width: int) -> list[Ints]:
    """Cuts rows into parts. A part with `width` numbers per row has at most LARGEST numbers, or one row."""
    size = max(1, LARGEST // width)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def load_world(folder: str | Path, log: Log) -> World | None:
    """The world that simulated a data folder and its log, or None if the folder has no world.json.

    DataError if world.json has a fault, or if the log holds an object that this world does not have.
    """
    path = Path(folder) / "world.json"
    if not path.exists():
        return None
    try:
        made_by = json.loads(path.read_text("utf-8"))
        world = make_world(made_by["seed"], made_by["noise"])
    except (ValueError, KeyError, TypeError):
        raise DataError(f"world.json: expected the seed and noise of the shop, got {path.read_bytes()[:60]!r}") from None
    for name, catalogue in log.catalogues.items():
        _known(_rows_of(world, name, catalogue.objects[1:]))
    return world
