"""ATRank (Zhou et al., AAAI 2018) in NumPy and numba: every backward pass by hand.

from atrank_np import fit, rank, read_log
log = read_log("data/shop")
run = fit(log, epochs=2)
print(run.report["test_auc"])
for name, score in rank(run.trained, log, user="u7", top=3):
    print(name, score)
"""

import importlib
import os

# The matrices of a step are small: a BLAS that spreads one product over threads loses more than it gains, and its bits
# come to depend on their number. BLAS reads this once, when numpy is first imported, so it stands here, before that.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

_HOMES = {
    "Config": "config",
    "fit": "training",
    "load": "runs.checkpoint",
    "rank": "evaluation.ranking",
    "read_log": "datasets.reading",
}

__all__ = [*_HOMES]


def __getattr__(name):
    """Names are looked up when they are first used, so that a command imports no more than it needs."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__():
    return sorted(_HOMES)
