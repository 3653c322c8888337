"""Where this project departs from the paper, or chooses what it leaves open; and what the authors' own code does otherwise:
`python -m atrank_np.departures`.

Effects are differences of the validation AUC on Beauty (item and category, `--validate`, 22,363 users, one uniform
negative) from that of the defaults, all with ten epochs (0.8189; `--epochs 10`): means over three seeds, ± one standard
error over users, unless said otherwise. That error knows nothing of other seeds: single runs have moved by up to 0.008
when only the order of sums had changed.
"""

import textwrap

from ..errors import DataError
from ..text import markdown
from .authors import AUTHORS
from .paper import DEPARTURES


def tables():
    """Title -> Markdown table."""
    rows = lambda changes: [change._replace(flag=f"`{change.flag}`" if change.flag else "") for change in changes]
    return {
        "Departures from the paper": markdown(("what", "paper", "here", "otherwise", "measured effect"), rows(DEPARTURES)),
        "What the authors' code does otherwise": markdown(
            ("what", "the authors' code", "flag", "measured effect"), rows(AUTHORS)
        ),
    }


def lines(width, names=()):
    """The lists in lines of at most `width` characters: all of them, or those whose name holds one of `names`.

    DataError for a name that nothing holds.
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
