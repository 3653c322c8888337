"""A simulated shop whose next object has a known probability: `python -m atrank_np.datasets.shop --out DIR`.

The story. A user has one of T tastes, never shown. He looks at items one after another. An item may be led by ONE query
or coupon since the item before, which shifts the item and is then used up; queries come at any time, coupons between
sessions. With h the taste, l the last item and τ its age,

    p(query | h), p(coupon | h)  =  own_g[h]                                    a row of a table
    p(item | h, visible)         =  (1 - w) ((1 - u) own[h] + u follow[l]) + w lead_g[query or coupon]
    u = FOLLOW max(0, 1 - τ / FOLLOW_WINDOW),  w = strength_g max(0, 1 - age of the lead / window_g)
    p(object | visible, time)    =  Σ_h p(h | visible) p(object | h, visible)
    p(h | visible)               ∝  Π_events p(event | h, what was visible before it)

Times and groups depend on neither tastes nor objects, so by themselves they say nothing about h.

A view that hides a group is summed out: an unseen lead of group g existed with a chance known from τ, its object came
from own_g[h], and its age was uniform below min(τ, reach_g), so w enters by its mean and lead_g by own_g[h] lead_g. This
is exact wherever items are visible, or queries or coupons are ranked. Items ranked by a view without items are not
covered: l and τ are left out, and the AUC is one that can be reached, not the best.

Repeats have no special case: among the objects not yet seen, p ranks as it does among all. The noise twin has the same
times, groups and leads, but every object in it is uniform and independent: its ceiling is 0.5.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..cli import Parser, run, seed
from ..errors import DataError
from .writing import whole_files

CATEGORIES = ("tea", "cups", "books", "lamps", "plants", "tools", "bikes", "shoes")
SHOPS = ("anchor", "bridge", "cedar", "delta", "ember")
BRANDS = ("alba", "brio", "corvo", "duna", "etna")  # the most popular first
EXTRAS = (*SHOPS, "cheap", "gift", "new")  # second words of a query
WORDS = 3  # first words of a category's queries: tea, tea1, tea2
TASTES, ITEMS = len(CATEGORIES) * len(SHOPS), 320
GROUPS = {"items": "object,category,brand,shop", "queries": "object,tokens", "coupons": "object,shop,category"}
ACTIONS = ("view", "search", "receive", "buy")  # of the groups in their order; an item is also bought
CODE = {g: code for code, g in enumerate(GROUPS)}
DAY = 86400
START = 1_704_067_200  # 2024-01-01
FOLLOW, FOLLOW_WINDOW = 0.8, 7200
NEVER = 10**12  # seconds, beyond every window and every time


@dataclass(frozen=True)
class Lead:
    chance: float  # that an item is led by this group, if the item before is old enough
    since: int  # seconds that make it old enough
    reach: int  # seconds; the lead's age is uniform below this and the age of the item before
    strength: float  # the share of p that a fresh lead takes over
    window: int  # seconds until that share has fallen, linearly, to nothing


LEADS = {
    "queries": Lead(chance=0.3, since=0, reach=3600, strength=0.9, window=4 * 3600),
    "coupons": Lead(chance=0.45, since=DAY // 2, reach=DAY // 2, strength=0.9, window=2 * DAY),
}

SCHEMA = """\
# The simulated shop of atrank_np/datasets/shop.py. What matters has wide tables, and so is learned fast; ids matter little.
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
    """The shop's tables; every row of own, follow, lead and hidden sums to one. I items, G objects of a group g."""

    seed: int
    noise: bool
    objects: dict  # g -> the lines of <g>.csv, without its header
    own: dict  # g -> [T, G] p(object | taste)
    follow: np.ndarray  # [I, I] p(item | last item), of a user who goes on with what he was looking at
    lead: dict  # queries, coupons -> [G, I] p(item | lead)
    hidden: dict  # the same -> [T, I] p(item | taste, led by an unseen object) = own lead
    buy: np.ndarray  # [T, I] p(the action is "buy", not "view" | taste, item)


