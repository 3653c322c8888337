"""The memory of this process: what it gives back, and the most that it has held."""

import contextlib
import ctypes
import re
import sys
from pathlib import Path


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
