"""The errors that end a command: a fault of the user's input, and a training that diverged."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from .text import shortened

P = ParamSpec("P")
T = TypeVar("T")


class DataError(Exception):
    """A fault of the user's input. Its text is one line: file, line, what is expected, what was found, what to do."""

    def __init__(self, text: str) -> None:
        super().__init__(shortened(text))  # it may quote names of the input


class Diverged(Exception):
    """The loss is NaN or infinite. The text says at which step, and what to try."""


def checked(make: Callable[P, T], *arguments: P.args, **settings: P.kwargs) -> T:
    """make(…). A ValueError becomes a DataError: the refused value is the user's choice."""
    try:
        return make(*arguments, **settings)
    except ValueError as fault:
        raise DataError(str(fault)) from None
