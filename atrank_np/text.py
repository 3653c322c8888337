"""Texts for people: names on one line, and tables in Markdown."""

import json
from collections.abc import Iterable, Sequence

JOINERS = "\u200c\u200d"  # of letters and of emoji: they are not printable, but belong to names


def one_line(name: str) -> str:
    """A name of the data on one line, as a terminal and a page may show it.

    Line breaks are spaces. What a terminal would obey, and what would turn the direction of the letters after it, is escaped.
    """
    return escaped(" ".join(name.split()))


def escaped(text: str) -> str:
    """A text with escapes in the place of what has no letters of its own."""
    return "".join(c if c.isprintable() or c in JOINERS else ascii(c)[1:-1] for c in text)


def folder_name(name: str) -> str:
    """A name of the data as the name of a folder: what a path could mean otherwise is escaped."""
    return "".join(c if c.isalnum() or c in "-_ " else f"%{ord(c):x}" for c in name)[:60]


def shortened(text: str, most: int = 290) -> str:
    """A message on one line of at most `most` letters. What is left out is in the middle: the next step is at the end."""
    text = one_line(text)
    return text if len(text) <= most else f"{text[: most - 151]} … {text[-148:]}"


def quoted(name: str) -> str:
    """A name of the data as it is; in quotation marks, with escapes, if blanks or line breaks could mislead the reader."""
    return name if name == one_line(name) and not name.startswith('"') else escaped(json.dumps(name, ensure_ascii=False))


def table(*columns: object, rows: Iterable[Iterable[object]]) -> str:
    """`markdown` of any values, padded, so that it is easy to read in a terminal too."""
    cells = [[str(cell) for cell in row] for row in [columns, *rows]]
    width = [max(map(len, column)) for column in zip(*cells)]
    header, *padded = [[cell.ljust(w) for cell, w in zip(row, width)] for row in cells]
    return markdown(header, padded)


def markdown(header: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table of strings."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["-" * max(len(name), 3) for name in header], *rows])
