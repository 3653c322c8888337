"""Where this project departs from the paper, or chooses what the paper leaves open; and what the authors' own code does
otherwise: `python -m atrank_np.departures`. EFFECTS says how their effects were measured.
"""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from ..errors import DataError
from ..text import markdown
from .authors import AUTHORS, Change
from .paper import DEPARTURES, Departure

__all__ = ["AUTHORS", "DEPARTURES", "EFFECTS", "lines", "tables"]

EFFECTS = """\
Effects are differences of the validation AUC on Beauty (item and category, `--validate`, 22,363 users, one uniform
negative) from the 0.8189 of the equations as printed (`--variant printed`, the default of then), all with ten epochs
(`--epochs 10`): means over three seeds, ± one standard error over users, unless said otherwise. That error does not cover
other seeds: single runs have moved by up to 0.008 when only the order of sums had changed."""


def tables() -> dict[str, str]:
    """Title -> Markdown table."""
    return {
        "Departures from the paper": markdown(("what", "paper", "here", "otherwise", "measured effect"), _cells(DEPARTURES)),
        "What the authors' code does otherwise": markdown(
            ("what", "the authors' code", "flag", "measured effect"), _cells(AUTHORS)
        ),
    }


def _cells(entries: Iterable[Change | Departure]) -> list[Change | Departure]:
    """The entries as rows of a table: flags in the type of code."""
    return [entry._replace(flag=f"`{entry.flag}`" if entry.flag else "") for entry in entries]


def lines(width: int, names: Sequence[str] = ()) -> Iterator[str]:
    """The lists in lines of at most `width` characters: all entries, or those whose name contains one of `names`.

    DataError for a name that no entry contains.
    """
    found = {
        "Departures from the paper": [
            (d.what, {"paper": d.paper, "here": d.here, "otherwise": d.flag, "effect": d.effect}) for d in DEPARTURES
        ],
        "What the authors' code does otherwise": [
            (c.what, {"theirs": c.authors, "flag": c.flag, "effect": c.effect}) for c in AUTHORS
        ],
    }
    for name in names:
        if not any(name.lower() in what.lower() for entries in found.values() for what, _ in entries):
            raise DataError(f"no departure is called {name!r}; python -m atrank_np.departures --names lists them")
    for title, entries in found.items():
        entries = [entry for entry in entries if not names or any(name.lower() in entry[0].lower() for name in names)]
        if not entries:
            continue
        yield title
        for what, fields in entries:
            yield ""
            yield from textwrap.wrap(what, width, initial_indent="  ", subsequent_indent="  ")
            for label, text in fields.items():
                indent = " " * 15
                yield from textwrap.wrap(text, width, initial_indent=f"    {label}:".ljust(15), subsequent_indent=indent)
        yield ""