def make_world(seed=0, noise=False):
    """The tables are a function of the two arguments, which are all that is stored of them with the data."""
    rng = np.random.Generator(np.random.PCG64([seed, 0]))
    category, rank = np.arange(ITEMS) % len(CATEGORIES), np.arange(ITEMS) // len(CATEGORIES)
    shop, brand = rng.integers(len(SHOPS), size=ITEMS), rng.integers(len(BRANDS), size=ITEMS)
    popularity = 1.0 / ((brand + 2) * (rank + 60))
    # A query: a word of its category and one of EXTRAS, of which some name a shop. A coupon: a shop and a category.
    q_category, word, extra = (a.ravel() for a in np.indices((len(CATEGORIES), WORDS, len(EXTRAS))))
    k_shop, k_category = (a.ravel() for a in np.indices((len(SHOPS), len(CATEGORIES))))

    # A taste: a loved category, a liked one (the next), a favourite shop.
    loved, favourite = (a.ravel()[:, None] for a in np.indices((len(CATEGORIES), len(SHOPS))))
    by_category = np.array([12.0, 4.0] + [0.3] * 6)[(np.arange(len(CATEGORIES)) - loved) % len(CATEGORIES)]
    by_shop = np.where(np.arange(len(SHOPS)) == favourite, 12.0, 1.0)
    by_extra = np.concatenate([by_shop, np.ones((TASTES, len(EXTRAS) - len(SHOPS)))], axis=1)
    own = {
        "items": popularity * by_category[:, category] * by_shop[:, shop],
        "queries": by_category[:, q_category] * by_extra[:, extra],
        "coupons": by_category[:, k_category] * by_shop[:, k_shop],
    }
    same = lambda a, b, often, else_=1.0: np.where(a == b[:, None], often, else_)
    follow = popularity * same(category, category, 1.0, 0.0) * same(shop, shop, 6.0) * (1 - np.eye(ITEMS))
    lead = {
        "queries": popularity * same(category, q_category, 1.0, 0.0) * same(shop, extra, 6.0),
        "coupons": popularity * same(category, k_category, 24.0) * same(shop, k_shop, 16.0),
    }
    buy = np.where(by_category[:, category] > 1, 0.4, 0.1)

    objects = {
        "items": [f"i{n},{CATEGORIES[c]},{BRANDS[b]},{SHOPS[s]}" for n, (c, b, s) in enumerate(zip(category, brand, shop))],
        "queries": [f"q{n},{CATEGORIES[c]}{w or ''} {EXTRAS[e]}" for n, (c, w, e) in enumerate(zip(q_category, word, extra))],
        "coupons": [f"k{n},{SHOPS[s]},{CATEGORIES[c]}" for n, (s, c) in enumerate(zip(k_shop, k_category))],
    }
    if noise:
        own, lead = ({g: np.ones_like(t) for g, t in tables.items()} for tables in (own, lead))
        follow, buy = np.ones_like(follow), np.full_like(buy, 0.25)
    own, lead = ({g: t / t.sum(1, keepdims=True) for g, t in tables.items()} for tables in (own, lead))
    follow /= follow.sum(1, keepdims=True)
    return World(seed, noise, objects, own, follow, lead, {g: own[g] @ lead[g] for g in lead}, buy)


@dataclass(frozen=True)
class Context:
    """What p(object | taste, visible) depends on at S moments; arrays [S]."""

    last: np.ndarray  # the last item; any where there is none
    gap: np.ndarray  # its age in seconds; NEVER where there is none
    lead_group: np.ndarray  # CODE of the query or coupon since that item; 0: none is visible
    lead: np.ndarray  # that object
    lead_age: np.ndarray  # seconds


def chance(world, group, taste, object, context, view=tuple(GROUPS)):
    """p(object | taste, what the groups of `view` show): the law that is both simulated and scored.

    taste and object broadcast against each other to [S, …], S being the moments of the context.
    """
    if group != "items":
        return world.own[group][taste, object]
    shape = (-1, *[1] * (max(np.ndim(taste), np.ndim(object)) - 1))
    last, gap, lead_group, lead, lead_age = (value.reshape(shape) for value in vars(context).values())
    u = FOLLOW * np.maximum(0, 1 - gap / FOLLOW_WINDOW)
    p = (1 - u) * world.own["items"][taste, object] + u * world.follow[last, object]
    led = {g: law.chance * (gap >= law.since) for g, law in LEADS.items()}  # p(a lead of g | gap)
    unled = 1 - sum(led[g] for g in LEADS if g in view)  # p(no visible lead | gap)
    shares, shifted = 0, 0
    for g, law in LEADS.items():
        if g in view:
            here = lead_group == CODE[g]
            w = here * law.strength * np.maximum(0, 1 - lead_age / law.window)
            shift = world.lead[g][np.where(here, lead, 0), object]
        else:
            mean = law.strength * (1 - np.minimum(gap, law.reach) / (2 * law.window))
            w = (lead_group == 0) * led[g] / unled * mean
            shift = world.hidden[g][taste, object]
        shares, shifted = shares + w, shifted + w * shift
    return (1 - shares) * p + shifted


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


