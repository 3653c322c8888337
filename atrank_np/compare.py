"""Trains models under one protocol and sets them side by side: `python -m atrank_np.compare [--data DIR]`.

Table 3 and Figure 2 of the paper; with `--tasks` Table 5, with `--variants` its claims about the parts of ATRank. Every
(row, seed) is a run folder below --out as `train` makes it; a finished one is not trained again, a stopped one goes on.
"""

import contextlib
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

from . import cli, train
from .assembly import digest_of_events, digest_of_features, load
from .config import LABELS, MODELS
from .datasets.folder import default_data, find_data
from .datasets.schema import Schema
from .errors import DataError, Diverged
from .evaluate import read_data, read_schema
from .models.variants import VARIANTS
from .tables import draw, read_runs, table, task_table

EVALUATIONS = 40  # in a run: Figure 2 wants to see the first epoch, in which a competitor may have its best


class Row(NamedTuple):
    """A row of a table: the flags of train that make it, and the name of its run folders."""

    name: str
    label: str
    flags: tuple
    claim: str = ""  # what the paper says of it


ATRANK = Row("atrank", "ATRank", ())
COMPETITORS = [Row(name, LABELS[name], ("--model", name)) for name in MODELS if name != "atrank"]
TABLE_3 = [*COMPETITORS, Row("residual", "ATRank + residual", ("--variant", "residual"))]
CLAIMS = {"no_self_attention": "worse", "no_time": "worse", "continuous_time": "worse than buckets",
          "residual": "has none; the authors' code has one, with a layer norm"}  # fmt: skip
ONE_CHANGE = [
    Row("one_space", "one space", ("--spaces", "1"), "worse than eight"),
    Row("pairwise", "pair-wise loss", ("--loss", "pair"), "worse than point-wise"),
    Row("deep", "deep f", ("--ranking", "deep"), "possible too"),
    Row("paper", "the paper's numbers", ("--paper",), "its own"),
    Row("no_item_bias", "no item bias", ("--no-item-bias",), "has none; the authors' code has one"),
    Row("negatives_once", "negatives drawn once", ("--negatives-once",), "not said; so in the authors' code"),
    Row("clip", "gradients clipped", ("--clip", "5"), "not said; so in the authors' code"),
    *(Row(name, name.replace("_", " "), ("--variant", name), CLAIMS.get(name, "otherwise; so in the authors' code"))
      for name in VARIANTS if name),
]  # fmt: skip


def run_all(rows, seeds, out, shared, needed):
    """Trains every row with every seed and reads what they leave: row -> Runs, and row -> why it is missing.

    A row of which a run diverges goes without figures, so that the others have theirs; not so if it is one of `needed`.
    """
    diverged = {}
    data, _ = train.settings(train.parse(shared))
    log, _ = read_data(data)
    digests = digest_of_events(log), digest_of_features(log)
    todo = [(row, seed) for seed in range(seeds) for row in rows]
    for i, (row, seed) in enumerate(todo, 1):
        if row in diverged:
            continue
        flags = [*row.flags, "--seed", str(seed)]
        print(f"[{i}/{len(todo)}] {row.label}: {' '.join(flags)}", file=sys.stderr)
        try:
            train_or_resume(out / f"{row.name}-{seed}", [*shared, *flags], digests)
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(f"{str(stop).split(';')[0] or 'stopped'}; the same command goes on") from None
        except Diverged as fault:
            if row in needed:
                raise
            diverged[row] = f"seed {seed}, {str(fault).split(':')[0]}"
            print(f"{row.label}: {diverged[row]}", file=sys.stderr)
    folders = lambda row: [out / f"{row.name}-{seed}" for seed in range(seeds)]
    return {row: read_runs(row.label, folders(row)) for row in rows if row not in diverged}, diverged


def train_or_resume(folder, arguments, digests):
    """Leaves a finished run in a folder, whatever of it is there already. DataError if that is another run, or one on
    other data than those of these digests (of events and features)."""
    data, config = train.settings(train.parse(arguments))
    path, wanted = folder / "config.json", train.config_text(data, config)
    without_threads = lambda text: re.sub(r'"threads": \d+', "", text)  # no bit depends on their number
    if path.exists() and without_threads(path.read_text()) != without_threads(wanted):
        raise DataError(f"{folder}: holds a run with other settings; choose another --out, or remove it")
    if all((folder / name).exists() for name in train.FILES):
        held = load(folder)
        if (held.events, held.features) != digests or held.schema != read_schema(data):
            raise DataError(f"{folder}: the data or their schema have changed since this run; choose another --out, or remove it")
        return
    if (folder / "model.npz").exists():
        quiet = ["--quiet"] if "--quiet" in arguments else []
        arguments = ["--resume", str(folder), "--threads", str(config.threads), *quiet]
    else:
        arguments = [*arguments, "--out", str(folder)]
    with contextlib.redirect_stdout(sys.stderr):  # stdout is the tables'
        train.main(arguments)


