"""What can go wrong, in classes of one base: the user's input, and a training that diverged."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from .text import shortened

P = ParamSpec("P")
T = TypeVar("T")


class AtrankError(Exception):
    """The base of this package's exceptions. The text of each is one line.

    An argument stands in it `in_quotes`, in the words of Python; a command shows the flag of that name.
    """

    def __init__(self, text: str) -> None:
        super().__init__(shortened(text))  # it may quote names of the input


class DataError(AtrankError):
    """A fault of the user's input. The text says where it is, such as file and line, what is expected, and what was found."""


class ArgumentError(DataError, ValueError):
    """An argument that no call can have."""


class Diverged(AtrankError):
    """The loss is NaN or infinite. The text says at which step, and what to try."""


def checked(make: Callable[P, T], *arguments: P.args, **settings: P.kwargs) -> T:
    """make(…). A ValueError becomes an ArgumentError: the refused value is the user's choice."""
    try:
        return make(*arguments, **settings)
    except ValueError as fault:
        raise ArgumentError(str(fault)) from None
