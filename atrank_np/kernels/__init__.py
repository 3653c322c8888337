"""numba twins of those `layers` that need speed, and the compiled training step that calls them.

Importing this package imports numba; `backend.make_backend` does so when it is asked for.
"""

import hashlib
import os
from pathlib import Path

import numba


def _cache_folder():
    """A folder for compiled code whose name is a hash of all kernels, or "" (numba's own choice) if none can be made.

    numba looks only at the file of the cached function itself: a changed kernel in another file would go unseen.
    It reads the whole list of what is kept of a function, so whoever calls kernels passes types that all programs know.
    """
    sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.rglob("*.py")))
    base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(base).expanduser() / "atrank_np" / hashlib.sha256(sources).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return ""
    return str(folder) if os.access(folder, os.W_OK) else ""


_before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, _cache_folder()
try:
    # numba asks for the folder when a function is defined
    from . import backend
    from .old import backend as old_backend
finally:
    numba.config.CACHE_DIR = _before


def NumbaBackend(model, params, config, step=0, table_scale=1.0):
    """The numba backend of a model. Competitors are still in `old`."""
    kind = backend.NumbaBackend if type(model) in backend.SPECS else old_backend.NumbaBackend
    return kind(model, params, config, step, table_scale)
