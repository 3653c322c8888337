"""The Amazon reader: made-up files in the exact format, every fault by its text, hostile lines, the short cut proved."""

import ast
import gzip
import hashlib
import json
import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from atrank_np.datasets import amazon
from atrank_np.datasets.reading import read_log
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
EVENTS = (
    "user,object,time\nA1X,B00001,1400000000\n#oc-R2,0528881469,1300000000\nA1X,0528881469,1200000000\n"
    "A1X,B00002,-86400\nA3,B00003,0\nA3,B00004,-4611686018427387903\nA3,B00005,4611686018427387903\n"
)
ITEMS = (
    'object,category,brand\nB00001,Café,"O\'Neil ""2"""\n0528881469,,Tom\\Tom\n'
    'B00002,"Fans, 12"" & more",\nB00003,,\nB00004,,\nB00005,,b\n'
)
COUNTS = {
    "users": 3,
    "items": 6,
    "categories": 2,
    "samples": 7,
    "items without metadata": 1,
    "items with metadata that name no category": 3,
    "items with metadata that name no brand": 2,
    "repeated metadata of an item (the first are taken)": 1,
}


def lines(records, write):
    return "".join(write(record) + "\n" for record in records).encode()


def download(folder, reviews=None, metadata=None, name="Toys", pack=bytes):
    """The two files; `reviews` and `metadata` are the bytes that replace the made-up ones."""
    paths = folder / f"reviews_{name}_5.json.gz", folder / f"meta_{name}.json.gz"
    for path, given, made in zip(paths, (reviews, metadata), (lines(REVIEWS, json.dumps), lines(METADATA, repr))):
        path.write_bytes(pack(made if given is None else given))
    return paths


def refused(folder, **files):
    """The one line that names the fault; nothing may be written."""
    with pytest.raises(DataError) as fault:
        amazon.convert(*download(folder, **files), folder / "out")
    assert list((folder / "out").iterdir()) == []
    assert "\n" not in str(fault.value)
    return str(fault.value)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda data: gzip.compress(data[:50]) + gzip.compress(data[50:])])
@pytest.mark.parametrize("write", [repr, ascii, json.dumps])  # json.dumps: no line in repr's form, all go to literal_eval
def test_every_cell(tmp_path, pack, write):
    out = tmp_path / "new" / "out"
    paths = download(tmp_path, metadata=lines(METADATA, write), pack=pack)
    assert amazon.convert(*paths, out) == COUNTS
    assert (out / "events.csv").read_text("utf-8") == EVENTS
    assert (out / "items.csv").read_text("utf-8") == ITEMS
    assert sorted(path.name for path in out.iterdir()) == ["events.csv", "items.csv"]


def test_the_folder_can_be_read(tmp_path):
    amazon.convert(*download(tmp_path), tmp_path / "out")
    log = read_log(tmp_path / "out")
    assert log.users.tolist() == ["A1X", "#oc-R2", "A3"]
    assert log.tables["category"].tolist() == ["unknown", "Café", "missing", 'Fans, 12" & more']
    assert log.time.tolist() == [-86400, 1200000000, 1400000000, 1300000000, 1 - 2**62, 0, 2**62 - 1]


def test_names_are_written_as_they_can_be_read(tmp_path):
    odd = {"asin": "B00001", "categories": [["Electronics", "Fans\r and\nmore"]], "brand": "x" * 1200}
    amazon.convert(*download(tmp_path, metadata=lines([odd], repr)), tmp_path / "out")
    log = read_log(tmp_path / "out")
    assert log.tables["category"].tolist() == ["unknown", "Fans and more", "missing"]
    assert log.tables["brand"].tolist() == ["unknown", "x" * 1200, "missing"]


@pytest.mark.parametrize("write", [repr, json.dumps])
def test_blank_lines_and_a_byte_order_mark(tmp_path, write):
    files = {
        "reviews": b"\xef\xbb\xbf" + lines(REVIEWS, json.dumps) + b"\n",
        "metadata": b"\xef\xbb\xbf\n" + lines(METADATA, write) + b" \r\n",
    }
    assert amazon.convert(*download(tmp_path, **files), tmp_path / "out") == COUNTS
    assert (tmp_path / "out" / "events.csv").read_text("utf-8") == EVENTS


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


