"""Amazon reviews, 2014 layout, to a data folder (data/README.md): events.csv and items.csv.

Reviews are strict JSON, metadata Python literals, one a line. Lines are read, parsed and forgotten one by one: what stays
in memory are the names of users and products. Metadata of a product that no review names (most of a file) are skipped
after a look at both ends of the line, so a fault inside such a line is not seen.
"""

import argparse
import ast
import csv
import gzip
import hashlib
import io
import json
import os
import re
import reprlib
import zlib
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import perf_counter

from atrank_np.command import run
from atrank_np.datasets.schema import DataError

PUBLISHED = {  # file -> bytes (None: not known), md5
    "reviews_Electronics_5.json.gz": (495_854_086, "e4524af6c644cd044b1969bac7b62b2a"),
    "meta_Electronics.json.gz": (186_594_679, "b39b77b4c980cca078ec2b93dfcba786"),
    "reviews_Clothing_Shoes_and_Jewelry_5.json.gz": (None, "b333fba48651ea2309288aeb51f8c6e4"),
    "reviews_Beauty_5.json.gz": (None, "5d2ccdcd86641efcfbae344317c10829"),
}
COUNTED = ("users", "items", "categories", "samples")
EXPECTED = {  # the paper's Table 1; Beauty, which it does not have, as counted in the official file
    "Electronics": (192_403, 63_001, 801, 1_689_188),
    "Clothing_Shoes_and_Jewelry": (39_387, 23_033, 484, 278_677),
    "Beauty": (22_363, 12_101, 195, 198_502),
}
CHUNK, LONGEST = 2**20, 2**22  # bytes read at a time, and of the longest line: they bound the memory
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = 60


# A line of metadata as Python's repr writes it. `ast.literal_eval` takes some 100 µs for its many strings and numbers, of
# which two matter; this grammar finds those two, and any line that it does not fit in full goes to literal_eval as it is.
# At no place can it match in two ways, so that a hostile line cannot make it search for long.
def _containers(x):
    return rf"(?:\[(?:{x}(?:, {x})*)?\]|\{{(?:{ATOM}: {x}(?:, {ATOM}: {x})*)?\}})"


ATOM = r"""(?:'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.e+-]*)"""
VALUE = f"(?:{ATOM}|{_containers(f'(?:{ATOM}|{_containers(ATOM)})')})"
PAIR = rf"'(?:asin': ({VALUE})|categories': ({VALUE})|brand': ({VALUE})|(?!(?:asin|categories|brand)')\w+': {VALUE})"
RECORD = re.compile(rf"\{{(?:{PAIR}(?:, |(?=\}})))+\}}\s*")
ENDS = re.compile(r"\{'asin': '(\w+)'.*\}\s*", re.DOTALL)


def convert(reviews, metadata, out, check=True):
    """Writes out/events.csv, in the order of the reviews, and out/items.csv, both or none of them.

    Returns what was found (the four numbers of Table 1) and what was counted, each a dict of words -> int.
    """
    out = Path(out)
    parts = [out / "items.csv.part", out / "events.csv.part"]
    items, users, samples, repeats = {}, set(), 0, 0  # items: asin -> (category, brand), None without metadata
    try:
        out.mkdir(parents=True, exist_ok=True)
        with parts[1].open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(("user", "object", "time"))
            for event in _parsed(Path(reviews), check, _review):
                rows.writerow(event)
                users.add(event[0])
                items[event[1]] = None
                samples += 1
        if not samples:
            raise DataError(f"{Path(reviews).name}:1: expected reviews, found none")
        for asin, product in _parsed(Path(metadata), check, partial(_product, items)):
            if asin in items:
                repeats += items[asin] is not None
                items[asin] = items[asin] or product
        categories = [product[0] for product in items.values() if product]
        if not any(categories):
            raise DataError(f"{Path(metadata).name}: expected metadata of the reviewed products, in the layout of 2014, "
                            f"found a category of none of {len(items):,}")
        with parts[0].open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(("object", "category", "brand"))
            rows.writerows((asin, *(product or (None, None))) for asin, product in items.items())
        for part in parts:
            os.replace(part, part.with_suffix(""))
    except OSError as fault:
        raise DataError(f"{out}: expected a folder to write to: {fault.strerror}") from None
    finally:
        for part in parts:
            with suppress(OSError):
                part.unlink()
    found = dict(zip(COUNTED, (len(users), len(items), len({*categories} - {None}), samples)))
    return found, {
        "items without metadata": len(items) - len(categories),
        "items with metadata, without a category": sum(not category for category in categories),
        "items with metadata, without a brand": sum(not product[1] for product in items.values() if product),
        "repeated metadata of an item (the first are taken)": repeats,
    }


