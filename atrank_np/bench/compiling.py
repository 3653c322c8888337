"""The part `compile` of `bench`: what a first run costs, and a later one."""

import argparse
import os
import subprocess
import sys
import tempfile
from typing import Any

from ..config import MODELS
from ..text import table

# CPU and wall seconds until a model can train; the import of the kernels is included.
PROGRAM = """
import sys, time
from atrank_np.backend import make_backend
from atrank_np.bench.workload import Problem
problem = Problem(users=1000, model=sys.argv[1])
batch, cpu, wall = problem.pool(1)[0], time.process_time(), time.perf_counter()
make_backend(problem.model, problem.params, problem.config).warm_up(batch)
print(time.process_time() - cpu, time.perf_counter() - wall)
"""


def seconds(model: str, folder: str) -> list[float]:
    """CPU and wall seconds of PROGRAM in a process of its own, with this cache folder."""
    environment = os.environ | {"NUMBA_CACHE_DIR": folder}
    ran = subprocess.run([sys.executable, "-c", PROGRAM, model], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [float(value) for value in ran.stdout.split()]


def part_compile(report: dict[str, Any], options: argparse.Namespace) -> list[str]:
    """A first run in a fresh cache folder, then a second one."""
    rows = []
    for model in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            found = dict(zip(("compile", "load"), (seconds(model, folder) for _ in range(2))))
        report.setdefault("compile", {})[model] = found
        rows.append([model, *(f"{value:.1f}" for pair in found.values() for value in pair)])
    header = "compiling: CPU s", "wall s", "loading: CPU s", "wall s"
    return ["Seconds until the kernels of a model are there, one thread.", table("", *header, rows=rows)]
