"""The command `python -m atrank_np.bench`."""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import cli
from ..config import MODELS
from ..datasets.electronics_shaped import USERS
from ..datasets.folder import default_data, find_data
from ..errors import DataError
from .parts import PARTS
from .turns import FEW_USERS
from .workers import OURS, Fault, workers

TORCH = ("torch eager", "torch best")


def parser() -> cli.Parser:
    p = cli.Parser(
        prog="python -m atrank_np.bench",
        description="Measure speed and memory on an Electronics-shaped log, "
        "beside PyTorch if it is installed. Nothing else should run at the same time.",
    )
    p.add_argument("--quick", action="store_true", help="a smaller log, fewer rounds, no epoch: within five minutes")
    p.add_argument("--only", choices=PARTS, help="only this part")
    p.add_argument("--batch", type=cli.numbers, default=[32, 256, 1024], metavar="B,…", help="targets in a step (32,256,1024)")
    p.add_argument("--threads", type=cli.numbers, default=[1, 2], metavar="N,…", help="numbers of threads (1,2)")
    p.add_argument(
        "--data",
        metavar="DIR",
        type=find_data,
        default=default_data(),
        help="the log of part groups (default: the simulated shop)",
    )
    p.add_argument("--json", metavar="FILE", help="write the figures there")
    p.add_argument("--plot", metavar="FILE", help="a PNG of the cost by history length and by number of objects (part scaling)")
    p.add_argument("--warm-up", action="store_true", help="compile everything and stop; later runs load what is compiled")
    return p


def settings(options: argparse.Namespace) -> argparse.Namespace:
    """The options with what --quick changes and what is installed. DataError for an odd batch."""
    quick = options.quick
    options.users, options.rounds = (FEW_USERS, 5) if quick else (USERS, 15)
    options.window, options.patience = (0.2, 3) if quick else (1.0, 180)  # seconds: of one turn, of all turns of a cell
    options.checks = 1 if quick else 3  # users whose rankings are compared
    options.ranked = 8 if quick else 64  # users who are ranked for in a turn
    options.lengths = [2, 8, 32] if quick else [2, 4, 8, 16, 32, 64, 98]
    options.vocabularies = [1000, 30_000] if quick else [1000, 10_000, 100_000, 1_000_000]
    options.torch = list(TORCH) if importlib.util.find_spec("torch") else []
    for batch in options.batch:
        if batch % 2:
            raise DataError(f"--batch: expected even numbers, positives with a negative each, got {batch}")
    return options


def main(arguments: Sequence[str]) -> int:
    options = settings(parser().parse_args(arguments))
    if options.warm_up:
        for model in MODELS:
            with workers(["numba"], max(options.threads), users=1000, model=model) as team:
                seconds = team["numba"].ask("compile_seconds") + team["numba"].ask("rank", number=0)[0]
                print(f"{model}: compiled or loaded in {seconds:.1f} s")
        return 0
    report: dict[str, Any] = dict(
        mode="quick" if options.quick else "full", cores=os.cpu_count(), python=platform.python_version()
    )
    report |= {name: importlib.metadata.version(name) for name in (*OURS, *(["torch"] if options.torch else []))}
    if not options.torch:
        print("torch is not installed, so nothing is compared with it; to compare: pip install torch")
    parts = [options.only] if options.only else [name for name in PARTS if not (options.quick and name == "epoch")]
    try:
        for name in parts:
            print("", *PARTS[name](report, options), sep="\n", flush=True)
    except Fault as fault:
        raise DataError(str(fault)) from None
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    cli.run(main)
