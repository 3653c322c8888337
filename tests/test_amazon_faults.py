"""Faulty files of Amazon's."""

import gzip
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from amazon_files import EVENTS, METADATA, REVIEWS, download, lines, refused, review

from atrank_np.datasets import amazon
from atrank_np.errors import DataError


def without(record, key):
    return {k: v for k, v in record.items() if k != key}


TIME = "unixReviewTime: expected an integer below 2^62, got "


BAD_REVIEWS = {
    b'{"reviewerID": "A1", "asin": "B': 'expected a JSON object, got \'{"reviewerID... "asin": "B\\n\'',
    b"{'reviewerID': 'A1'}": "expected a JSON object, got ",
    b'["A1"]': 'expected a JSON object, got \'["A1"]',
    b'{"a": "\0"}': "expected a JSON object, got ",
    b"[" * 100_000: "expected a JSON object, got ",
    b"1" * 5_000: "expected a JSON object, got ",
    b"\xff": "'utf-8' codec can't decode byte 0xff in position 0",
    json.dumps(without(REVIEWS[0], "reviewerID")).encode(): "reviewerID: expected a name, got none",
    json.dumps(without(REVIEWS[0], "asin")).encode(): "asin: expected a name, got none",
    json.dumps(without(REVIEWS[0], "unixReviewTime")).encode(): TIME + "none",
    json.dumps(review("", "B1", 1)).encode(): "reviewerID: expected a name, got ''",
    json.dumps(review("A1", 7, 1)).encode(): "asin: expected a name, got 7",
    json.dumps(review("A\ud800", "B1", 1)).encode(): "reviewerID: expected a name, got 'A\\ud800'",
    json.dumps(review("A1", "B\0", 1)).encode(): "asin: expected a name, got 'B\\x00'",
    **{
        json.dumps(review("A1", "B1", bad)).encode(): TIME + shown
        for bad, shown in (
            (True, "True"),
            (1.0, "1.0"),
            ("1", "'1'"),
            (None, "none"),
            (float("nan"), "nan"),
            (2**62, str(2**62)),
            (-(2**62), str(-(2**62))),
        )
    },
}


@pytest.mark.parametrize("line", BAD_REVIEWS, ids=range(len(BAD_REVIEWS)))
def test_bad_reviews(tmp_path, line):
    found = refused(tmp_path, reviews=lines(REVIEWS[:2], json.dumps) + line + b"\n" + lines(REVIEWS, json.dumps))
    assert found.startswith("reviews_Toys_5.json.gz:3: " + BAD_REVIEWS[line])


LITERAL = "expected a dict of Python literals, got "


BAD_METADATA = {
    "__import__('os').system('touch hacked')": LITERAL,
    "{'asin': 'B00001', 'categories': [[__import__('os').name]]}": LITERAL,
    "{'asin': 'B00001', 'title': open('hacked', 'w')}": LITERAL,
    "{'asin': 'B00001', 'title': f'{1}'}": LITERAL,
    "{'asin': 'B00001', 'title': 'cut": LITERAL,
    "{'asin': 'B00009', 'title': 'cut, of no review": LITERAL,
    "{'asin': 'B00001', 'title': 'a\0b'}": LITERAL,
    "{'asin': 'B00001', ['a']: 1}": LITERAL,
    "['B00001']": LITERAL,
    "'B00001'": LITERAL,
    "{'asin'}": LITERAL,
    "(" * 100_000: LITERAL,
    "[" * 90 + "]" * 90: LITERAL,
    "-" * 100_000 + "1": LITERAL,
    "1+" * 100_000 + "1": LITERAL,
    "{'asin': 'B00001', 'x': " + "[" * 5_000 + "]" * 5_000 + "}": LITERAL,
    "{'title': 'no asin'}": "asin: expected a name, got none",
    "{'asin': ['B00001']}": "asin: expected a name, got ['B00001']",
    "{'asin': 'B00001', 'brand': 5}": "brand: expected a text, got 5",
    "{'asin': 'B00001', 'brand': 'a\\ud800'}": "brand: expected a text, got 'a\\ud800'",
    **{
        f"{{'asin': 'B00001', 'categories': {bad}}}": "categories: expected a list of lists of texts, got " + bad
        for bad in ("['Electronics', 'GPS']", "[[1]]", "[['GPS', ['A']]]", "'GPS'", "{'a': 'b'}", "7")
    },
}