def test_known_files_are_checked(tmp_path, monkeypatch, capsys):
    reviews, metadata = download(tmp_path, name="Beauty", pack=lambda data: gzip.compress(data, mtime=0))
    arguments = ["--reviews", str(reviews), "--metadata", str(metadata), "--out", str(tmp_path / "out")]
    got = hashlib.md5(reviews.read_bytes()).hexdigest()
    with pytest.raises(DataError) as fault:
        amazon.main(arguments)
    assert str(fault.value) == (
        f"reviews_Beauty_5.json.gz: truncated or other download: expected md5 5d2ccdcd86641efcfbae344317c10829, got {got}"
    )
    assert capsys.readouterr().out == "meta_Beauty.json.gz: not checked, no md5 is known\n"

    assert amazon.main([*arguments, "--no-check"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[:2] == ["reviews_Beauty_5.json.gz: not checked", "meta_Beauty.json.gz: not checked"]
    assert shown[2:6] == [
        "         3 users  MISMATCH: expected 22,363",
        "         6 items  MISMATCH: expected 12,101",
        "         2 categories  MISMATCH: expected 195",
        "         7 samples  MISMATCH: expected 198,502",
    ]
    assert shown[6] == "         1 items without metadata"

    monkeypatch.setitem(amazon.KNOWN, reviews.name, (got, (3, 6, 2, 7)))
    with pytest.raises(DataError, match="items.csv: the file exists already; choose another --out, or delete it$"):
        amazon.main(arguments)
    assert amazon.main([*arguments[:-1], str(tmp_path / "again")]) == 0
    shown = capsys.readouterr().out
    assert "3 users" in shown and "MISMATCH" not in shown
    unzipped = reviews.rename(reviews.with_suffix(""))  # has no md5, and the same counts
    assert amazon.main(["--reviews", str(unzipped), *arguments[2:-1], str(tmp_path / "unzipped")]) == 0
    assert "reviews_Beauty_5.json: not checked, no md5 is known" in capsys.readouterr().out


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


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning")  # of escapes in the changed lines
def test_the_short_cut_reads_as_literal_eval_does():
    """RECORD against ast.literal_eval: thousands of random records, and the same lines with a few characters changed."""
    rng = random.Random(0)
    alphabet = ["'", '"', "\\", "{", "}", "[", "]", ", ", ": ", "'brand': 'x'", "'asin'", "é", "\n", "\0", "a", "7"]

    def text():
        return "".join(rng.choice(alphabet if rng.random() < 0.3 else "abcXYZ &") for _ in range(rng.randrange(6)))

    def value(depth=2):
        kind = rng.randrange(5 if depth else 2)
        if kind < 2:
            return rng.choice([text(), rng.randrange(-9, 9), rng.random() * 10.0 ** rng.randrange(-9, 30)])
        if kind == 2:
            return {text(): value(depth - 1) for _ in range(rng.randrange(3))}
        return [value(depth - 1) for _ in range(rng.randrange(3))]

    fast = agreed = 0
    for _ in range(8000):
        pairs = [("asin", "B" + text()), ("title", value()), ("related", value()), ("salesRank", value())]
        if rng.random() < 0.8:
            pairs.append(("brand", text()))
        if rng.random() < 0.8:
            pairs.append(("categories", [[text() for _ in range(rng.randrange(3))] for _ in range(rng.randrange(3))]))
        rng.shuffle(pairs)
        line = rng.choice([repr, ascii])(dict(pairs))
        for _ in range(rng.choice([0, 0, 1, 2, 3])):
            place = rng.randrange(len(line))
            line = line[:place] + rng.choice([*alphabet, ""]) + line[place + rng.randrange(2) :]
        if (found := amazon.RECORD.fullmatch(line)) is None or not found[1]:
            continue
        fast += 1
        try:
            record = ast.literal_eval(line)
        except (ValueError, SyntaxError, TypeError):  # a fault in a value that is not needed is not looked for
            continue
        agreed += 1
        asin, (category, brand) = amazon._product(line, {record["asin"]: None})
        last = record["categories"][-1][-1] if "categories" in record else ""
        assert (asin, category, brand) == (record["asin"], last if last.strip() else None, record.get("brand"))
    assert fast > 1000 and agreed > 0.9 * fast
