"""A training step of several ranks that send rows while they compute, beside the same step that sends them at its end.

    mpiexec -n 2 python tests/overlap.py [--batch 8192] [--turns 30] [--shards 2]

Rank 0 prints the median seconds of both, in turns, and the quartiles of their ratio. On one machine nothing is gained: see
lessons/CLUSTER.md for how a slow network can be imitated there.
"""

import argparse
import time

import numpy as np

from atrank_np.backend import make_backend
from atrank_np.bench.workload import Problem
from atrank_np.kernels import exchange
from atrank_np.mpi import ranks


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=8192)
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--shards", type=int, default=2)
    options = parser.parse_args()
    most, ranks().apart = exchange.PIECES, True
    problem = Problem(users=4 * options.batch, batch=options.batch, shards=options.shards)
    backend, pool = make_backend(problem.model, problem.params, problem.config), problem.pool(4)
    seconds = np.empty((options.turns + 1, 2))
    for turn in range(options.turns + 1):
        for side, exchange.PIECES in enumerate((1, most)):
            ranks().wait()
            begin = time.perf_counter()
            backend.train_step(pool[turn % len(pool)], 0.01)
            seconds[turn, side] = time.perf_counter() - begin
    seconds = seconds[1:]  # the first turn compiles
    end, meanwhile = 1e3 * np.median(seconds, axis=0)
    low, middle, high = np.percentile(seconds[:, 1] / seconds[:, 0], [25, 50, 75])
    if ranks().first:
        print(f"sent at the end {end:.0f} ms, meanwhile {meanwhile:.0f} ms: {middle:.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