@pytest.mark.parametrize("line", BAD_METADATA, ids=range(len(BAD_METADATA)))
def test_bad_metadata(tmp_path, line, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = refused(tmp_path, metadata=lines(METADATA[:2], repr) + line.encode() + b"\n" + lines(METADATA, repr))
    assert found.startswith("meta_Toys.json.gz:3: " + BAD_METADATA[line])
    assert len(found) < 200
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    "line",
    [
        "{'asin': 'B00001'" + ", 'brand': 'b', 'categories': [['c']]" * 5_000,
        "{'asin': 'B00001', 'x': [" + "'a', " * 50_000,
        "{'asin': 'B00001', 'x': '" + "\\'" * 100_000,
        "{'asin': 'B00001', 'x': {" + "'a': ['b'], " * 20_000,
        "{'asin': 'B00001', 'x': " + "1" * 100_000,
        "} " * 50_000,
    ],
    ids=range(6),
)
def test_no_line_takes_long(line):
    start = time.process_time()
    assert amazon.RECORD.fullmatch(line) is None
    assert amazon.ENDS.fullmatch(line) is None
    assert time.process_time() - start < 1


def test_a_line_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(amazon, "LONGEST_LINE", 1000)
    endless = lines([review("A1", "B1", 1, "x" * 2000)], json.dumps)
    assert refused(tmp_path, reviews=endless).startswith("reviews_Toys_5.json.gz:1: expected a JSON object, got ")


def test_damaged_files(tmp_path):
    whole = lines(REVIEWS, json.dumps)
    zipped = gzip.compress(whole, mtime=0)
    fault = r"reviews_Toys_5\.json\.gz:{}: expected a readable, complete file: {}"
    assert re.match(fault.format(r"\d", "Compressed file ended before "), refused(tmp_path, reviews=zipped[:-20]))
    assert re.match(fault.format(1, "Compressed file ended before "), refused(tmp_path, reviews=zipped[:5]))
    assert re.match(fault.format(8, "Not a gzipped file"), refused(tmp_path, reviews=zipped + b"x" * 20))
    assert re.match(fault.format(8, "CRC check failed"), refused(tmp_path, reviews=zipped[:-8] + b"x" + zipped[-7:]))
    assert re.match(fault.format(1, "Error -3 while decompressing"), refused(tmp_path, reviews=zipped[:10] + b"x" * 9))
    assert re.match(fault.format(1, "it is empty"), refused(tmp_path, reviews=b""))
    assert refused(tmp_path, reviews=whole[:-30]).startswith("reviews_Toys_5.json.gz:7: expected a JSON object, got ")


def test_the_wrong_files(tmp_path):
    assert refused(tmp_path, metadata=lines(METADATA[:1], repr)) == (
        "meta_Toys.json.gz: expected the 2014 layout, got a category for none of 6 items"
    )
    flat = lines([{"asin": "B00001", "category": ["Electronics", "GPS"]}], json.dumps)  # the layout of 2018
    assert refused(tmp_path, metadata=flat).startswith("meta_Toys.json.gz: expected the 2014 layout")
    assert refused(tmp_path, reviews=lines(METADATA, repr)).startswith("reviews_Toys_5.json.gz:1: expected a JSON object")
    reviews, metadata = download(tmp_path)
    with pytest.raises(DataError, match="none.gz:1: expected a readable, complete file: .* No such file"):
        amazon.convert(tmp_path / "none.gz", metadata, tmp_path / "out")
    with pytest.raises(DataError, match=r"meta_Toys.json.gz: expected a folder to write to: "):
        amazon.convert(reviews, metadata, metadata)


def test_a_failure_leaves_the_old_folder_as_it_was(tmp_path):
    amazon.convert(*download(tmp_path), tmp_path / "out")
    with pytest.raises(DataError):
        amazon.convert(*download(tmp_path, metadata=b"{\n"), tmp_path / "out")
    assert (tmp_path / "out" / "events.csv").read_text("utf-8") == EVENTS
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_fault_is_one_line_and_exit_2(tmp_path):
    reviews, metadata = download(tmp_path, reviews=b"{")
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "atrank_np.datasets.amazon",
            "--reviews",
            reviews,
            "--metadata",
            metadata,
            "--out",
            tmp_path / "out",
        ],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert ended.returncode == 2
    assert ended.stderr == "error: reviews_Toys_5.json.gz:1: expected a JSON object, got '{'\n"
