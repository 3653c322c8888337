"""Invented files in the exact format of Amazon's."""

import json

import pytest

from atrank_np.datasets import amazon
from atrank_np.errors import DataError


def review(user, asin, time, text="Fine.", **others):
    return {
        "reviewerID": user,
        "asin": asin,
        "reviewerName": 'A "B"',
        "helpful": [0, 1],
        "reviewText": text,
        "overall": 5.0,
        "summary": "ok",
        "unixReviewTime": time,
        "reviewTime": "06 2, 2013",
        **others,
    }


REVIEWS = [
    review("A1X", "B00001", 1400000000, 'said "asin": "B9", {\'asin\': \'B9\'}\n, "unixReviewTime": 7}'),
    review("#oc-R2", "0528881469", 1300000000),
    review("A1X", "0528881469", 1200000000, "Ünïcode 😀 \\"),
    review("A1X", "B00002", -86400),
    review("A3", "B00003", 0),
    review("A3", "B00004", 1 - 2**62),
    review("A3", "B00005", 2**62 - 1),
]


RELATED = {"also_bought": ["B00002", "B00009"], "buy_after_viewing": []}


METADATA = [
    {"asin": "B00009", "title": "in no review", "categories": [["Electronics", "Unseen"]]},
    {
        "asin": "B00002",
        "related": RELATED,
        "title": "it's 5\" {'brand': 'no', [",
        "price": 9.5,
        "salesRank": {"Toys": 12},
        "imUrl": "http://x/%2B.jpg",
        "brand": "",
        "categories": [["Electronics", "A"], ["Home, Garden", 'Fans, 12" & more']],
    },
    {
        "asin": "B00001",
        "description": "a\\'b\n\xe9",
        "categories": [["Electronics", "GPS"], ["Electronics", "Café"]],
        "brand": 'O\'Neil "2"',
    },
    {"title": "asin not in front", "asin": "0528881469", "categories": [["Electronics", "GPS"], []], "brand": "Tom\\Tom"},
    {"asin": "B00002", "categories": [["Electronics", "Twice"]], "brand": "Twice"},
    {"asin": "B00003", "price": 1e-05},
    {"asin": "B00005", "categories": [["Electronics", ""]], "brand": "b"},  # a nameless category is none
]


def lines(records, write):
    return "".join(write(record) + "\n" for record in records).encode()


def download(folder, reviews=None, metadata=None, name="Toys", pack=bytes):
    """The two files; `reviews` and `metadata` are bytes that replace the invented ones."""
    paths = folder / f"reviews_{name}_5.json.gz", folder / f"meta_{name}.json.gz"
    for path, given, made in zip(paths, (reviews, metadata), (lines(REVIEWS, json.dumps), lines(METADATA, repr))):
        path.write_bytes(pack(made if given is None else given))
    return paths


def refused(folder, **files):
    """The error of a conversion: one line, and nothing is written."""
    with pytest.raises(DataError) as fault:
        amazon.convert(*download(folder, **files), folder / "out")
    assert list((folder / "out").iterdir()) == []
    assert "\n" not in str(fault.value)
    return str(fault.value)


EVENTS = (
    "user,object,time\nA1X,B00001,1400000000\n#oc-R2,0528881469,1300000000\nA1X,0528881469,1200000000\n"
    "A1X,B00002,-86400\nA3,B00003,0\nA3,B00004,-4611686018427387903\nA3,B00005,4611686018427387903\n"
)
