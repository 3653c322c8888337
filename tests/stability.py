"""Trains each model with its defaults on logs of many shapes, and says which runs diverge or end with a dead model.

    python tests/stability.py [--logs shop,five_objects,…] [--models atrank,cnn] [--seeds 3] [-- --epochs 5 …]

Flags after `--` are those of `train`. shop and cinema come with the project; beauty, jd and journey_products are folders below
ATRANK_DATA, and left out if they are missing. The others are made here. A model is dead if its scores do not depend on the
history.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from atrank_np import train_flags
from atrank_np.config import MODELS
from atrank_np.errors import Diverged
from atrank_np.evaluation.report import DEAD
from atrank_np.training import fit

SHAPES = {  # users, events of each, objects, size of the numbers
    "five_objects": (300, 4, 5, 1.0),
    "fifty_objects": (300, 8, 50, 1.0),
    "thousands_of_objects": (600, 8, 5000, 1.0),
    "histories_of_one": (600, 3, 100, 1.0),  # a history of one for training, of two for the test
    "histories_of_10000": (3, 10_000, 20_000, 1.0),
    "numbers_of_a_million": (300, 8, 200, 1e6),
}
FOLDERS = {"shop": "shop", "cinema": "cinema", "beauty": "amazon_beauty", "jd": "jd_microbehavior"}
FOLDERS["journey_products"] = "complete_journey"


def write_log(folder, users, events, objects, size):
    """A log in which each user keeps to one of ten kinds of objects nine times out of ten, days apart."""
    rng, kinds = np.random.default_rng(0), min(10, objects)
    price = size * rng.lognormal(0, 1, objects)
    items = [f"i{m},k{m % kinds},{price[m]:.6g}\n" for m in range(objects)]
    (folder / "items.csv").write_text("object,kind,price\n" + "".join(items))
    lines = []
    for user in range(users):
        kind = rng.integers(kinds)
        own = np.arange(kind, objects, kinds)
        choice = np.where(rng.random(events) < 0.9, rng.choice(own, events), rng.integers(objects, size=events))
        lines += [f"u{user},i{m},{86400 * t}\n" for t, m in enumerate(choice)]
    (folder / "events.csv").write_text("user,object,time\n" + "".join(lines))
    (folder / "schema.toml").write_text(
        "target_repeats = 'keep'\n[groups.items.features]\nobject = 'id'\nkind = 'categorical'\nprice = 'number'\n"
    )


def folder_of(name, made):
    """The data folder of a log, or None."""
    if name in SHAPES:
        folder = made / name
        if not folder.exists():
            folder.mkdir()
            write_log(folder, *SHAPES[name])
        return folder
    roots = [Path(__file__).resolve().parent.parent / "data", Path(os.environ.get("ATRANK_DATA", "."))]
    return next((root / FOLDERS[name] for root in roots if (root / FOLDERS[name] / "events.csv").exists()), None)


def run(folder, model, seed, flags):
    """-> a verdict, and the figures."""
    arguments = ["--data", str(folder), "--model", model, "--seed", str(seed), "--evaluations", "1", *flags]
    arguments += ["--epochs", "1"] if folder.name == "histories_of_10000" else []  # even one takes minutes
    data, config = train_flags.settings(train_flags.parse(arguments))
    log, _ = data.read()
    try:
        report = fit(log, config).report
    except Diverged as end:
        return "DIVERGED", str(end)
    best = max(report["popularity_auc"], report["features_shared_auc"])
    share, seconds = report["history_share"], report["seconds"]
    figures = f"AUC {report['test_auc']:.3f}  controls {best:.3f}  history {share:.3f}  {seconds:.0f} s"
    return "DEAD" if share < DEAD else "ok", figures


def main():
    arguments = [*sys.argv[1:], "--"]
    own, flags = arguments[: arguments.index("--")], [f for f in arguments[arguments.index("--") + 1 :] if f != "--"]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--logs", default=",".join([*SHAPES, *FOLDERS]))
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args(own)
    failures = runs = 0
    with tempfile.TemporaryDirectory() as made:
        for name in options.logs.split(","):
            folder = folder_of(name, Path(made))
            for model in options.models.split(",") if folder else []:
                for seed in range(options.seeds):
                    verdict, figures = run(folder, model, seed, flags)
                    runs, failures = runs + 1, failures + (verdict != "ok")
                    print(f"{name:22} {model:17} {seed}  {verdict:9} {figures}", flush=True)
    print(f"{failures} of {runs} runs failed")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
