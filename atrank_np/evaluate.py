"""Scores a trained run on its test events: `python -m atrank_np.evaluate RUN`."""

import json
from dataclasses import replace

import numpy as np

from . import cli
from .backend import make_backend
from .datasets.protocol import split
from .errors import DataError, checked
from .evaluation.ranking import full_ranks
from .evaluation.report import auc_by_length, describe, test_report
from .evaluation.scoring import score, test_task
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
    # A variant may be unknown to numba.
    config = checked(replace, trained.config, backend=options.backend or trained.config.backend)
    parts = split(log, config.cap, config.validate)
    backend = make_backend(trained.model(), trained.params, config, trained.step, trained.table_scale)
    task = test_task(log, parts.test, config)
    scores = score(backend, log.schema, parts.events, task)
    report = test_report(backend, log, parts, task, scores, world)
    lines = describe(report, config.validate)
    if options.full:
        rows = auc_by_length(scores, parts.test)
        report["auc_by_length"] = [dict(zip(("length", "rankings", "auc", "se"), row)) for row in rows]
        lines.append("AUC by behaviours in the history")
        lines += [f"  {label:>7} {value:.4f} ± {'-' if se is None else f'{se:.4f}'} ({n})" for label, n, value, se in rows]
        users = np.unique(parts.test.user)[: options.users]
        some = parts.test.take(np.isin(parts.test.user, users))
        report |= rank_metrics(full_ranks(backend, log.schema, parts, some, show=not options.json))
        report["ranked_users"] = len(users)
        lines.append(
            f"whole catalogue, {len(some.user)} positives of {len(users)} users: HR@10 {report['hr@10']:.4f}, "
            f"NDCG@10 {report['ndcg@10']:.4f}"
        )
    print(json.dumps(report, indent=2) if options.json else "\n".join(lines))
    return 0


if __name__ == "__main__":
    cli.run(main)
