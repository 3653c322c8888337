"""What ends a command: a fault of the user's input, and a training that diverged."""


class DataError(Exception):
    """A fault of the user's input. Its text is one line: file, line, what is expected, what was found."""

    def __init__(self, text):
        super().__init__(" ".join(text.splitlines()))  # names quoted from the input may hold line ends


class Diverged(Exception):
    """The loss is no number any more; the text says where, and what to try."""


def checked(make, *arguments, **settings):
    """make(…). A ValueError, for a value that it refuses, becomes a DataError: it was the user who chose it."""
    try:
        return make(*arguments, **settings)
    except ValueError as fault:
        raise DataError(str(fault)) from None
