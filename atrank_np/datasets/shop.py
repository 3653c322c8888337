"""Writes the simulated shop as a data folder: `python -m atrank_np.datasets.shop --out DIR`. Its law is in `shop_world`."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..arrays import Floats, Ints
from ..cli import Parser, run, seed
from ..errors import DataError
from .shop_world import CODE, DAY, GROUPS, ITEMS, LEADS, NEVER, TASTES, Context, World, chance, make_world
from .writing import whole_files

ACTIONS = ("view", "search", "receive", "buy")  # one for each group of GROUPS, and a second one for items
START = 1_704_067_200  # 2024-01-01, in seconds since 1970
USERS = 2000  # users that are simulated at a time; each block of users has its own random streams

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


def simulate(world: World, users: int) -> Iterator[tuple[Ints, Ints, Ints, Ints, Ints]]:
    """Yields the events of the users 0 … users - 1, a block of users at a time.

    Each block is (user, group, action, object, time), arrays [E] sorted by user and time. A group is an index of GROUPS, an
    action of ACTIONS, an object of world.objects. Time is in seconds since 1970.
    """
    for first in range(0, users, USERS):
        B = min(USERS, users - first)
        # Times and groups come from a stream of their own, so that the noise twin has the same ones. They use integers and
        # halves only: mathematical functions differ in last bits between machines, and these bytes must not.
        clock, dice = (np.random.Generator(np.random.PCG64([world.seed, purpose, first])) for purpose in (1, 2))
        count = 1 + clock.integers(10, size=B) + clock.integers(21, size=B) * (clock.integers(5, size=B) == 0)  # items
        now, taste, last = START + clock.integers(120 * DAY, size=B), dice.integers(TASTES, size=B), np.zeros(B, int)
        found = []
        for n in range(count.max()):
            # The gap before an item: minutes within a session, half a day to a month between two sessions.
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
            action = np.where(dice.random(B) < world.buy[taste, last], ACTIONS.index("buy"), 0)
            led, going = np.flatnonzero((n < count) & (lead_group > 0)), np.flatnonzero(n < count)
            found.append([column[led] for column in (np.arange(B), lead_group, lead_group, lead, now - age)])
            found.append([column[going] for column in (np.arange(B), np.zeros(B, int), action, last, now)])
        user, group, action, object, time = (np.concatenate(column) for column in zip(*found))
        order = np.lexsort((time, user))
        yield user[order] + first, group[order], action[order], object[order], time[order]


def _draw(p: Floats, rng: np.random.Generator) -> Ints:  # [B, M] -> [B]
    """One column of each row, drawn with the chances of that row: the inverse of its distribution function."""
    drawn: Ints = np.minimum((p.cumsum(axis=1) < rng.random((len(p), 1))).sum(axis=1), p.shape[1] - 1)
    return drawn


def write(world: World, users: int, out: str | Path) -> int:
    """Writes the data folder `out`; returns the number of events. DataError if it cannot be written."""
    groups = tuple(GROUPS)
    names, events = [[line.split(",")[0] for line in world.objects[g]] for g in groups], 0
    made_by = json.dumps({"seed": world.seed, "noise": world.noise}) + "\n"
    texts = {f"{g}.csv": "\n".join([header, *world.objects[g], ""]) for g, header in GROUPS.items()}
    texts |= {"schema.toml": SCHEMA, "world.json": made_by, "events.csv": "user,group,action,object,time\n"}
    with whole_files(out, *texts) as files:
        for file, text in zip(files, texts.values()):
            file.write(text)
        for block in simulate(world, users):
            events += len(block[0])
            rows = zip(*(column.tolist() for column in block))
            files[-1].writelines(f"u{u},{groups[g]},{ACTIONS[a]},{names[g][o]},{t}\n" for u, g, a, o, t in rows)
    return events


def main(arguments: Sequence[str]) -> int:
    p = Parser(
        prog="python -m atrank_np.datasets.shop",
        description=(
            "Simulates a shop with items, queries and coupons, and writes it as a data folder. The probability of the next "
            "object is known exactly, and so is the best AUC (python -m atrank_np.datasets.stats DIR --ceilings). The same "
            "arguments give the same bytes."
        ),
    )
    p.add_argument("--out", metavar="DIR", required=True, help="the folder to write, for example data/shop")
    p.add_argument("--users", type=int, default=2000, help="number of users, with about 11 events each (default: %(default)s)")
    p.add_argument("--seed", type=seed, default=0, help="seed of the shop and its users (default: %(default)s)")
    p.add_argument("--noise", action="store_true", help="the noise twin: the same times, but every object is drawn uniformly")
    options = p.parse_args(arguments)
    if options.users < 1:
        raise DataError(f"--users: expected at least 1, got {options.users}")
    events = write(make_world(options.seed, options.noise), options.users, options.out)
    print(f"{options.out}: {options.users} users, {events} events")
    return 0


if __name__ == "__main__":
    run(main)
