"""Texts for people: names on one line, and tables in Markdown."""

import json
from collections.abc import Iterable, Sequence


def one_line(name: str) -> str:
    """A name of the data on one line: it may contain line breaks."""
    return " ".join(name.split())


def quoted(name: str) -> str:
    """A name of the data as it is; in quotation marks, with escapes, if blanks or line breaks could mislead the reader."""
    return name if name == one_line(name) and not name.startswith('"') else json.dumps(name, ensure_ascii=False)


def table(*columns: object, rows: Iterable[Iterable[object]]) -> str:
    """`markdown` of any values, padded, so that it is easy to read in a terminal too."""
    cells = [[str(cell) for cell in row] for row in [columns, *rows]]
    width = [max(map(len, column)) for column in zip(*cells)]
    header, *padded = [[cell.ljust(w) for cell, w in zip(row, width)] for row in cells]
    return markdown(header, padded)


def markdown(header: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table of strings."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["-" * max(len(name), 3) for name in header], *rows])
