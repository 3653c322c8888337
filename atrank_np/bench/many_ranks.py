"""The part `mpi` of `bench`: two ranks beside one process, what they exchange, and a prediction for more ranks."""

import argparse
import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..datasets.electronics_shaped import electronics_shaped
from ..datasets.log import user_of_event, with_events
from ..mpi import PIECE, PIECES
from ..text import table
from .reading import write_log

BATCH = 1024
WALK = 0.3  # of the time to update rows: each thread looks at all rows and updates its own; 0.30 to 0.34 measured with SGD
CORES = 16  # of each machine in the prediction, one shard on each core
NETWORKS = {"10 Gbit/s": (1.25e9, 30e-6), "100 Gbit/s": (12.5e9, 3e-6)}  # bytes a second, seconds until the first byte arrives
COLLECTIVES = 8  # exchanges of a step, among them the question whether to stop; and one for each piece
BATCHES = [2**n for n in range(8, 21)]  # batch sizes, in targets, that the prediction tries

# One rank, or the only process: seconds of whole steps and of their parts. Rank 0 prints.
PROGRAM = """
import json, sys, time
from atrank_np.backend import make_backend
from atrank_np.bench.workload import Problem
from atrank_np.mpi import ranks
users, batch, threads, shards, seconds = (float(a) if '.' in a else int(a) for a in sys.argv[1:])
problem = Problem(users=users, batch=batch, threads=threads, shards=shards)
backend, pool, spent = make_backend(problem.model, problem.params, problem.config), problem.pool(8), {}
backend.warm_up(pool[0])
def timed(name, function):
    def call(*arguments, **settings):
        begin = time.perf_counter()
        found = function(*arguments, **settings)
        spent.setdefault(name, []).append(time.perf_counter() - begin)
        return found
    return call
step = timed("step", backend.train_step)
if backend.exchange:
    backend.exchange.finish = timed("exchange", backend.exchange.finish)
going = True
while going:
    for b in pool:
        step(b, 0.01)
    going = not ranks().any(sum(spent["step"]) > seconds)
if ranks().size == 1:
    for i, b in enumerate(pool):
        timed("shards", backend._run)(b, train=1)
        backend.settings.shards, backend.settings.update = 0, 1
        timed("update", backend._step)()
    problem.stream.batch(1, 0)  # draws the negatives of an epoch
    begin = time.perf_counter()
    for i in range(10):
        problem.stream.batch(1, i % problem.stream.per_epoch)
    spent["packing"] = [(time.perf_counter() - begin) / 10]
rows = sum(chunk.next_u for chunk in backend.chunks) * backend.dtype.itemsize + sum(chunk.rows for chunk in backend.chunks) * 8
found = {name: sorted(times)[len(times) // 2] for name, times in spent.items()}
if ranks().first:
    sizes = {"rows": rows * ranks().size, "dense": backend.dP[0].nbytes, "packed": sum(array.nbytes for array in pool[0])}
    print(json.dumps(found | sizes))
"""

# One rank of --partition: reads a log, and begins an epoch. Rank 0 prints what the fullest rank holds, and its peak, in MB.
READING = """
import json, sys
from atrank_np.config import Config
from atrank_np.datasets.batches import Batches
from atrank_np.datasets.folder import DataSource
from atrank_np.datasets.protocol import Protocol
from atrank_np.memory import peak_rss_mb, return_memory
from atrank_np.mpi import ranks
ranks(), return_memory()
before, config = peak_rss_mb() or 0, Config(partition=True, shards=4)
protocol = Protocol(DataSource(sys.argv[1]).read(config)[0], config)
batches = Batches(protocol)
batches.batch(0, 0)
log, train, test = protocol.log, protocol.train, protocol.test
arrays = [log.group, log.object, log.action, log.time, *protocol.events, train.place, train.end, *test, batches.order]
held = {a.__array_interface__["data"][0]: a.nbytes for a in [*arrays, batches.sorted, batches.drawn]}
found = ranks().gather((sum(held.values()) / 2**20, (peak_rss_mb() or 0) - before))
if ranks().first:
    print(json.dumps([max(numbers) for numbers in zip(*found)]))
"""
FILES = 8  # that it is read from


