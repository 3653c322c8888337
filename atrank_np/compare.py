"""Trains models under one protocol and sets them side by side: `python -m atrank_np.compare [--data DIR]`.

Table 3 and Figure 2 of the paper; with `--tasks` Table 5, with `--variants` its claims about the parts of ATRank. Every
(row, seed) is a run folder below --out as `train` makes it; a finished one is not trained again, a stopped one goes on.
"""

import json
from pathlib import Path

from . import cli
from .comparison import ATRANK, EVALUATIONS, ONE_CHANGE, TABLE_3, chosen, run_all, task_rows
from .datasets.folder import default_data, find_data
from .datasets.schema import Schema
from .errors import DataError
from .evaluation.paired import table, task_table
from .evaluation.plots import draw_comparison
from .runs.folder import write_text
from .train_flags import given_flags


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
    given = given_flags(shared)
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
        draw_comparison(out / f"{'figure2' if options.variants is None else 'variants'}.png", results.values(), results[ATRANK])
    write_text(out / f"{name}.md", text + "\n")
    write_text(out / f"{name}.json", json.dumps(figures, indent=2, allow_nan=False) + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    cli.run(main)
