"""Texts for people: names on one line, and tables in Markdown."""

import json
from collections.abc import Iterable, Sequence

JOINERS = "\u200c\u200d"  # join letters or emoji: they are not printable, but are parts of names


def one_line(name: str) -> str:
    """A name of the data on one line, as a terminal and a page may show it.

    Line breaks become spaces. Control characters are escaped, and so are those that change the direction of writing.
    """
    return escaped(" ".join(name.split()))


def escaped(text: str) -> str:
    """The text with an escape in place of each character that cannot be printed."""
    return "".join(c if c.isprintable() or c in JOINERS else ascii(c)[1:-1] for c in text)


def folder_name(name: str) -> str:
    """A name of the data as the name of a folder: characters that mean something in a path are escaped."""
    return "".join(c if c.isalnum() or c in "-_ " else f"%{ord(c):x}" for c in name)[:60]


def shortened(text: str, most: int = 290) -> str:
    """A message on one line of at most `most` letters. The middle is left out, since the end says what to do next."""
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
