"""ATRank (Zhou et al., AAAI 2018) in NumPy and numba: every backward pass by hand.

from atrank_np import fit, rank, read_log

log = read_log("data/shop")
run = fit(log, epochs=2)
print(run.report["test_auc"])
for name, score in rank(run.trained, log, user="u7", top=3):
    print(name, score)
"""

import signal
import sys

# While a command of `python -m` imports what it needs, Ctrl-C ends it without a traceback; then `cli.run` takes over.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import importlib
import os
from typing import TYPE_CHECKING

# The matrices of a step are small: a BLAS that spreads one product over threads loses more than it gains, and its bits
# come to depend on their number. BLAS reads this once, when numpy is first imported, so it stands here, before that.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

__version__ = "0.2.0"
__all__ = ["Config", "DataError", "fit", "load", "rank", "read_log"]

if TYPE_CHECKING:  # a type checker sees these names alone, so that a wrong one is an error
    from .config import Config
    from .datasets.reading import read_log
    from .errors import DataError
    from .evaluation.ranking import rank
    from .runs.checkpoint import load
    from .training import fit
else:
    _HOMES = {
        "Config": "config",
        "DataError": "errors",
        "fit": "training",
        "load": "runs.checkpoint",
        "rank": "evaluation.ranking",
        "read_log": "datasets.reading",
    }

    def __getattr__(name):
        """Names are looked up when they are first used, so that a command imports no more than it needs."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)

    def __dir__():
        return sorted(__all__)
