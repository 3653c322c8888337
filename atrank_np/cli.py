"""What all commands share: their arguments, and how they end."""

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from . import __version__
from .errors import AtrankError, DataError, Diverged
from .memory import return_memory

USER_FAULT, DIVERGED, INTERRUPTED = 2, 3, 130


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose faults are DataErrors, one line like all others. Each command has --version."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_argument("--version", action="version", version=f"atrank_np {__version__}")

    def error(self, message: str) -> NoReturn:
        raise DataError(f"{message} (see {self.prog} --help)")


def seed(text: str) -> int:
    """The value of a --seed."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected at least 0, got {value}")
    return value


def run(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Ends the process with main's exit code. A fault of the user's input is one line and exit 2, never a traceback."""
    return_memory()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where a process has no output
            stream.reconfigure(errors="replace")  # prints ? for a letter that the terminal lacks
    try:
        try:
            code = main(sys.argv[1:])
        finally:
            print(end="", flush=True)  # so that a BrokenPipeError is raised here, where it is caught
    except BrokenPipeError:  # the reader of our output, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except AtrankError as fault:
        print(f"error: {fault}", file=sys.stderr)
        code = DIVERGED if isinstance(fault, Diverged) else USER_FAULT
    except OSError as fault:  # a file that cannot be written, a full disk
        print(f"error: {fault.filename or 'a file'}: {fault.strerror or fault}", file=sys.stderr)
        code = USER_FAULT
    except MemoryError as fault:
        print(f"error: not enough memory: {fault}", file=sys.stderr)
        code = USER_FAULT
    except KeyboardInterrupt as stop:
        print(str(stop) or "stopped", file=sys.stderr)
        code = INTERRUPTED
    sys.exit(code)
