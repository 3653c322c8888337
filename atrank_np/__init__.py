"""ATRank (Zhou et al., AAAI 2018) in NumPy and numba: every backward pass by hand.

from atrank_np import ATRank, datasets

log = datasets.load_shop()  # read_log("folder") reads files
model = ATRank(epochs=5).fit(log)
ids, scores = model.recommend(log, users=["u7", "u8"], n=3)
"""

import signal
import sys

# While a command of `python -m` imports what it needs, Ctrl-C ends it without a traceback; then `cli.run` takes over.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import importlib
import os
from typing import TYPE_CHECKING

# The matrices of a step are small. A BLAS that divides one product among threads is slower, and its bits depend on the
# number of threads. BLAS reads these variables once, when numpy is first imported, so they are set before that.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

__version__ = "0.2.0"
__all__ = ["ATRank", "AtrankError", "BPRMF", "BiLSTM", "BiLSTMAttention", "CNN", "DataError", "Log", "Recommender", "read_log"]

if TYPE_CHECKING:  # a type checker sees only these names, so a wrong one is an error
    from .datasets.log import Log
    from .datasets.reading import read_log
    from .errors import AtrankError, DataError
    from .estimators import BPRMF, CNN, ATRank, BiLSTM, BiLSTMAttention, Recommender
else:
    _HOMES = {"Log": "datasets.log", "read_log": "datasets.reading", "AtrankError": "errors", "DataError": "errors"}
    _HOMES |= dict.fromkeys(("ATRank", "BPRMF", "BiLSTM", "BiLSTMAttention", "CNN", "Recommender"), "estimators")

    def __getattr__(name):
        """Names are looked up when they are first used, so that a command imports no more than it needs."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)

    def __dir__():
        return sorted(__all__)
