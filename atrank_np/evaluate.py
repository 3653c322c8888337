"""Scores a trained run on its test events: `python -m atrank_np.evaluate RUN`."""

import json

import numpy as np

from . import cli
from .datasets.protocol import Protocol
from .errors import DataError
from .evaluation.ranking import full_ranks
from .evaluation.report import auc_by_length, describe, report_of
from .evaluation.scoring import score
from .metrics import rank_metrics
from .runs.folder import open_run


def parser():
    p = cli.Parser(
        prog="python -m atrank_np.evaluate",
        description="Score a trained run on its test events again, with its controls.",
    )
    p.add_argument("run", metavar="RUN", help="the folder that train wrote")
    p.add_argument("--data", metavar="DIR", help="the data folder, if it has moved since")
    p.add_argument(
        "--full",
        action="store_true",
        help="rank the whole catalogue for every test user: HR@10, NDCG@10; and the AUC by length of the history",
    )
    p.add_argument("--users", type=int, metavar="N", help="with --full: the first N test users only")
    p.add_argument("--backend", choices=("numpy", "numba"), help="how to compute (default: as the run did)")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(arguments):
    options = parser().parse_args(arguments)
    if options.users is not None and options.users < 1:
        raise DataError(f"--users: expected at least 1, got {options.users}")
    if options.users is not None and not options.full:
        raise DataError("--users: says how many are ranked with --full; expected that too")
    trained, log, world = open_run(options.run, options.data)
    protocol = Protocol(log, trained.config)
    backend = trained.backend(backend=options.backend or trained.config.backend)  # not numba for every variant
    task = protocol.task
    scores = score(backend, protocol, task)
    report = report_of(backend, protocol, task, scores, world)
    lines = describe(report, trained.config.validate)
    if options.full:
        rows = auc_by_length(scores, protocol.test)
        report["auc_by_length"] = [dict(zip(("length", "rankings", "auc", "se"), row)) for row in rows]
        lines.append("AUC by behaviours in the history")
        lines += [f"  {label:>7} {value:.4f} ± {'-' if se is None else f'{se:.4f}'} ({n})" for label, n, value, se in rows]
        users = np.unique(protocol.test.user)[: options.users]
        some = protocol.test.take(np.isin(protocol.test.user, users))
        report |= rank_metrics(full_ranks(backend, protocol, some, show=not options.json))
        report["ranked_users"] = len(users)
        lines.append(
            f"whole catalogue, {len(some.user)} positives of {len(users)} users: HR@10 {report['hr@10']:.4f}, "
            f"NDCG@10 {report['ndcg@10']:.4f}"
        )
    print(json.dumps(report, indent=2) if options.json else "\n".join(lines))
    return 0


if __name__ == "__main__":
    cli.run(main)
