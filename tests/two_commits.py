"""The training speed of this checkout beside that of another commit, in turns of two processes.

    git worktree add ../before COMMIT
    python tests/two_commits.py ../before [--model atrank] [--batch 32,256,1024] [--threads 1,2] [--turns 30]

Prints for each cell the ratio here / there: median and quartiles over the turns. Machines drift, so only a ratio of
neighbouring turns means something. Nothing else should run meanwhile.
"""

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent.parent
USERS = 8000  # of the log: enough for batches of 1024


def worker(model, batch, threads):
    """Runs in each checkout. Each line of stdin is a number of seconds; it prints the samples a second over that time."""
    try:
        workers = importlib.import_module("atrank_np.bench.workers")
    except ModuleNotFoundError:  # before bench was a package
        workers = importlib.import_module("atrank_np.bench_workers")
    site = workers.Site("numba", threads, batch=batch, users=USERS, model=model)
    print("ready", flush=True)
    for line in sys.stdin:
        print(site.window(float(line)), flush=True)


class Checkout:
    """A worker process in a checkout."""

    def __init__(self, folder, *how):
        environment = os.environ | {"PYTHONPATH": str(folder)}
        command = [sys.executable, __file__, "--worker", *map(str, how)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=folder, env=environment, stdin=pipe, stdout=pipe, text=True)

    def wait(self):
        if self.process.stdout.readline() != "ready\n":
            sys.exit(f"{self.process.args[-3:]}: the worker did not start")

    def speed(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def compare(there, model, batch, threads, turns, seconds):
    """[turns, 2] samples a second, here and there."""
    pair = [Checkout(folder, model, batch, threads) for folder in (HERE, there)]
    for checkout in pair:
        checkout.wait()
    speeds = np.empty((turns, 2))
    for turn in range(turns):
        for side in (0, 1) if turn % 2 else (1, 0):
            speeds[turn, side] = pair[side].speed(seconds)
    for checkout in pair:
        checkout.close()
    return speeds


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    numbers = lambda text: [int(number) for number in text.split(",")]
    parser.add_argument("there", type=lambda text: Path(text).resolve(), help="another checkout")
    parser.add_argument("--model", default="atrank")
    parser.add_argument("--batch", type=numbers, default=[32, 256, 1024])
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=0.3, help="of a turn")
    options = parser.parse_args()
    print("| batch | threads | here, samples/s | there | ratio | quartiles |\n|---|---|---|---|---|---|")
    for batch in options.batch:
        for threads in options.threads:
            speeds = compare(options.there, options.model, batch, threads, options.turns, options.seconds)
            here, there = np.median(speeds, axis=0)
            low, middle, high = np.percentile(speeds[:, 0] / speeds[:, 1], [25, 50, 75])
            print(f"| {batch} | {threads} | {here:,.0f} | {there:,.0f} | {middle:.3f} | {low:.3f} to {high:.3f} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        main()
