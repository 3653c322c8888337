"""What all commands share: how they end, and how they name a behaviour log."""

import argparse
import contextlib
import ctypes
import os
import re
import sys
from pathlib import Path

from .datasets.schema import DataError

USER_FAULT, DIVERGED, INTERRUPTED = 2, 3, 130


class Diverged(Exception):
    """The loss is no number any more; the text says where, and what to try."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose faults are DataErrors, one line like all others."""

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


def return_memory():
    """From now on an array of 4 MB or more goes back to the system as soon as it is freed.

    The allocator of glibc keeps those of up to 32 MB once it has met one, and what follows does not fit into the holes:
    15 MB of an epoch of 2.6 M samples. Smaller arrays are better kept: a step of NumPy's asks for them again and again.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # other systems have no mallopt
        ctypes.CDLL(None).mallopt(-3, 4 * 2**20)  # M_MMAP_THRESHOLD


def peak_rss_mb():
    """The most memory that this process has held; None where the system does not tell."""
    status = Path("/proc/self/status")  # of this process alone: Linux hands the counter of getrusage down from the parent
    if status.exists() and (found := re.search(r"VmHWM:\s*(\d+)", status.read_text())):
        return int(found[1]) / 2**10
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def default_data():
    """The simulated shop: beside the package in a clone, inside it in a wheel."""
    inside = Path(__file__).parent / "data" / "shop"
    return inside if inside.exists() else Path(__file__).parent.parent / "data" / "shop"


def find_data(name):
    """A data folder by its path, or by its name below the folder that ATRANK_DATA names."""
    path = Path(name)
    base = os.environ.get("ATRANK_DATA")
    if not path.exists() and base and (Path(base) / name).exists():
        return Path(base) / name
    return path


def one_line(name):
    """A name of the data as it is shown: it may hold line ends."""
    return " ".join(name.split())


def table(*columns, rows):
    """`markdown` of anything, padded, so that it is read as easily in a terminal."""
    cells = [[str(cell) for cell in row] for row in [columns, *rows]]
    width = [max(map(len, column)) for column in zip(*cells)]
    header, *padded = [[cell.ljust(w) for cell, w in zip(row, width)] for row in cells]
    return markdown(header, padded)


def markdown(header, rows):
    """A Markdown table of strings."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["-" * max(len(name), 3) for name in header], *rows])
