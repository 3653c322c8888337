"""The law of the simulated shop: the probability of the next object is known. The command that simulates is `shop`.

The story. A user has one of T tastes, which is never shown. They look at items one after another. Between two items, at
most ONE query or coupon can come: the lead of the second item. It makes some items more likely, and acts only once.
Queries come at any time, coupons only between sessions. With h the taste, l the last item and τ its age,

    p(query | h), p(coupon | h)  =  own_g[h]                                    a row of a table
    p(item | h, visible)         =  (1 - w) ((1 - u) own[h] + u follow[l]) + w lead_g[query or coupon]
    u = FOLLOW max(0, 1 - τ / FOLLOW_WINDOW),  w = strength_g max(0, 1 - age of the lead / window_g)
    p(object | visible, time)    =  Σ_h p(h | visible) p(object | h, visible)
    p(h | visible)               ∝  Π_events p(event | h, what was visible before it)

Times and groups depend neither on tastes nor on objects, so alone they say nothing about h.

A view that hides a group sums over what is hidden. A hidden lead of group g exists with a probability that depends on τ. Its
object is drawn from own_g[h], and its age is uniform below min(τ, reach_g). So w is replaced by its mean, and lead_g by
own_g[h] lead_g. This is exact if items are visible, or if queries or coupons are ranked. It is not exact for items ranked
from a view without items: l and τ are ignored there. So this AUC can be reached, but may not be the best one.

Repeated objects need no special case: among the objects not yet seen, p ranks as it does among all. The noise twin has
the same times, groups and leads, but each of its objects is uniform and independent: its best AUC is 0.5.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from ..arrays import Floats, Ints

CATEGORIES = ("tea", "cups", "books", "lamps", "plants", "tools", "bikes", "shoes")
SHOPS = ("anchor", "bridge", "cedar", "delta", "ember")
BRANDS = ("alba", "brio", "corvo", "duna", "etna")  # the most popular first
EXTRAS = (*SHOPS, "cheap", "gift", "new")  # the second word of a query is one of them
WORDS = 3  # the first word of a query on tea is tea, tea1 or tea2
TASTES, ITEMS = len(CATEGORIES) * len(SHOPS), 320
GROUPS = {"items": "object,category,brand,shop", "queries": "object,tokens", "coupons": "object,shop,category"}
CODE = {g: code for code, g in enumerate(GROUPS)}
DAY = 86400
FOLLOW, FOLLOW_WINDOW = 0.8, 7200
NEVER = 10**12  # seconds, longer than every window and later than every time


@dataclass(frozen=True)
class Lead:
    """How a group of queries or coupons leads to items."""

    chance: float  # that an item has a lead of this group, if the item before is old enough
    since: int  # seconds from which on the item before is old enough
    reach: int  # seconds; the lead's age is uniform below the smaller of this and the age of the item before
    strength: float  # w of a lead of age 0
    window: int  # seconds in which w falls linearly to 0


LEADS = {
    "queries": Lead(chance=0.3, since=0, reach=3600, strength=0.9, window=4 * 3600),
    "coupons": Lead(chance=0.45, since=DAY // 2, reach=DAY // 2, strength=0.9, window=2 * DAY),
}


@dataclass(frozen=True)
class World:
    """The shop's tables. T tastes, I items, G objects of a group g. Every row of own, follow, lead and hidden sums to 1."""

    seed: int
    noise: bool  # the noise twin
    objects: dict[str, list[str]]  # g -> the lines of <g>.csv, without its header
    own: dict[str, Floats]  # g -> [T, G] p(object | taste)
    follow: Floats  # [I, I] p(item | last item), of a user who continues with items like the last one
    lead: dict[str, Floats]  # queries, coupons -> [G, I] p(item | lead)
    hidden: dict[str, Floats]  # queries, coupons -> [T, I] p(item | taste, a lead that is not visible) = own lead
    buy: Floats  # [T, I] p(the action is "buy", not "view" | taste, item)


