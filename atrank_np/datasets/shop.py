"""A simulated shop whose next object has a known probability: `python -m atrank_np.datasets.shop --out DIR`.

The story. A user has one of T tastes, never shown. He views items one after another; an item may be led by ONE query or
coupon since the item before, which shifts the item and is then used up. With h the taste, l the last item and τ its age,

    p(query | h), p(coupon | h)  = own_g[h]                                                          a row of a table
    p(item | h, visible)         = (1 − w) ((1 − u) own[h] + u follow[l]) + w lead_g[query or coupon]
    u = FOLLOW max(0, 1 − τ / FOLLOW_WINDOW),     w = strength_g max(0, 1 − age of the lead / window_g)
    p(object | visible, time)    = Σ_h p(h | visible) p(object | h, visible),   p(h | visible) ∝ Π_events p(event | h, earlier)

When events happen and of which group they are depends on neither tastes nor objects, so times alone say nothing about h.
A view that hides a group is summed out exactly: an unseen lead of group g existed with a known chance, its object came
from own_g[h], and its age was uniform below min(τ, window_g), so w enters by its mean and lead_g by own_g[h] lead_g.
The sum is exact wherever items are visible, or queries or coupons are ranked; items ranked by a view without items lack the
follow term, and their score is only a lower bound. Repeats have no special case: p ranks the unseen objects as it ranks all.
The noise twin has the same times, groups and leads; every object in it is uniform, so its ceiling is 0.5.
"""

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from atrank_np.datasets.schema import DataError

CATEGORIES = ("tea", "cups", "books", "lamps", "plants", "tools", "bikes", "shoes")
SHOPS = ("anchor", "bridge", "cedar", "delta", "ember")
BRANDS = ("alba", "brio", "corvo", "duna", "etna")
EXTRAS = (*SHOPS, "cheap", "gift", "new")  # second words of a query
WORDS = 3  # first words of a category's queries: tea, tea1, tea2
TASTES, ITEMS = len(CATEGORIES) * len(SHOPS), 320
GROUPS, ACTIONS = ("items", "queries", "coupons"), ("view", "search", "receive")  # and "buy" of an item
DAY = 86400
START = 1_704_067_200  # 2024-01-01
FOLLOW, FOLLOW_WINDOW = 0.6, 7200
NEVER = 10**12  # an age beyond every window
MAX_ITEMS = 29  # of a user; with a lead each, below every sensible cap of the history


@dataclass(frozen=True)
class Lead:
    chance: float  # that an item is led by this group, if the item before is old enough
    since: int  # seconds that make it old enough
    strength: float  # the share of p that a fresh lead takes over
    reach: int  # seconds; its age is uniform below this and the time since the last item
    window: int  # seconds until its share has fallen, linearly, to nothing