def task_rows(models, history, targets):
    """Table 5: task -> group -> Row. all2all is one model for all groups, the other tasks take a model each."""

    def row(model, task, past, ranked):
        flags = (*model.flags, "--history", past, "--target", ranked)
        return Row(f"{model.name}-{task}", f"{model.label} {task}", flags)

    every, ranked = ",".join(history), ",".join(targets)
    tasks = {f"{model.label} one2one": {g: row(model, f"one2one-{g}", g, g) for g in targets} for model in models}
    tasks["ATRank all2one"] = {g: row(ATRANK, f"all2one-{g}", every, g) for g in targets}
    tasks["ATRank all2all"] = dict.fromkeys(targets, row(ATRANK, "all2all", every, ranked))
    return tasks


def parser():
    p = cli.Parser(
        prog="python -m atrank_np.compare",
        description="Train ATRank and its competitors under one protocol: Table 3, Figure 2, AUC by history length. "
        "What is there already, finished or stopped, is not trained again.",
        epilog="Any other flag is one of train's and holds for all runs: --data, --features, --validate, --epochs, … "
        f"(python -m atrank_np.train --help). AUCs are taken {EVALUATIONS} times in a run unless --evaluations says otherwise.",
        allow_abbrev=False,
    )
    p.add_argument("--models", metavar="A,B", help="competitors of ATRank: " + ", ".join(row.name for row in TABLE_3)
                   + " (default: all; with --tasks, all but bpr_mf, which has no history, and residual)")  # fmt: skip
    p.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each row, seeds 0 to N-1 (default: 3)")
    p.add_argument("--out", metavar="DIR", help="folder of the tables and of all runs (default: runs/compare-NAME)")
    kind = p.add_mutually_exclusive_group()
    kind.add_argument(
        "--tasks",
        action="store_true",
        help="Table 5: each group of --target (default: all of --history) ranked "
        "from its own history (one2one), from all (all2one), and by one model for all groups (all2all)",
    )
    changes = ",".join(row.name for row in ONE_CHANGE)
    kind.add_argument(
        "--variants",
        nargs="?",
        const=changes,
        metavar="A,B",
        help=f"ATRank with one thing changed at a time; of "
        f"{changes} (default: all; raw_query and authors need features that are together as wide as the model)",
    )
    return p


def main(arguments):
    options, shared = parser().parse_known_args(arguments)
    given = train.given_flags(shared)
    for name in ("model", "variant", "seed", "resume"):
        if name in given:
            raise DataError(f"--{name}: every run has its own (see python -m atrank_np.compare --help)")
    if options.seeds < 1:
        raise DataError(f"--seeds: expected at least 1, got {options.seeds}")
    if options.variants is not None and options.models is not None:
        raise DataError("--models: chooses competitors, which --variants has none of")
    if options.variants is not None:
        rows = [ATRANK, *chosen("--variants", options.variants, ONE_CHANGE)]
    else:
        every = [row.name for row in TABLE_3 if not (options.tasks and row.name in ("bpr_mf", "residual"))]
        rows = [*chosen("--models", ",".join(every) if options.models is None else options.models, TABLE_3), ATRANK]
    folder = find_data(given.get("data", default_data()))
    out = Path(options.out or f"runs/compare-{folder.resolve().name}")
    train_all = lambda rows, needed: run_all(rows, options.seeds, out, ["--evaluations", str(EVALUATIONS), *shared], needed)
    if options.tasks:
        schema = Schema.load(folder)
        history = given["history"].split(",") if "history" in given else schema.history
        targets = given["target"].split(",") if "target" in given else history
        for name in [name for name in targets if name not in history]:  # its repeats would be dropped in one2one alone
            raise DataError(f"--tasks: expected --target among the groups of --history, got {name!r}")
        tasks = task_rows(rows, history, targets)
        every = list(dict.fromkeys(row for of in tasks.values() for row in of.values()))
        results, _ = train_all(every, needed=every)
        cells = {task: {g: results[row].of_group(schema.index(g)) for g, row in of.items()} for task, of in tasks.items()}
        name, (text, figures) = "table5", task_table(cells)
    else:
        results, diverged = train_all(rows, needed=[ATRANK])
        name, (text, figures) = "table3" if options.variants is None else "variants", table(results, results[ATRANK])
        text += "".join(f"\n\nWithout figures: {row.label} ({why})." for row, why in diverged.items())
        draw(out / f"{'figure2' if options.variants is None else 'variants'}.png", results.values(), results[ATRANK])
    train.write_text(out / f"{name}.md", text + "\n")
    train.write_text(out / f"{name}.json", json.dumps(figures, indent=2, allow_nan=False) + "\n")
    print(text)
    return 0


def chosen(option, names, rows):
    """The rows that a list of names stands for; ATRank, which is always there, may be named too."""
    names, known = names.split(","), [row.name for row in rows]
    for name in names:
        if name not in [*known, ATRANK.name]:
            raise DataError(f"{option}: expected some of {', '.join(known)}, got {name!r}")
    return [row for row in rows if row.name in names]


if __name__ == "__main__":
    cli.run(main)
