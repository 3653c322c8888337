"""What the fuzzer makes of good inputs: texts, plain data and arrays with something changed. All is drawn from a given `rng`."""

import json
from pathlib import Path

import numpy as np

WORDS = ["0", "-1", "1e5", "nan", "inf", "-inf", "2**63", str(2**63 - 1), str(2**63), "1_000", "٣", "0x10", "unknown"]
WORDS += ["missing", "u1", "i1", "click", "items", "queries", "object", "user", "time", "group", "action", "😀", "ﬀ", "é"]
WORDS += ["e\u0301", "a" * 999, "a" * 1001, "\x1b[31m", *"""#'",;\t\n\r\0 """, "", '""', "\r\n", "\u202egnp", "\ufeff"]
VALUES = [None, True, False, 0, 1, -1, 2, 10**9, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf")]
VALUES += ["", "x", "1", "ü" * 400, "a\nb", b"x", [], [1], ["a"], [[]], {}, {"a": 1}, {"kind": "id"}, (), (1, 2)]
VALUES += [object(), int, len, Path("nowhere"), np.zeros(0), np.zeros((2, 2)), np.array(["a"]), np.array([None]), np.int64(3)]
VALUES += [np.array([2**63], np.uint64)]


def mutated_text(rng, text):
    """A text with one to three changes of cells, lines or bytes."""
    for _ in range(rng.randint(1, 3)):
        lines = text.split("\n")
        at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        change = rng.randrange(9)
        if change < 4:  # a cell, of the header as often as of any other line
            at = rng.choice([0, at])
            cells = lines[at].split(",")
            cells[rng.randrange(len(cells))] = rng.choice(WORDS)
            lines[at] = ",".join(cells)
        elif change == 4:
            lines[at], lines[other] = lines[other], lines[at]
        elif change == 5:
            lines[at : at + rng.choice([0, 1, len(lines)])] = rng.choice([[], [lines[other]] * 3, [""], [lines[at] + ",more"]])
        elif change == 6:
            lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
        elif change == 7:
            place = rng.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:place] + rng.choice(WORDS) + lines[at][place:]
        else:
            lines = rng.choice([lines[:1], lines[1:], [], [line.replace(",", rng.choice(";\t|")) for line in lines], lines[::-1]])
        text = "\n".join(lines)
    return text


def write_mutated(rng, path):
    """Changes a text file: its text, its encoding or one bit, or removes it."""
    text, kind = path.read_text(), rng.randrange(12)
    if kind == 0:
        path.unlink()
        if rng.random() < 0.3:
            path.mkdir()
    elif kind == 1:
        path.write_bytes(text.encode(rng.choice(["utf-16", "utf-8-sig", "latin-1", "utf-32"]), "replace"))
    elif kind == 2:
        data = bytearray(text.encode())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
    else:
        path.write_text(mutated_text(rng, text), newline=rng.choice(["", "\r\n"]))


def changed_json(rng, tree):
    """A copy of plain data with one value replaced, removed or repeated."""
    tree = json.loads(json.dumps(tree))
    place = tree
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        if not keys:
            return tree
        key = rng.choice(keys)
        if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.8:
            place = place[key]
            continue
        if rng.random() < 0.2:
            del place[key]
        else:
            place[key] = rng.choice([value for value in VALUES if isinstance(value, int | float | str | list | dict | None)])
        return tree


def changed_array(rng, array):
    """An array with one thing changed: a value, the type, the shape, the byte order."""
    if array.dtype.kind in "iuf" and array.size and rng.random() < 0.6:
        array = array.copy()
        extreme = [0, 1, -1, array.max(), 127, 10**6, 2**31 - 1, -(2**31)]
        value = rng.choice(extreme if array.dtype.kind in "iu" else [*extreme, np.nan, np.inf, 1e38])
        with np.errstate(all="ignore"):
            array.reshape(-1)[rng.randrange(array.size)] = np.array(value).astype(array.dtype)
        return array
    changes = [
        lambda a: a.reshape(-1)[:-1],
        lambda a: a[None],
        lambda a: a.reshape(-1)[:0],
        lambda a: a.astype(a.dtype.newbyteorder()),
        lambda a: a.reshape(-1),
    ]
    changes += [lambda a: a.astype(str), lambda a: np.asfortranarray(a), lambda a: np.append(a, a), lambda a: np.array(0)]
    changes += [lambda a: a.astype(np.int64 if a.dtype.kind == "i" else "S9"), lambda a: a.reshape(-1)[::-1]]
    return rng.choice(changes)(array)
