"""Names in events.csv that the file of their group does not have. Often the two files come from different systems."""

from collections.abc import Sequence
from difflib import get_close_matches
from reprlib import repr  # cuts a long name

TOLD = 0.01  # a larger share of a group's events is reported
COMPARED = 20_000  # names of the file that are compared with an unknown one letter by letter


def unknown_ids(group: str, file: str, known: Sequence[str], unknown: Sequence[str], share: float) -> list[str]:
    """A line about the events of a group whose object is unknown; none if they are few.

    known: the names in the file; unknown: the others; share: the part of the group's events that have one of the others.
    """
    if share <= TOLD:
        return []
    examples = []
    for name in unknown[:2]:
        near = _nearest(name, known)
        examples.append(f"{repr(name)} is not in {file}" + (f", {repr(near)} is" if near else ""))
    return [f"{share:.1%} of the events of {group} have an unknown object: {'; '.join(examples)}"]


def _nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that differs in case, spaces, leading zeros or a final .0 only, or else the most similar one."""

    def core(name: str) -> str:
        return name.strip().casefold().removesuffix(".0").lstrip("0")

    wanted = core(name)
    same = next((other for other in known if core(other) == wanted), None)
    return same or next(iter(get_close_matches(name[:100], [other for other in known[:COMPARED] if len(other) < 100], 1)), None)
