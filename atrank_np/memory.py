"""The memory of this process: how freed arrays return to the system, and its peak."""

import contextlib
import ctypes
import re
import sys
from pathlib import Path


def return_memory() -> None:
    """From now on an array of 4 MB or more goes back to the system as soon as it is freed.

    By default glibc keeps freed arrays of up to 32 MB once it has allocated one. Later arrays do not fit in the gaps, which
    costs 15 MB in an epoch of 2.6 M samples. Smaller arrays are kept, since every NumPy step allocates them again.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # other systems have no mallopt
        ctypes.CDLL(None).mallopt(-3, 4 * 2**20)  # M_MMAP_THRESHOLD


def peak_rss_mb() -> float | None:
    """The peak resident memory of this process in MB (2^20 bytes); None where the system does not report it."""
    status = Path("/proc/self/status")  # of this process alone: on Linux, getrusage inherits the parent's peak
    if status.exists() and (found := re.search(r"VmHWM:\s*(\d+)", status.read_text())):
        return int(found[1]) / 2**10
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
