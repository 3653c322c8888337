"""Where this project departs from the paper, or chooses what the paper leaves open: `python -m atrank_np.departures`.

A second list has what the authors' own code does otherwise. EFFECTS says how the effects were measured.
"""

import textwrap
from collections.abc import Iterator, Sequence

from ..errors import DataError
from ..text import markdown
from .authors import AUTHORS, Change
from .paper import DEPARTURES, Departure

__all__ = ["AUTHORS", "DEPARTURES", "EFFECTS", "lines", "tables"]

EFFECTS = """\
Effects are differences of the validation AUC on Beauty (item and category, `--validate`, 22,363 users, one uniform negative).
The reference is 0.8189: the equations as printed (`--variant printed`, the default at that time). All runs have ten epochs
(`--epochs 10`). An effect is a mean over three seeds, ± one standard error over users, unless said otherwise. That error
does not cover other seeds: single runs have changed by up to 0.008 when only the order of sums was another."""


LISTS: dict[str, tuple[Sequence[Departure | Change], tuple[str, ...]]] = {  # title -> entries, labels of their fields
    "Departures from the paper": (DEPARTURES, ("paper", "here", "otherwise", "effect")),
    "What the authors' code does otherwise": (AUTHORS, ("their code", "flag", "effect")),
}


def tables() -> dict[str, str]:
    """Title -> Markdown table, with flags in the type of code."""
    found = {}
    for title, (entries, labels) in LISTS.items():
        rows = [entry._replace(flag=f"`{entry.flag}`" if entry.flag else "") for entry in entries]
        found[title] = markdown(("what", *labels[:-1], "measured effect"), rows)
    return found


def lines(width: int, names: Sequence[str] = ()) -> Iterator[str]:
    """The lists in lines of at most `width` characters: all entries, or those whose name contains one of `names`.

    DataError for a name that no entry contains.
    """
    for name in names:
        if not any(name.lower() in entry.what.lower() for entries, _ in LISTS.values() for entry in entries):
            raise DataError(f"no departure is called {name!r}; python -m atrank_np.departures --names lists them")
    for title, (entries, labels) in LISTS.items():
        chosen = [entry for entry in entries if not names or any(name.lower() in entry.what.lower() for name in names)]
        if not chosen:
            continue
        yield title
        for what, *texts in chosen:
            yield ""
            yield from textwrap.wrap(what, width, initial_indent="  ", subsequent_indent="  ")
            for label, text in zip(labels, texts):
                yield from textwrap.wrap(text, width, initial_indent=f"    {label}:".ljust(15), subsequent_indent=" " * 15)
        yield ""
