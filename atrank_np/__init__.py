"""ATRank (Zhou et al., AAAI 2018) in NumPy and numba: every backward pass by hand.

    from atrank_np import fit, rank, read_log
    log = read_log("data/shop")
    run = fit(log, epochs=2)
    print(run.report["test_auc"])
    for name, score in rank(run, user="7", top=3): print(name, score)
"""

from . import backend as _backend  # noqa: F401  first: it sets the BLAS threads, which only counts before numpy is imported
