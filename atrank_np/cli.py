"""What all commands share: their arguments, and how they end."""

import argparse
import os
import sys

from . import __version__
from .errors import DataError, Diverged
from .memory import return_memory

USER_FAULT, DIVERGED, INTERRUPTED = 2, 3, 130


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose faults are DataErrors, one line like all others. Each command has --version."""

    def __init__(self, **options):
        super().__init__(**options)
        self.add_argument("--version", action="version", version=f"atrank_np {__version__}")

    def error(self, message):
        raise DataError(f"{message} (see {self.prog} --help)")


def seed(text):
    """The value of a --seed."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected at least 0, got {value}")
    return value


def run(main):
    """Ends the process with main's exit code. A user's fault is one line and exit 2, never a traceback."""
    return_memory()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.reconfigure(errors="replace")  # a terminal that lacks a letter shows another one
    try:
        try:
            code = main(sys.argv[1:])
        finally:
            print(end="", flush=True)  # here, where a reader that has left is no surprise
    except BrokenPipeError:  # the reader of our output, such as `head`, has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except DataError as fault:
        print(f"error: {fault}", file=sys.stderr)
        code = USER_FAULT
    except OSError as fault:  # a file that cannot be written, a full disk
        print(f"error: {fault.filename or 'a file'}: {fault.strerror or fault}", file=sys.stderr)
        code = USER_FAULT
    except MemoryError as fault:
        print(f"error: there is not memory enough: {fault}", file=sys.stderr)
        code = USER_FAULT
    except Diverged as fault:
        print(f"error: {fault}", file=sys.stderr)
        code = DIVERGED
    except KeyboardInterrupt as stop:
        print(str(stop) or "stopped", file=sys.stderr)
        code = INTERRUPTED
    sys.exit(code)
