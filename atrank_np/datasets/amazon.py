"""Converts Amazon reviews to a data folder (data/README.md).

The layout is that of 2014: reviews in JSON and metadata as Python literals, one record per line. Lines are read one at a
time; only the names of users and items stay in memory. Most of the metadata belong to items that have no review. Of such a
line only the first and the last characters are checked, so a fault between them is not found.
"""

import ast
import csv
import gzip
import hashlib
import json
import re
import reprlib
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ..cli import Parser, run
from ..errors import DataError
from ..text import one_line
from .cells import LATEST
from .writing import whole_files

Parsed = TypeVar("Parsed")


class Product(NamedTuple):
    """What is used of an item's metadata; "": not given."""

    category: str
    brand: str


# Download -> (md5 as third parties publish it, (users, items, categories, samples)). The numbers are those of the paper's
# Table 1; those of Beauty, which it does not have, were counted.
KNOWN: dict[str, tuple[str, tuple[int, ...]]] = {
    "reviews_Electronics_5.json.gz": ("e4524af6c644cd044b1969bac7b62b2a", (192_403, 63_001, 801, 1_689_188)),
    "meta_Electronics.json.gz": ("b39b77b4c980cca078ec2b93dfcba786", ()),
    "reviews_Clothing_Shoes_and_Jewelry_5.json.gz": ("b333fba48651ea2309288aeb51f8c6e4", (39_387, 23_033, 484, 278_677)),
    "reviews_Beauty_5.json.gz": ("5d2ccdcd86641efcfbae344317c10829", (22_363, 12_101, 195, 198_502)),
}
LONGEST_LINE = 2**22  # bytes; a longer line is cut, and so a fault: this bounds the memory

# literal_eval makes hundreds of strings of a line, and only three of them are used. RECORD finds these three in a line that
# Python's repr wrote, if they have no escapes. Any other line goes to literal_eval. RECORD can match a line in only one way,
# so no line can make it backtrack for long.
STRING = r"""(?:'[^'\\\0]*+(?:\\.[^'\\\0]*+)*+'|"[^"\\\0]*+(?:\\.[^"\\\0]*+)*+")"""
ATOM = rf"(?:{STRING}|-?\d[\d.e+-]*)"
NESTED = rf"(?:\[(?:X(?:, X)*)?\]|\{{(?:{ATOM}: X(?:, {ATOM}: X)*)?\}})"  # a list or dict of X
VALUE = f"(?:{ATOM}|{NESTED.replace('X', f'(?:{ATOM}|{NESTED})').replace('X', ATOM)})"
PLAIN = r"""('[^'\\\0]*'|"[^"\\\0]*")"""
PATHS = rf"\[(?:\[{STRING}(?:, {STRING})*\], )*\[(?:{STRING}, )*{PLAIN}\]\]"  # the last element of the last path
PAIR = rf"'(?:asin': {PLAIN}|categories': {PATHS}|brand': {PLAIN}|(?!asin'|categories'|brand')\w+': {VALUE})"
RECORD = re.compile(rf"\{{(?:{PAIR}(?:, |(?=\}})))+\}}\s*")
ENDS = re.compile(r"\{'asin': '(\w+)'.*\}\s*", re.DOTALL)


def convert(reviews: str | Path, metadata: str | Path, out: str | Path, check: bool = True) -> dict[str, int]:
    """Writes out/events.csv, in the order of the reviews, and out/items.csv.

    check: compare the md5 of files with known names.
    Returns what was counted, in words -> how often. DataError for a fault of a file, and then neither file is written.
    """
    reviews, metadata = Path(reviews), Path(metadata)
    users: set[str] = set()
    items: dict[str, Product | None] = {}  # None: no metadata (yet)
    samples = repeats = 0
    with whole_files(out, "items.csv", "events.csv") as (items_csv, events_csv):
        rows = csv.writer(events_csv, lineterminator="\n")
        rows.writerow(("user", "object", "time"))
        for user, asin, time in _parsed(reviews, check, _review):
            rows.writerow((user, asin, time))
            users.add(user)
            items[asin] = None
            samples += 1
        for asin, product in _parsed(metadata, check, lambda line: _product(line, items)):
            if asin in items:
                repeats += items[asin] is not None
                items[asin] = items[asin] or product
        products = [product for product in items.values() if product]
        categories = {product.category for product in products if product.category.strip()}
        if not categories:
            raise DataError(f"{metadata.name}: expected the 2014 layout, got a category for none of {len(items)} items")
        rows = csv.writer(items_csv, lineterminator="\n")
        rows.writerow(("object", "category", "brand"))
        for asin, product in items.items():
            rows.writerow((asin, *map(one_line, product or ("", ""))))
    return {
        "users": len(users),
        "items": len(items),
        "categories": len(categories),
        "samples": samples,
        "items without metadata": len(items) - len(products),
        "items with metadata that name no category": sum(not product.category.strip() for product in products),
        "items with metadata that name no brand": sum(not product.brand for product in products),
        "repeated metadata of an item (the first are taken)": repeats,
    }


def _is_text(value: object) -> bool:
    """Whether it is a text that a CSV file can hold."""
    return type(value) is str and not re.search("[\0\ud800-\udfff]", value)