LEADS = {"queries": Lead(0.3, 0, 0.9, 3600, 4 * 3600), "coupons": Lead(0.45, DAY // 2, 0.9, DAY // 2, 2 * DAY)}

SCHEMA = """\
# The simulated shop of atrank_np/datasets/shop.py. Small tables: there is little to learn from.
targets = ["items"]
history_rule = "before_event"
target_repeats = "drop"
actions = ["view", "buy", "search", "receive"]

[groups.items]
bucket_unit = "minute"
buckets = 16
target_action = "view"
[groups.items.features]
object = {kind = "id", size = 4}
category = {kind = "categorical", size = 128}
brand = {kind = "categorical", size = 32}
shop = {kind = "categorical", size = 128}

[groups.queries]
bucket_unit = "minute"
buckets = 16
[groups.queries.features]
tokens = {kind = "tokens", table = "category", size = 128}  # the word tea is the category tea

[groups.coupons]
bucket_unit = "hour"
buckets = 12
[groups.coupons.features]
object = {kind = "id", size = 4}
shop = {kind = "categorical", size = 128}
category = {kind = "categorical", size = 128}
"""


@dataclass(frozen=True)
class World:
    """The shop's tables; every row of own, follow, lead and hidden is a distribution. I items, G objects of a group g."""
    seed: int
    noise: bool
    objects: dict  # g -> the columns of <g>.csv, its header first
    own: dict  # g -> [T, G] p(object | taste)
    follow: np.ndarray  # [I, I] p(next item | last item), while the user goes on with what he was looking at
    lead: dict  # queries, coupons -> [G, I] p(item | lead)
    hidden: dict  # the same -> [T, I] p(item | taste, a lead that is not visible) = own lead
    buy: np.ndarray  # [T, I] p(the action is "buy" and not "view" | taste, item)


def make_world(seed=0, noise=False):
    """The tables are a function of the seed: nothing but the seed and `noise` is stored with the data."""
    rng = np.random.Generator(np.random.PCG64([seed, 0]))
    category, rank = np.arange(ITEMS) % len(CATEGORIES), np.arange(ITEMS) // len(CATEGORIES)
    shop, brand = rng.integers(len(SHOPS), size=ITEMS), rng.integers(len(BRANDS), size=ITEMS)
    popularity = 1.0 / ((brand + 2) * (rank + 60))
    # A query: a word of its category and one of `EXTRAS`, of which some name a shop. A coupon: a shop and a category.
    q_category, word, extra = (a.ravel() for a in np.indices((len(CATEGORIES), WORDS, len(EXTRAS))))
    k_shop, k_category = (a.ravel() for a in np.indices((len(SHOPS), len(CATEGORIES))))

    # A taste: a loved category, a liked one (the next), a favourite shop.
    loved, favourite = (a.ravel()[:, None] for a in np.indices((len(CATEGORIES), len(SHOPS))))
    by_category = np.array([12.0, 4.0] + [0.5] * 6)[(np.arange(len(CATEGORIES)) - loved) % len(CATEGORIES)]
    by_shop = np.where(np.arange(len(SHOPS)) == favourite, 10.0, 1.0)
    by_extra = np.concatenate([by_shop, np.ones((len(loved), len(EXTRAS) - len(SHOPS)))], axis=1)
    own = {"items": popularity * by_category[:, category] * by_shop[:, shop],
           "queries": by_category[:, q_category] * by_extra[:, extra],
           "coupons": by_category[:, k_category] * by_shop[:, k_shop]}
    same = lambda a, often: np.where(a == a[:, None], often, 1.0)  # noqa: E731
    follow = popularity * (category == category[:, None]) * same(shop, 6.0) * (1 - np.eye(ITEMS))
    lead = {"queries": popularity * (category == q_category[:, None]) * np.where(shop == extra[:, None], 6.0, 1.0),
            "coupons": popularity * np.where(shop == k_shop[:, None], 16.0, 1.0)
            * np.where(category == k_category[:, None], 24.0, 1.0)}
    buy = np.where(by_category[:, category] > 1, 0.4, 0.1)

    objects = {
        "items": [("object", "category", "brand", "shop")] + [
            (f"i{n}", CATEGORIES[c], BRANDS[b], SHOPS[s]) for n, (c, b, s) in enumerate(zip(category, brand, shop))],
        "queries": [("object", "tokens")] + [
            (f"q{n}", f"{CATEGORIES[c]}{w or ''} {EXTRAS[e]}") for n, (c, w, e) in enumerate(zip(q_category, word, extra))],
        "coupons": [("object", "shop", "category")] + [
            (f"k{n}", SHOPS[s], CATEGORIES[c]) for n, (s, c) in enumerate(zip(k_shop, k_category))]}
    rows = lambda table: (np.ones_like(table) if noise else table) / (
        table.shape[1] if noise else table.sum(axis=1, keepdims=True))
    own, lead = {g: rows(t) for g, t in own.items()}, {g: rows(t) for g, t in lead.items()}
    return World(seed, noise, objects, own, rows(follow), lead, {g: own[g] @ lead[g] for g in lead},
                 np.full_like(buy, 0.25) if noise else buy)


@dataclass(frozen=True)
class Context:
    """What p(object | taste, visible) depends on, for S moments: arrays [S]."""
    last: np.ndarray  # the last item, any value where there is none
    gap: np.ndarray  # its age in seconds, NEVER where there is none
    lead_group: np.ndarray  # index in GROUPS of the query or coupon since that item; 0: none is visible
    lead: np.ndarray  # that object
    lead_age: np.ndarray  # seconds


def chance(world, group, taste, object, context, view=GROUPS):
    """p(object | taste, what the groups in `view` show). taste and object broadcast: [S|1, …], with context's S first."""
    if group != "items":
        return world.own[group][taste, object]
    column = lambda a: a.reshape(-1, *[1] * (max(np.ndim(taste), np.ndim(object)) - 1))
    u = column(FOLLOW * np.maximum(0, 1 - context.gap / FOLLOW_WINDOW))
    p = (1 - u) * world.own["items"][taste, object] + u * world.follow[column(context.last), object]
    led = {g: law.chance * (context.gap >= law.since) for g, law in LEADS.items()}  # p(led by g | gap)
    unseen = 1 - sum(led[g] for g in LEADS if g in view)  # p(no visible lead | gap)
    shares, shifts = [], []
    for g, law in LEADS.items():
        if g in view:
            here = context.lead_group == GROUPS.index(g)
            shares.append(column(here * law.strength * np.maximum(0, 1 - context.lead_age / law.window)))
            shifts.append(world.lead[g][column(np.where(here, context.lead, 0)), object])
        else:
            mean = law.strength * (1 - np.minimum(context.gap, law.reach) / (2 * law.window))
            shares.append(column((context.lead_group == 0) * mean * led[g] / unseen))
            shifts.append(world.hidden[g][taste, object])
    return (1 - sum(shares)) * p + sum(w * shift for w, shift in zip(shares, shifts))


def ceiling(world, log, user, time, group, candidates=None, history=None):
    """p(candidate | the user's events before `time`): no score of the visible past ranks better on average.

    user, time [S]; group: index in log.schema.groups [S], or one for all; candidates: rows of that group's catalogue,
    [S, R] or [R], all but `unknown` if None; history: names of the visible groups, None for the schema's.  -> [S, R]
    ValueError for an object that is not of this shop.
    """
    names = [g.name for g in log.schema.groups]
    view = tuple(log.schema.history if history is None else history)
    code = {}  # name of a group -> the world's row of each row of its catalogue; -1: none
    for g in names:
        rows = {row[0]: n for n, row in enumerate(world.objects[g][1:])}
        code[g] = np.array([rows.get(name, -1) for name in log.catalogues[g].objects.tolist()])
    events = [np.flatnonzero(log.group == i) if g in view else np.zeros(0, int) for i, g in enumerate(names)]
    object = np.zeros(len(log.time), int)
    for g, rows in zip(names, events):
        object[rows] = _known(code[g][log.object[rows]])
    # The latest event of each group before every row of the log: a running maximum.
    latest = {}
    for g, rows in zip(names, events):
        latest[g] = np.full(len(log.time) + 1, -1)
        latest[g][rows + 1] = rows
        latest[g] = np.maximum.accumulate(latest[g])

    def context(start, end, time):  # [S] each
        last = latest["items"][end]
        last = np.where(last >= start, last, -1)
        row, lead_group = last, np.zeros(len(end), int)
        for g in LEADS:
            if g in latest:
                later = latest[g][end] > np.maximum(row, start - 1)
                row, lead_group = np.where(later, latest[g][end], row), np.where(later, GROUPS.index(g), lead_group)
        gap = np.where(last >= 0, time - log.time[last], NEVER)
        return Context(object[last], gap, lead_group, object[row], time - log.time[row])

    # log p(taste | visible) up to a constant: a running sum over the log, less its value at the user's first event.
    tastes, starts = np.arange(TASTES), np.repeat(log.offsets[:-1], np.diff(log.offsets))
    evidence = np.zeros((len(log.time) + 1, TASTES))
    for g, rows in zip(names, events):
        like = chance(world, g, tastes[None], object[rows, None], context(starts[rows], rows, log.time[rows]), view)
        if g == "items":
            bought = np.array([a == "buy" for a in log.actions])[log.action[rows], None]
            buy = world.buy[:, object[rows]].T
            like = like * np.where(bought, buy, 1 - buy)
        evidence[rows + 1] = np.log(like)
    evidence = np.cumsum(evidence, axis=0)
    user, time = np.asarray(user, np.int64), np.asarray(time, np.int64)
    key = np.repeat(np.arange(len(log.users)), np.diff(log.offsets)) * NEVER + log.time
    end = np.searchsorted(key, user * NEVER + time)  # the user's events before `time` end at this row
    belief = evidence[end] - evidence[log.offsets[user]]
    belief = np.exp(belief - belief.max(axis=1, keepdims=True))
    belief /= belief.sum(axis=1, keepdims=True)

    group = np.broadcast_to(group, len(user))
    if candidates is None:
        candidates = np.arange(1, len(log.catalogues[names[group[0]]].objects))
    candidates = np.broadcast_to(candidates, (len(user), np.shape(candidates)[-1]))
    scores = np.empty(candidates.shape)
    at_once = max(1, 4_000_000 // (TASTES * candidates.shape[1]))  # bounds the memory
    for i, name in enumerate(names):
        which = np.flatnonzero(group == i)
        for s in np.split(which, range(at_once, len(which), at_once)):
            rows = _known(code[name][candidates[s]])
            moment = context(log.offsets[user[s]], end[s], time[s])
            p = chance(world, name, tastes[None, None], rows[:, :, None], moment, view)
            scores[s] = np.einsum("srt,st->sr", p, belief[s])
    return scores


def _known(rows):
    if (rows < 0).any():
        raise ValueError("an object is not of this shop: its ceiling is not defined")
    return rows


def load_world(folder):
    """The world that made a data folder, or None if no simulator made it."""
    path = Path(folder) / "world.json"
    if not path.exists():
        return None
    try:
        made_by = json.loads(path.read_text())
        return make_world(made_by["seed"], made_by["noise"])
    except (ValueError, KeyError, TypeError):
        raise DataError(f"world.json: expected the seed and noise of the shop, got {path.read_text()[:60]!r}") from None


def simulate(world, users):
    """The users' events: yields (user, group, action, object, time) arrays [E], sorted by user and time."""
    for first in range(0, users, 2000):  # a block of users at a time bounds the memory
        B = min(2000, users - first)
        # The times and groups have a stream of their own, so that the noise twin has the same.
        rng, draws = (np.random.Generator(np.random.PCG64([world.seed, purpose, first])) for purpose in (1, 2))
        count = 1 + rng.integers(9, size=B) + np.where(rng.integers(5, size=B) == 0, rng.integers(21, size=B), 0)
        taste = draws.integers(TASTES, size=B)
        now, last = START + rng.integers(120 * DAY, size=B), np.zeros(B, int)
        found = []
        for n in range(count.max()):
            # The gap: minutes within a session, half a day to a month between two.
            scale = 2 ** rng.integers(6, size=B)
            minutes, days = 20 + rng.integers(40 * scale), DAY // 2 + rng.integers(DAY * scale)
            gap = np.where(rng.integers(100, size=B) < 65, minutes, days) if n else np.full(B, NEVER)
            now = now + gap if n else now
            at, dice = rng.random(B), rng.random(B)
            lead_group, lead, age = np.zeros(B, int), np.zeros(B, int), np.zeros(B, int)
            for i, g in enumerate(GROUPS[1:], 1):
                p = LEADS[g].chance * (gap >= LEADS[g].since)
                here = (dice >= 0) & (dice < p)
                dice = dice - p
                longest = np.minimum(gap, LEADS[g].reach)
                drawn = _draw(world.own[g][taste], draws)
                lead_group, lead = np.where(here, i, lead_group), np.where(here, drawn, lead)
                age = np.where(here, 1 + (at * (longest - 1)).astype(int), age)  # uniform on 1 … longest − 1
            moment = Context(last, gap, lead_group, lead, age)
            last = _draw(chance(world, "items", taste[:, None], np.arange(ITEMS)[None], moment), draws)
            bought = draws.random(B) < world.buy[taste, last]
            going, led = np.flatnonzero(n < count), np.flatnonzero((n < count) & (lead_group > 0))
            found.append((led, lead_group[led], lead_group[led], lead[led], (now - age)[led]))
            found.append((going, np.zeros(len(going), int), np.where(bought, 3, 0)[going], last[going], now[going]))
        user, group, action, object, time = (np.concatenate(column) for column in zip(*found))
        order = np.lexsort((time, user))
        yield tuple(column[order] for column in (user + first, group, action, object, time))


def _draw(p, rng):  # [B, M] -> [B], by the inverse distribution function
    return np.minimum((p.cumsum(axis=1) < rng.random(len(p))[:, None]).sum(axis=1), p.shape[1] - 1)


def write(world, users, out):
    """The data folder; returns the number of events. Each file appears complete or not at all."""
    out, actions, events = Path(out), (*ACTIONS, "buy"), 0
    out.mkdir(parents=True, exist_ok=True)
    names = {g: [row[0] for row in rows[1:]] for g, rows in world.objects.items()}
    pieces = ["user,group,action,object,time\n"]
    for block in simulate(world, users):
        events += len(block[0])
        pieces += [f"u{u},{GROUPS[g]},{actions[a]},{names[GROUPS[g]][o]},{t}\n"
                   for u, g, a, o, t in zip(*(column.tolist() for column in block))]
    files = {"schema.toml": SCHEMA, "world.json": json.dumps({"seed": world.seed, "noise": world.noise}) + "\n",
             **{f"{g}.csv": "".join(",".join(row) + "\n" for row in rows) for g, rows in world.objects.items()},
             "events.csv": "".join(pieces)}
    for name, text in files.items():
        (out / (name + ".part")).write_bytes(text.encode())
        os.replace(out / (name + ".part"), out / name)
    return events


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m atrank_np.datasets.shop", description=(
        "Simulate a shop with items, queries and coupons, and write it as a data folder. The chance of the next object is "
        "known exactly, so the best AUC is too. The same arguments give the same bytes."))
    parser.add_argument("--out", required=True, help="the folder to write, for example data/shop")
    parser.add_argument("--users", type=int, default=2000, help="about 11 events each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the shop and its users (default: %(default)s)")
    parser.add_argument("--noise", action="store_true", help="the twin whose objects are all drawn uniformly")
    args = parser.parse_args(arguments)
    if args.users < 1 or args.seed < 0:
        parser.error("expected --users of at least 1 and --seed of at least 0")
    try:
        events = write(make_world(args.seed, args.noise), args.users, args.out)
    except OSError as fault:
        print(f"{args.out}: {fault.strerror}", file=sys.stderr)
        return 2
    print(f"{args.out}: {args.users} users, {events} events")
    return 0


if __name__ == "__main__":
    sys.exit(main())
