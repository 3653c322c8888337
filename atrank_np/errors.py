"""What can go wrong, in classes of one base: the user's input, and a training that diverged."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from .text import shortened

P = ParamSpec("P")
T = TypeVar("T")


class AtrankError(Exception):
    """The base of this package's exceptions. The text of each is one line.

    The text names an argument `in_quotes`, as in Python; a command shows the flag of that name.
    """

    def __init__(self, text: str) -> None:
        super().__init__(shortened(text))  # it may quote names of the input


class DataError(AtrankError):
    """A fault of the user's input. The text says where it is, such as file and line, what is expected, and what was found."""


class ArgumentError(DataError, ValueError):
    """An argument whose value is not allowed."""


class Diverged(AtrankError):
    """The loss is NaN or infinite. The text says at which step, and what to try."""


def checked(make: Callable[P, T], *arguments: P.args, **settings: P.kwargs) -> T:
    """Returns make(…). A ValueError becomes an ArgumentError: users chose the value."""
    try:
        return make(*arguments, **settings)
    except ValueError as fault:
        raise ArgumentError(str(fault)) from None
