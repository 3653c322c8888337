"""What all commands share: their arguments, and how they end."""

import argparse
import contextlib
import io
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from . import __version__
from .errors import AtrankError, DataError, Diverged
from .memory import return_memory
from .mpi import Ranks, ranks
from .text import shortened

USER_FAULT, DIVERGED, INTERRUPTED = 2, 3, 130


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises a DataError, one line, for wrong arguments. Each command has --version."""

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


def numbers(text: str) -> list[int]:
    """The value of a flag for several whole numbers of at least 1."""
    with contextlib.suppress(ValueError):
        found = [int(number) for number in text.split(",")]
        if min(found) > 0:
            return found
    raise argparse.ArgumentTypeError(f"expected whole numbers of at least 1, separated by commas, got {text!r}")


def folder(text: str) -> str:
    """The value of an --out. An empty one would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a folder, got nothing")
    return text


def run(main: Callable[[Sequence[str]], int]) -> NoReturn:
    """Runs main and ends the process with its exit code. A fault of the user's input gives one line and exit code 2."""
    return_memory()
    os.environ["MPLBACKEND"] = "Agg"  # `import matplotlib` fails if the variable names a notebook's backend that is missing
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it reports each folder that it cannot write to
    for number in (signal.SIGINT, signal.SIGTERM):  # schedulers stop a job by SIGTERM
        if signal.getsignal(number) is signal.SIG_DFL:  # a signal that is ignored stays ignored
            signal.signal(number, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where a process has no output
            stream.reconfigure(errors="replace")  # prints ? for a letter that the terminal lacks
    own, text = Ranks(), ""
    try:
        own = ranks()
        own.be_quiet()
        try:
            code = main(sys.argv[1:])
        finally:
            print(end="", flush=True)  # so that a BrokenPipeError is raised here, where it is caught
    except BrokenPipeError:  # the reader of our output, such as `head`, has ended
        _drop_output()
        code = 0
    except AtrankError as fault:
        text, code = f"error: {fault}", DIVERGED if isinstance(fault, Diverged) else USER_FAULT
    except OSError as fault:  # a file that cannot be written, a full disk
        if fault.filename is None:
            _drop_output()
        text, code = f"error: {fault.filename or 'the output'}: {fault.strerror or fault}", USER_FAULT
    except MemoryError as fault:
        text, code = f"error: not enough memory: {fault}", USER_FAULT
    except KeyboardInterrupt as stop:
        text, code = str(stop) or "stopped", INTERRUPTED
    except Exception:
        if own.size == 1:
            raise
        own.leave(traceback.format_exc(), 1)  # the other ranks would wait for this one
        code = 1
    if text:
        own.leave(_words(text), code)
    sys.exit(code)


def _words(text: str) -> str:
    """The last line of a command. A message names an argument `in_quotes`; a command shows the flag of that name."""
    return shortened(re.sub(r"`(\w+)`", lambda argument: "--" + argument[1].replace("_", "-"), text), 300)


def _drop_output() -> None:
    """Drops all later output: nobody reads it, or its disk is full."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
