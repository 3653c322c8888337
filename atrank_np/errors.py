"""The errors that end a command: a fault of the user's input, and a training that diverged."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DataError(Exception):
    """A fault of the user's input. Its text is one line: file, line, what is expected, what was found."""

    def __init__(self, text: str) -> None:
        super().__init__(" ".join(text.splitlines()))  # names quoted from the input may contain line breaks


class Diverged(Exception):
    """The loss is NaN or infinite. The text says at which step, and what to try."""


def checked(make: Callable[P, T], *arguments: P.args, **settings: P.kwargs) -> T:
    """make(…). A ValueError becomes a DataError: the refused value is the user's choice."""
    try:
        return make(*arguments, **settings)
    except ValueError as fault:
        raise DataError(str(fault)) from None
