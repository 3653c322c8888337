"""Where compiled kernels are kept from one run to the next."""

import hashlib
import os
import stat
import tempfile
from pathlib import Path


def cache_folder():
    """A folder whose name is a hash of all kernels, or None if nothing can be written anywhere: then nothing is kept.

    numba looks only at the file of the cached function itself: a changed kernel in another file would go unseen.
    It reads the whole index of a cached function, so kernels must be called with types that every program can import.
    """
    sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.rglob("*.py")))
    part = Path("atrank_np") / hashlib.sha256(sources).hexdigest()[:16]
    home = os.path.expanduser("~")
    candidates = os.environ.get("NUMBA_CACHE_DIR"), os.environ.get("XDG_CACHE_HOME"), home != "~" and Path(home) / ".cache"
    for base in filter(None, candidates):
        if _can_write(Path(base) / part):
            return str(Path(base) / part)
    own = _own_temporary_folder()  # a container without a home
    return str(own / part) if own and _can_write(own / part) else None


def _can_write(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _own_temporary_folder():
    """The user's own folder beside other temporary files, or None. Code is loaded from it, so nobody else may write there."""
    try:
        folder = Path(tempfile.gettempdir()) / f"atrank_np-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except (OSError, AttributeError):  # Windows has no getuid
        return None
    trusted = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return folder if trusted else None
