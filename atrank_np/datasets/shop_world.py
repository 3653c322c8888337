"""The law of the simulated shop, whose next object has a known probability. The command is `shop`.

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

from dataclasses import dataclass

import numpy as np

CATEGORIES = ("tea", "cups", "books", "lamps", "plants", "tools", "bikes", "shoes")
SHOPS = ("anchor", "bridge", "cedar", "delta", "ember")
BRANDS = ("alba", "brio", "corvo", "duna", "etna")  # the most popular first
EXTRAS = (*SHOPS, "cheap", "gift", "new")  # second words of a query
WORDS = 3  # first words of a category's queries: tea, tea1, tea2
TASTES, ITEMS = len(CATEGORIES) * len(SHOPS), 320
GROUPS = {"items": "object,category,brand,shop", "queries": "object,tokens", "coupons": "object,shop,category"}
CODE = {g: code for code, g in enumerate(GROUPS)}
DAY = 86400
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