class Step(NamedTuple):
    """What a step with --partition costs: seconds and bytes, for each target of a batch or for the step."""

    shards: float  # a target, forward and backward, on one core
    update: float  # a target, its rows of tables, on one core
    packing: float  # a target, on one core
    fixed: float  # dense parameters
    rows: float  # bytes of a target's gradients of embeddings
    packed: float  # bytes of a target in the packed batch
    dense: float  # bytes of the dense gradients

    def seconds(self, batch: int, ranks: int, network: tuple[float, float]) -> float:
        """Seconds of a step of `batch` targets on `ranks` machines."""
        bandwidth, latency = network
        alike = batch * self.update * (WALK + (1 - WALK) / CORES) + self.fixed  # the same work on each rank
        alone = batch * self.packing / ranks + alike
        if ranks == 1:
            return alone + batch * self.shards / CORES
        pieces = min(max(batch * self.rows / ranks // PIECE, 1), PIECES)
        compute = batch * self.shards / (CORES - (pieces > 1)) / ranks / pieces  # of a piece; one core sends
        others = (1 - 1 / ranks) / bandwidth  # seconds until a byte of each rank has come from all others
        sent, rest = others * batch * self.rows / pieces, others * (batch * self.packed + (CORES + 1) * self.dense)
        latencies = (COLLECTIVES + pieces) * latency * math.ceil(math.log2(ranks))
        return alone + compute + (pieces - 1) * max(compute, sent) + sent + rest + latencies

    def rate(self, batch: int, ranks: int, network: tuple[float, float]) -> float:
        """Targets a second."""
        return batch / self.seconds(batch, ranks, network)

    def efficiency(self, batch: int, ranks: int, network: tuple[float, float]) -> float:
        """The rate of `ranks` machines, divided by `ranks` times that of one machine with its part of the batch."""
        return self.rate(batch, ranks, network) / (ranks * self.rate(max(1, batch // ranks), 1, network))


def mpiexec() -> str | None:
    """Its path: beside Python, or on the PATH. None if it is missing."""
    return shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


def measured(ranks: int, threads: int, batch: int, options: argparse.Namespace, shards: int = 2) -> dict[str, float]:
    """Medians of the seconds of a step and of its parts, and bytes."""
    numbers = (options.users, batch, threads, shards, float(options.window))
    found: dict[str, float] = json.loads(output(ranks, PROGRAM, *numbers))
    return found


def output(ranks: int, program: str, *arguments: object) -> str:
    """What a Python program prints on so many ranks."""
    start = [str(mpiexec()), "-n", str(ranks)] if ranks > 1 else []
    environment = os.environ | {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    command = [*start, sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def fitted(small: dict[str, float], large: dict[str, float], batches: tuple[int, int]) -> Step:
    """The Step that goes through two measurements with one thread."""
    each = (large["update"] - small["update"]) / (batches[1] - batches[0])
    each = min(max(each, 0.0), large["update"] / batches[1])
    return Step(
        shards=large["shards"] / batches[1],
        update=each,
        packing=large["packing"] / batches[1],
        fixed=large["update"] - each * batches[1],
        rows=large["rows"] / batches[1],
        packed=large["packed"] / batches[1],
        dense=large["dense"],
    )


def part_mpi(report: dict[str, Any], options: argparse.Namespace) -> list[str]:
    """Two ranks of one thread beside one process of two threads, in turns; then the model."""
    if not (mpiexec() and importlib.util.find_spec("mpi4py")):
        return ["mpi4py or mpiexec is not installed, so ranks are not measured; to measure them: pip install mpi4py mpich"]
    turns = [(measured(1, 2, BATCH, options), measured(2, 1, BATCH, options)) for _ in range(3 if options.quick else 7)]
    one, two = (np.median([turn[i]["step"] for turn in turns]) for i in (0, 1))
    ratios = [alone["step"] / both["step"] for alone, both in turns]
    median, low, high = np.percentile(ratios, [50, 25, 75])
    both = turns[-1][1]
    exchange = float(np.median([turn[1]["exchange"] for turn in turns]))
    batches = (BATCH // 4, BATCH)
    small, large = (measured(1, 1, batch, options, shards=1) for batch in batches)
    step = fitted(small, large, batches)
    report["mpi"] = {"ratio": median, "ratio_quartiles": [low, high], "exchange_seconds": exchange, "model": step._asdict()}
    rows = []
    for ranks in (1, 2, 4, 8, 16, 32, 64):
        row: list[str] = [str(ranks)]
        for network in NETWORKS.values():
            enough = [b for b in BATCHES if step.efficiency(b, ranks, network) >= 0.7]
            row += [f"{step.rate(BATCHES[-1], ranks, network):,.0f}", f"{step.efficiency(BATCHES[-1], ranks, network):.0%}"]
            row.append(f"{min(enough):,}" if enough else "none")
        rows.append(row)
    columns = [f"{name}: {what}" for name in NETWORKS for what in ("samples/s", "efficiency", "batch for 70 %")]
    return [
        f"Training steps of {BATCH} targets, two shards.",
        table(
            "",
            "samples/s",
            "of one process",
            rows=[
                ["1 process, 2 threads", f"{BATCH / one:,.0f}", ""],
                ["2 ranks, 1 thread each", f"{BATCH / two:,.0f}", f"{median:.2f} ({low:.2f} to {high:.2f})"],
            ],
        ),
        f"A step of two ranks exchanges {2 * both['dense'] / 1e6:.1f} MB of dense gradients and {both['rows'] / 1e6:.1f} MB of "
        f"rows, in {1e3 * exchange:.1f} ms of {1e3 * two:.1f}; waiting for each other is in it.",
        f"A target costs {1e6 * step.shards:.1f} µs forward and backward, which all cores share; {1e6 * step.packing:.2f} µs for "
        f"packing, which ranks share with --partition; and {1e6 * step.update:.2f} µs for its rows, which the threads of a rank "
        f"share, after looking at all ({WALK:.0%}). A step costs {1e3 * step.fixed:.2f} ms.",
        f"PREDICTION, not measured: machines of {CORES} cores, a shard on each, --partition, batches of {BATCHES[-1]:,}; and "
        "the smallest batch at which a machine is at least 70 % as fast as alone.",
        table("machines", *columns, rows=rows),
        *(memory_of_ranks(options.users) if importlib.util.find_spec("pyarrow") else []),
    ]


def memory_of_ranks(users: int) -> list[str]:
    """The memory of a log that is partitioned, read from Parquet files."""
    log = electronics_shaped(users)
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "events.parquet"
        part = user_of_event(log) * FILES // len(log.users)
        for i in range(FILES):
            write_log(with_events(log, part == i), Path(folder), "parquet")
            events.rename(Path(folder) / f"part-{i}")
        events.mkdir()
        for i in range(FILES):
            (Path(folder) / f"part-{i}").rename(events / f"part-{i}.parquet")
        rows = [[str(ranks), *(f"{mb:.0f}" for mb in json.loads(output(ranks, READING, folder)))] for ranks in (1, 2, 4)]
    columns = "ranks", "MB of events and samples", "MB at the peak, all included"
    return [f"Memory of a rank with --partition, {len(log.object):,} events in {FILES} files:", table(*columns, rows=rows)]
