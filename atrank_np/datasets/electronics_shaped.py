"""A random log in the shape of Amazon Electronics, to measure speed on: nothing can be learned from it."""

import numpy as np

from ..arrays import Floats, Ints, texts
from ..randomness import stream
from .catalogue import Catalogue
from .log import Log
from .schema import Schema
from .schema_keys import UNITS

USERS, ITEMS, CATEGORIES = 192_403, 63_001, 801  # the paper's Table 1
MEAN, SPREAD, SHORTEST, LONGEST = 8.78, 1.2, 5, 100  # of the number of a user's behaviours


def electronics_shaped(users: int = USERS, items: int = ITEMS, length: int | None = None) -> Log:
    """A Log with one group, whose features object and category have embeddings of 64 numbers each.

    Popularity is Zipf's with exponent 0.8 (0.9 for categories). The days between behaviours are lognormal(3, 1.8). The
    full size is 1.69 million events, which make 1.3 million training samples. Equal arguments give equal logs.

    length: the number of behaviours of every user. None: it varies, with a mean of 8.78.
    """
    rng = stream(0, "simulation")
    lengths = _lengths(rng.standard_normal(users)) if length is None else np.full(users, length)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    E = int(offsets[-1])
    popular = 1 + rng.permutation(items)  # rank of popularity -> object; row 0 is `unknown`
    category = np.append(0, 1 + _zipf(rng, CATEGORIES, 0.9, items))
    time = np.cumsum(np.floor(rng.lognormal(3.0, 1.8, E)).astype(np.int64))
    time -= np.repeat(time[offsets[:-1]], lengths)
    schema = Schema.from_dict(
        {
            "groups": {"items": {"features": {"object": "id", "category": "categorical"}}},
            "actions": ["view", "buy"],
            "target_repeats": "keep",  # repeats happen by chance here, and the number of samples must be exact
        }
    )
    objects = texts(["unknown", *map(str, range(1, items + 1))])
    return Log(
        schema=schema,
        actions=schema.actions,
        tables={"items.object": objects, "category": texts(["unknown", *map(str, range(1, CATEGORIES + 1))])},
        catalogues={
            "items": Catalogue(objects, {"object": np.arange(items + 1, dtype=np.int32), "category": category.astype(np.int32)})
        },
        users=texts(map(str, range(users))),
        offsets=offsets.astype(np.int64),
        group=np.zeros(E, np.int8),
        object=popular[_zipf(rng, items, 0.8, E)].astype(np.int32),
        action=rng.integers(2, size=E, dtype=np.int16),
        time=time * UNITS["day"],
    )


def _lengths(z: Floats) -> Ints:  # [U] normal numbers -> [U]
    """min(5 + floor(exp(μ + 1.2 z)), 100), with the μ that makes their mean 8.78, found by bisection."""
    low, high = -3.0, 5.0
    for _ in range(60):
        middle = (low + high) / 2
        lengths: Floats = np.minimum(SHORTEST + np.floor(np.exp(middle + SPREAD * z)), LONGEST)
        low, high = (low, middle) if lengths.mean() > MEAN else (middle, high)
    return lengths.astype(np.int64)


def _zipf(rng: np.random.Generator, values: int, exponent: float, count: int) -> Ints:
    """`count` draws of 0 … values - 1, where v has a probability proportional to (v + 1)^-exponent."""
    chance = np.cumsum(np.arange(1, values + 1) ** -exponent)
    drawn: Ints = np.minimum(np.searchsorted(chance / chance[-1], rng.random(count)), values - 1)
    return drawn