def _review(line):  # -> user, object, time
    record = _record(json.loads, line, "a JSON object")
    return (*(_get(record, key, _is_name, "a name") for key in ("reviewerID", "asin")),
            _get(record, "unixReviewTime", lambda t: type(t) is int and -2**63 <= t < 2**63, "an integer of 64 bits"))


def _product(items, line):  # -> asin, (category, brand); None: not given, or not needed
    ends = ENDS.fullmatch(line)
    if ends and ends[1] not in items:
        return ends[1], None
    found = RECORD.fullmatch(line)
    if found:
        line = "{{'asin': {}, 'categories': {}, 'brand': {}}}".format(*found.groups())
    record = _record(ast.literal_eval, line, "a Python dict of literals")
    paths = _get(record, "categories", _is_paths, "a list of lists of texts")
    category = paths[-1][-1] if paths and paths[-1] else None  # the paper's: the last element of the last path
    brand = _get(record, "brand", lambda text: text is None or _is_text(text), "a text")
    return _get(record, "asin", _is_name, "a name"), (category, brand)


def _record(parse, line, what):
    try:
        record = parse(line)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # all that broken and hostile lines raise
        record = None
    if type(record) is not dict:
        raise ValueError(f"expected {what}, got {SHORT.repr(line)}")
    return record


def _get(record, key, fits, what):
    value = record.get(key)
    if not fits(value):
        raise ValueError(f"{key}: expected {what}, got {SHORT.repr(value) if key in record else 'none'}")
    return value


def _is_name(value):
    return type(value) is str and value != "" and value.isprintable()


def _is_text(value):  # escapes can spell what is no character: half of a surrogate pair
    return type(value) is str and not re.search("[\0\ud800-\udfff]", value)


def _is_paths(value):
    return value is None or type(value) is list and all(type(path) is list and all(map(_is_text, path)) for path in value)


def _parsed(path, check, parse):
    """Yields parse(line) for each line; the text of its ValueError is the line's fault."""
    for number, line in _lines(path, check):
        try:
            parsed = parse(line)
        except ValueError as fault:
            raise DataError(f"{path.name}:{number}: {fault}") from None
        yield parsed


class _Hashed(io.FileIO):
    """A file that takes the md5 of its bytes as they are read, so that checking costs no second pass."""

    def __init__(self, path):
        super().__init__(path)
        self.md5 = hashlib.md5(usedforsecurity=False)

    def readinto(self, buffer):
        count = super().readinto(buffer)
        self.md5.update(buffer[:count])
        return count


def _lines(path, check):
    """Yields (line number, line) of a text file, gzipped or not as its first bytes say; a file in PUBLISHED is checked."""
    number, other = 0, f"{path.name}: truncated or other download: expected"
    size, md5 = PUBLISHED.get(path.name, (None, None)) if check else (None, None)
    try:
        with _Hashed(path) as raw, io.BufferedReader(raw, CHUNK) as file:
            if size not in (None, path.stat().st_size):
                raise DataError(f"{other} {size} bytes, got {path.stat().st_size}")
            zipped = file.peek(2)[:2] == b"\x1f\x8b"
            text = io.BufferedReader(gzip.GzipFile(fileobj=file), CHUNK) if zipped else file
            for number, line in enumerate(iter(partial(text.readline, LONGEST), b""), 1):
                if b"\0" in line or len(line) == LONGEST:
                    raise DataError(f"{path.name}:{number}: expected a line of text below {LONGEST} bytes, "
                                    f"got {'a longer one' if len(line) == LONGEST else 'a NUL byte'}")
                if not line.isspace():
                    yield number, line.decode()
            if md5 not in (None, raw.md5.hexdigest()):
                raise DataError(f"{other} md5 {md5}, got {raw.md5.hexdigest()}")
    except UnicodeDecodeError as fault:
        raise DataError(f"{path.name}:{number}: expected UTF-8, got byte 0x{line[fault.start]:02x}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise DataError(f"{path.name}:{number + 1}: truncated or damaged download: {fault}") from None
    except OSError as fault:
        raise DataError(f"{path}: expected a readable file: {fault.strerror}") from None
