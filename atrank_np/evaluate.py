"""Scores a trained run on its test events: `python -m atrank_np.evaluate RUN`."""

import argparse
import json
from collections.abc import Sequence

import numpy as np

from . import cli
from .config import CHOICES
from .datasets.protocol import Protocol
from .datasets.samples import Samples
from .errors import DataError
from .evaluation.ranking import full_ranks
from .evaluation.report import LengthRow, auc_by_length, describe, report_of
from .evaluation.scoring import score
from .metrics import rank_metrics
from .runs.folder import note_unfinished, open_run


def parser() -> cli.Parser:
    p = cli.Parser(
        prog="python -m atrank_np.evaluate", description="Score a trained run on its test events again, with its controls."
    )
    p.add_argument("run", metavar="RUN", help="the folder that train wrote")
    p.add_argument("--data", metavar="DIR", help="the data folder, if it has moved since")
    p.add_argument(
        "--full",
        action="store_true",
        help="rank the whole catalogue for every test user: hit rate, NDCG, MRR; and the AUC by length of the history",
    )
    p.add_argument(
        "--at",
        metavar="K,K",
        type=cli.numbers,
        default="10",
        help="with --full: each k of HR@k, recall@k and NDCG@k (default: %(default)s)",
    )
    p.add_argument("--users", type=int, metavar="N", help="with --full: the first N test users only")
    p.add_argument("--backend", choices=CHOICES["backend"], help="how to compute (default: as the run did)")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    _check(options)
    trained, log, world = open_run(options.run, options.data)
    note_unfinished(options.run, trained)
    protocol = Protocol(log, trained.config)
    backend = trained.backend(backend=options.backend or trained.config.backend)  # numba cannot compute every variant
    task = protocol.task
    scores = score(backend, protocol, task)
    report = report_of(backend, protocol, task, scores, world)
    lines = describe(report, trained.config.validate)
    if options.full:
        tests = Samples(*map(protocol.holders.stack, protocol.test))
        rows = auc_by_length(protocol.holders.stack(scores), tests)
        report["auc_by_length"] = [row._asdict() for row in rows]
        lines += ["AUC by behaviours in the history", *map(_length_in_words, rows)]
        users = np.unique(tests.user)[: options.users]
        some = protocol.test.take(np.isin(protocol.test.user, users))
        places = full_ranks(backend, protocol, some, show=not options.json)
        metrics = rank_metrics(places, options.at)
        report |= metrics | {"ranked_users": len(users)}
        words = ", ".join(f"{name.upper()} {metrics[name]:.4f}" for name in metrics if not name.startswith("recall"))
        lines.append(f"whole catalogue, {len(places)} positives of {len(users)} users: {words}")
    print(json.dumps(report, indent=2) if options.json else "\n".join(lines))
    return 0


def _check(options: argparse.Namespace) -> None:
    """DataError for flags that do not go together."""
    if options.users is not None and options.users < 1:
        raise DataError(f"--users: expected at least 1, got {options.users}")
    if options.users is not None and not options.full:
        raise DataError("--users: expected --full beside it")


def _length_in_words(row: LengthRow) -> str:
    error = "-" if row.se is None else f"{row.se:.4f}"
    return f"  {row.length:>7} {row.auc:.4f} ± {error} ({row.rankings})"


if __name__ == "__main__":
    cli.run(main)
