"""The Amazon reader: made-up files in the exact format, every fault by its text, hostile lines, the short cut proved."""

import ast
import gzip
import hashlib
import json
import random

import pytest
from amazon_files import EVENTS, METADATA, REVIEWS, download, lines

from atrank_np.datasets import amazon
from atrank_np.datasets.reading import read_log
from atrank_np.errors import DataError

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


def test_known_files_are_checked(tmp_path, monkeypatch, capsys):
    reviews, metadata = download(tmp_path, name="Beauty", pack=lambda data: gzip.compress(data, mtime=0))
    arguments = ["--reviews", str(reviews), "--metadata", str(metadata), "--out", str(tmp_path / "out")]
    got = hashlib.md5(reviews.read_bytes()).hexdigest()
    with pytest.raises(DataError) as fault:
        amazon.main(arguments)
    assert str(fault.value) == (
        f"reviews_Beauty_5.json.gz: incomplete or another file: expected md5 5d2ccdcd86641efcfbae344317c10829, got {got}"
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
        assert (asin, category, brand) == (record["asin"], last, record.get("brand", ""))
    assert fast > 1000 and agreed > 0.9 * fast