def simulate(world, users):
    """The users' events, a block of users after the other: (user, group, action, object, time), arrays [E] in order."""
    for first in range(0, users, 2000):
        B = min(2000, users - first)
        # Times and groups have a stream of their own, so that the noise twin has the same. Integers and halves only:
        # no function of a mathematics library that may differ between machines decides a byte.
        clock, dice = (np.random.Generator(np.random.PCG64([world.seed, purpose, first])) for purpose in (1, 2))
        count = 1 + clock.integers(10, size=B) + clock.integers(21, size=B) * (clock.integers(5, size=B) == 0)
        now, taste, last = START + clock.integers(120 * DAY, size=B), dice.integers(TASTES, size=B), np.zeros(B, int)
        found = []
        for n in range(count.max()):
            # The gap: minutes within a session, half a day to a month between two.
            scale = 2 ** clock.integers(6, size=B)
            minutes, days = 20 + clock.integers(40 * scale), DAY // 2 + clock.integers(DAY * scale)
            gap = np.where(clock.integers(100, size=B) < 65, minutes, days) if n else np.full(B, NEVER)
            now = now + (gap if n else 0)
            lead_group, lead, age = np.zeros((3, B), int)
            which, when = clock.random(B), clock.random(B)
            for g, law in LEADS.items():
                p = law.chance * (gap >= law.since)
                here, which = (which >= 0) & (which < p), which - p
                longest = np.minimum(gap, law.reach)
                lead_group = np.where(here, CODE[g], lead_group)
                lead = np.where(here, _draw(world.own[g][taste], dice), lead)
                age = np.where(here, 1 + (when * (longest - 1)).astype(int), age)  # uniform on 1 … longest - 1
            moment = Context(last, gap, lead_group, lead, age)
            last = _draw(chance(world, "items", taste[:, None], np.arange(ITEMS)[None], moment), dice)
            action = np.where(dice.random(B) < world.buy[taste, last], 3, 0)
            led, going = np.flatnonzero((n < count) & (lead_group > 0)), np.flatnonzero(n < count)
            found.append([column[led] for column in (np.arange(B), lead_group, lead_group, lead, now - age)])
            found.append([column[going] for column in (np.arange(B), np.zeros(B, int), action, last, now)])
        user, group, action, object, time = (np.concatenate(column) for column in zip(*found))
        order = np.lexsort((time, user))
        yield user[order] + first, group[order], action[order], object[order], time[order]


def _draw(p, rng):  # [B, M] -> [B], by the inverse distribution function
    return np.minimum((p.cumsum(axis=1) < rng.random((len(p), 1))).sum(axis=1), p.shape[1] - 1)


def write(world, users, out):
    """The data folder; returns the number of events."""
    names, events = [[line.split(",")[0] for line in world.objects[g]] for g in GROUPS], 0
    made_by = json.dumps({"seed": world.seed, "noise": world.noise}) + "\n"
    texts = {f"{g}.csv": "\n".join([header, *world.objects[g], ""]) for g, header in GROUPS.items()}
    texts |= {"schema.toml": SCHEMA, "world.json": made_by, "events.csv": "user,group,action,object,time\n"}
    with whole_files(out, *texts) as files:
        for file, text in zip(files, texts.values()):
            file.write(text)
        for block in simulate(world, users):
            events += len(block[0])
            rows = zip(*(column.tolist() for column in block))
            files[-1].writelines(f"u{u},{tuple(GROUPS)[g]},{ACTIONS[a]},{names[g][o]},{t}\n" for u, g, a, o, t in rows)
    return events


def main(arguments):
    p = Parser(
        prog="python -m atrank_np.datasets.shop",
        description=(
            "Simulates a shop with items, queries and coupons, and writes it as a data folder. The chance of the next object "
            "is known exactly, and so is the best AUC (python -m atrank_np.datasets.stats DIR --ceilings). The same arguments "
            "give the same bytes."
        ),
    )
    p.add_argument("--out", metavar="DIR", required=True, help="the folder to write, for example data/shop")
    p.add_argument("--users", type=int, default=2000, help="about 11 events each (default: %(default)s)")
    p.add_argument("--seed", type=seed, default=0, help="of the shop and its users (default: %(default)s)")
    p.add_argument("--noise", action="store_true", help="the twin whose objects are all drawn uniformly")
    options = p.parse_args(arguments)
    if options.users < 1:
        raise DataError(f"--users: expected at least 1, got {options.users}")
    events = write(make_world(options.seed, options.noise), options.users, options.out)
    print(f"{options.out}: {options.users} users, {events} events")
    return 0


if __name__ == "__main__":
    run(main)