def _review(line: str) -> tuple[str, str, int]:
    """(user, asin, time) of a review. ValueError if they are not there."""
    record = _record(json.loads, line, "expected a JSON object")
    user, asin, time = (record.get(key) for key in ("reviewerID", "asin", "unixReviewTime"))
    _expect(_is_text(user) and user, "reviewerID: expected a name", user)
    _expect(_is_text(asin) and asin, "asin: expected a name", asin)
    _expect(type(time) is int and abs(time) < LATEST, "unixReviewTime: expected an integer below 2^62", time)
    return user, asin, time


def _product(line: str, items: Collection[str]) -> tuple[str, Product | None]:
    """(asin, its product), or None for the product of an item that is not in `items`. ValueError for a fault.

    The category is the last element of the last path.
    """
    ends = ENDS.fullmatch(line)
    if ends and ends[1] not in items:
        return ends[1], None
    found = RECORD.fullmatch(line)
    if found and found[1]:
        asin, category, brand = (text[1:-1] if text else "" for text in found.groups())
        return asin, Product(category, brand)
    record = _record(ast.literal_eval, line, "expected a dict of Python literals")
    asin, paths, brand = record.get("asin"), record.get("categories", []), record.get("brand", "")
    _expect(_is_text(asin), "asin: expected a name", asin)
    _expect(_is_text(brand), "brand: expected a text", brand)
    _expect(
        type(paths) is list and all(type(path) is list and all(map(_is_text, path)) for path in paths),
        "categories: expected a list of lists of texts",
        paths,
    )
    return asin, Product(paths[-1][-1] if paths and paths[-1] else "", brand)


def _record(parse: Callable[[str], Any], line: str, expected: str) -> Any:
    """The dict that `parse` makes of a line. ValueError with the text `expected` if it makes none."""
    record = None
    with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # a broken or hostile line
        record = parse(line)
    _expect(type(record) is dict, expected, line)
    return record


def _expect(fits: object, expected: str, value: object) -> None:
    if not fits:
        raise ValueError(f"{expected}, got {'none' if value is None else reprlib.repr(value)}")


def _parsed(path: Path, check: bool, parse: Callable[[str], Parsed]) -> Iterator[Parsed]:
    """Yields parse(line) for each line of a file, which is gzipped if its first bytes say so.

    DataError for a file that cannot be read or has another md5 than the known one, and for a ValueError of `parse`.
    """
    number, md5 = 0, KNOWN[path.name][0] if check and path.name in KNOWN else None
    try:
        with path.open("rb") as file:
            # Checked before anything is parsed, so that a wrong download is refused within seconds.
            if md5 and (got := hashlib.file_digest(file, "md5").hexdigest()) != md5:
                raise DataError(f"{path.name}: incomplete or another file: expected md5 {md5}, got {got}")
            file.seek(0)
            text = gzip.GzipFile(fileobj=file) if file.peek()[:2] == b"\x1f\x8b" else file
            for line in iter(lambda: text.readline(LONGEST_LINE), b""):
                number += 1
                if (record := line.decode("utf-8-sig" if number == 1 else "utf-8")).strip():
                    yield parse(record)
        if not number:
            raise EOFError("it is empty")
    except ValueError as fault:
        raise DataError(f"{path.name}:{number}: {fault}") from None
    except (EOFError, zlib.error, OSError) as fault:
        raise DataError(f"{path.name}:{number + 1}: expected a readable, complete file: {fault}") from None


def main(arguments: Sequence[str]) -> int:
    p = Parser(
        prog="python -m atrank_np.datasets.amazon",
        description="Convert Amazon reviews of 2014 to a data folder.",
        epilog="First download reviews_NAME_5.json.gz and meta_NAME.json.gz, where NAME is Electronics or "
        "Clothing_Shoes_and_Jewelry in the paper and Beauty is a small one, from https://snap.stanford.edu/data/amazon/"
        "productGraph/categoryFiles/. Then convert, and: python -m atrank_np.train --data DIR --features object,category",
    )
    p.add_argument("--reviews", metavar="FILE", required=True, help="JSON lines: reviews_Beauty_5.json.gz, or unzipped")
    p.add_argument("--metadata", metavar="FILE", required=True, help="Python literals: meta_Beauty.json.gz, or unzipped")
    p.add_argument("--out", metavar="DIR", required=True, help="the folder to write events.csv and items.csv to")
    p.add_argument("--no-check", dest="check", action="store_false", help="do not check the md5 of files with known names")
    options = p.parse_args(arguments)
    for name in (Path(options.reviews).name, Path(options.metadata).name):
        if not options.check or name not in KNOWN:
            print(f"{name}: not checked" + (", no md5 is known" if options.check else ""), flush=True)
    counts = convert(options.reviews, options.metadata, options.out, options.check)
    _, expected = KNOWN.get(Path(options.reviews).name.removesuffix(".gz") + ".gz", ("", ()))
    for (what, number), wanted in zip_longest(counts.items(), expected):
        print(f"{number:>10,} {what}" + (f"  MISMATCH: expected {wanted:,}" if wanted not in (None, number) else ""))
    return 0


if __name__ == "__main__":
    run(main)
