"""Trains models under one protocol and compares them: `python -m atrank_np.compare [--data DIR]`.

Table 3 and Figure 2 of the paper; with `--tasks` Table 5, with `--variants` its claims about the parts of ATRank. Every
(row, seed) is a run folder below --out, as `train` makes it. A finished run is not trained again, a stopped one goes on.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import cli
from .comparison import ATRANK, EVALUATIONS, ONE_CHANGE, TABLE_3, chosen, run_all, task_rows
from .datasets.folder import default_data, find_data
from .datasets.schema import Schema
from .errors import DataError
from .evaluation.paired import Row, table, task_table
from .evaluation.plots import draw_comparison
from .runs.files import write_text
from .train_flags import given_flags


def parser() -> cli.Parser:
    p = cli.Parser(
        prog="python -m atrank_np.compare",
        description="Train ATRank and its competitors under one protocol: Table 3, Figure 2, AUC by history length. "
        "A finished run is not trained again, and a stopped one goes on.",
        epilog="All other flags are those of train, and hold for all runs: --data, --features, --validate, --epochs, … "
        f"(python -m atrank_np.train --help). A run computes the AUC {EVALUATIONS} times unless --evaluations says otherwise.",
        allow_abbrev=False,
    )
    competitors = ", ".join(row.name for row in TABLE_3)
    p.add_argument(
        "--models",
        metavar="A,B",
        help=f"competitors of ATRank: {competitors} (default: all; with --tasks, all but bpr_mf, which has no history, "
        "and other forms of ATRank)",
    )
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
        help=f"ATRank with one change at a time, some of {changes} (default: all; raw_query and authors need features that "
        "are together as wide as the model)",
    )
    return p


def main(arguments: Sequence[str]) -> int:
    options, shared = parser().parse_known_args(arguments)
    given = given_flags(shared)
    _check(options, given)
    data = find_data(given.get("data", default_data()))
    out = Path(options.out or f"runs/compare-{data.resolve().name}")
    plan = Plan(options.seeds, out, ["--evaluations", str(EVALUATIONS), *shared])
    if options.tasks:
        text, figures = compare_tasks(plan, _competitors(options), data, given)
        name = "table5"
    elif options.variants is None:
        text, figures = compare_rows(plan, [*_competitors(options), ATRANK], picture="figure2")
        name = "table3"
    else:
        text, figures = compare_rows(plan, [ATRANK, *chosen("--variants", options.variants, ONE_CHANGE)], picture="variants")
        name = "variants"
    write_text(out / f"{name}.md", text + "\n")
    write_text(out / f"{name}.json", json.dumps(figures, indent=2, allow_nan=False) + "\n")
    print(text)
    return 0


def _check(options: argparse.Namespace, given: dict[str, Any]) -> None:
    """DataError for flags that do not go together."""
    for name in ("model", "variant", "seed", "resume"):
        if name in given:
            raise DataError(f"--{name}: every run has its own (see python -m atrank_np.compare --help)")
    if options.seeds < 1:
        raise DataError(f"--seeds: expected at least 1, got {options.seeds}")
    if options.variants is not None and options.models is not None:
        raise DataError("--models: chooses competitors, and --variants compares none; leave out one of the two")


def _competitors(options: argparse.Namespace) -> list[Row]:
    """Those of --models, by default all; with --tasks, those that Table 5 has."""
    if options.models is not None:
        return chosen("--models", options.models, TABLE_3)
    return [row for row in TABLE_3 if not (options.tasks and row.name in ("bpr_mf", "printed", "top_n"))]


class Plan(NamedTuple):
    """What all runs of a comparison share."""

    seeds: int
    out: Path
    flags: list[str]  # of train


def compare_rows(plan: Plan, rows: Sequence[Row], picture: str) -> tuple[str, dict[str, Any]]:
    """Table 3, or the table of the variants, with its picture. -> Markdown and figures."""
    results, diverged = run_all(rows, plan.seeds, plan.out, plan.flags, needed=[ATRANK], top_n=picture == "figure2")
    text, figures = table(results, results[ATRANK])
    for row, why in diverged.items():
        text += f"\n\nWithout figures: {row.label} ({why})."
    draw_comparison(plan.out / f"{picture}.png", results.values(), results[ATRANK])
    return text, figures


def compare_tasks(plan: Plan, competitors: Sequence[Row], data: Path, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Table 5 on a data folder. given: flags of train. -> Markdown and figures."""
    schema = Schema.load(data, given.get("columns"))
    history = given.get("history", schema.history)
    targets = given.get("target", history)
    for name in targets:
        if name not in history:  # else only one2one would drop the repeated targets of this group
            raise DataError(f"--tasks: expected --target among the groups of --history, got {name!r}")
    tasks = task_rows([*competitors, ATRANK], history, targets)
    every = list(dict.fromkeys(row for by_group in tasks.values() for row in by_group.values()))
    results, _ = run_all(every, plan.seeds, plan.out, plan.flags, needed=every)
    cells = {}
    for task, by_group in tasks.items():
        cells[task] = {name: results[row].of_group(schema.index(name)) for name, row in by_group.items()}
    return task_table(cells)


if __name__ == "__main__":
    cli.run(main)
