"""The command `python -m atrank_np.bench`."""

import importlib.metadata
import importlib.util
import json
import os
import platform
from pathlib import Path

from .. import cli
from ..config import MODELS
from ..datasets.electronics_shaped import USERS
from ..datasets.folder import default_data, find_data
from ..errors import DataError
from .parts import FEW_USERS, PARTS
from .workers import OURS, Fault, workers

TORCH = ("torch eager", "torch best")


def parser():
    p = cli.Parser(
        prog="python -m atrank_np.bench",
        description="Measure speed and memory on an Electronics-shaped log, "
        "beside PyTorch if it is installed. Let nothing else run meanwhile.",
    )
    whole = lambda text: [int(value) for value in text.split(",")]
    p.add_argument("--quick", action="store_true", help="a smaller log, fewer rounds, no epoch: within five minutes")
    p.add_argument("--only", choices=PARTS, help="this part alone")
    p.add_argument("--batch", type=whole, default=[32, 256, 1024], metavar="B,…", help="targets in a step (32,256,1024)")
    p.add_argument("--threads", type=whole, default=[1, 2], metavar="N,…", help="numbers of threads (1,2)")
    p.add_argument(
        "--data",
        metavar="DIR",
        type=find_data,
        default=default_data(),
        help="the log of part groups (default: the simulated shop)",
    )
    p.add_argument("--json", metavar="FILE", help="write the figures there")
    p.add_argument("--plot", metavar="FILE", help="a PNG of the cost against history length and vocabulary (part scaling)")
    p.add_argument("--warm-up", action="store_true", help="compile everything and stop; later runs load it")
    return p


def settings(options):
    """What --quick changes, and what is installed, added to the options."""
    quick = options.quick
    options.users, options.rounds = (FEW_USERS, 5) if quick else (USERS, 15)
    options.window, options.patience = (0.2, 3) if quick else (1.0, 180)  # seconds: of one turn, of all turns of a cell
    options.checks = 1 if quick else 3  # users whose rankings are compared
    options.lengths = [2, 8, 32] if quick else [2, 4, 8, 16, 32, 64, 98]
    options.vocabularies = [1000, 30_000] if quick else [1000, 10_000, 100_000, 1_000_000]
    options.torch = list(TORCH) if importlib.util.find_spec("torch") else []
    for name in ("batch", "threads"):
        if min(getattr(options, name)) < 1 + (name == "batch"):
            raise DataError(f"--{name}: expected whole numbers of at least {1 + (name == 'batch')}")
    if any(batch % 2 for batch in options.batch):
        raise DataError("--batch: expected even numbers, a positive and its negative each")
    return options


def main(arguments):
    options = settings(parser().parse_args(arguments))
    if options.warm_up:
        for model in MODELS:
            with workers(["numba"], max(options.threads), users=1000, model=model) as team:
                seconds = team["numba"].ask("compile_seconds") + team["numba"].ask("rank", number=0)[0]
                print(f"{model}: compiled or loaded in {seconds:.1f} s")
        return 0
    report = dict(mode="quick" if options.quick else "full", cores=os.cpu_count(), python=platform.python_version())
    report |= {name: importlib.metadata.version(name) for name in (*OURS, *(["torch"] if options.torch else []))}
    if not options.torch:
        print("torch is not installed, so nothing is compared with it: pip install torch")
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