def make_world(seed: int = 0, noise: bool = False) -> World:
    """Makes the tables from the two arguments alone. A data folder stores only these two, in world.json."""
    rng = np.random.Generator(np.random.PCG64([seed, 0]))
    category, rank = np.arange(ITEMS) % len(CATEGORIES), np.arange(ITEMS) // len(CATEGORIES)
    shop, brand = rng.integers(len(SHOPS), size=ITEMS), rng.integers(len(BRANDS), size=ITEMS)
    popularity = 1.0 / ((brand + 2) * (rank + 60))
    # A query is a word of its category and one of EXTRAS, some of which name a shop. A coupon is a shop and a category.
    q_category, word, extra = (a.ravel() for a in np.indices((len(CATEGORIES), WORDS, len(EXTRAS))))
    k_shop, k_category = (a.ravel() for a in np.indices((len(SHOPS), len(CATEGORIES))))

    # A taste is a loved category, a liked one (the next category), and a favourite shop.
    loved, favourite = (a.ravel()[:, None] for a in np.indices((len(CATEGORIES), len(SHOPS))))
    by_category = np.array([12.0, 4.0] + [0.3] * 6)[(np.arange(len(CATEGORIES)) - loved) % len(CATEGORIES)]
    by_shop = np.where(np.arange(len(SHOPS)) == favourite, 12.0, 1.0)
    by_extra = np.concatenate([by_shop, np.ones((TASTES, len(EXTRAS) - len(SHOPS)))], axis=1)
    own: dict[str, Floats] = {
        "items": popularity * by_category[:, category] * by_shop[:, shop],
        "queries": by_category[:, q_category] * by_extra[:, extra],
        "coupons": by_category[:, k_category] * by_shop[:, k_shop],
    }
    follow = popularity * _if_equal(category, category, 1.0, 0.0) * _if_equal(shop, shop, 6.0) * (1 - np.eye(ITEMS))
    lead: dict[str, Floats] = {
        "queries": popularity * _if_equal(category, q_category, 1.0, 0.0) * _if_equal(shop, extra, 6.0),
        "coupons": popularity * _if_equal(category, k_category, 24.0) * _if_equal(shop, k_shop, 16.0),
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


def _if_equal(a: Ints, b: Ints, weight: float, otherwise: float = 1.0) -> Floats:  # [n], [m] -> [m, n]
    """weight where the a of the column equals the b of the row, else otherwise."""
    return np.where(a == b[:, None], weight, otherwise)


@dataclass(frozen=True)
class Context:
    """What p(object | taste, visible) depends on at S moments; arrays [S]."""

    last: Ints  # the last visible item; any item if there is none
    gap: Ints  # its age in seconds; NEVER if there is none
    lead_group: Ints  # CODE of the query or coupon since that item; 0: none is visible
    lead: Ints  # that query or coupon
    lead_age: Ints  # its age in seconds


def chance(
    world: World, group: str, taste: Ints | int, object: Ints, context: Context, view: Collection[str] = tuple(GROUPS)
) -> Floats:
    """p(object | taste, what the groups of `view` show): the same law simulates the shop and scores it.

    group: the group of the object. taste and object broadcast against each other to [S, …], for the S moments of the
    context; the result has that shape. Objects are rows of world.objects, so 0 is the first one.
    """
    p: Floats
    if group != "items":
        p = world.own[group][taste, object]
        return p
    shape = (-1, *[1] * (max(np.ndim(taste), np.ndim(object)) - 1))
    last, gap, lead_group, lead, lead_age = (value.reshape(shape) for value in vars(context).values())
    u = FOLLOW * np.maximum(0, 1 - gap / FOLLOW_WINDOW)
    p = (1 - u) * world.own["items"][taste, object] + u * world.follow[last, object]
    led = {g: law.chance * (gap >= law.since) for g, law in LEADS.items()}  # p(the lead is of g | gap)
    unled = 1 - sum(led[g] for g in LEADS if g in view)  # p(no visible lead | gap)
    shares: Floats | float = 0.0
    shifted: Floats | float = 0.0
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
    p = (1 - shares) * p + shifted
    return p
