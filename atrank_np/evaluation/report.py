"""The test figures of a run: as a dict, and in words."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Floats, Ints
from ..backend import Backend
from ..datasets.packing import bucketize
from ..datasets.protocol import Protocol
from ..datasets.samples import Samples, Task
from ..datasets.shop_ceiling import ceiling
from ..datasets.shop_world import World
from ..metrics import auc, nan_to_none
from .controls import features_shared, in_history, swapped
from .scoring import score

DEAD = 1e-3  # share of the scores' variance below which a model does not read its histories


def report_of(
    backend: Backend, protocol: Protocol, task: Task, scores: Floats, world: World | None = None
) -> dict[str, Any]:  # [S,1+R]
    """The test figures of a model and the controls that belong beside them, by their names in report.json.

    scores: what `score` gives for the task. world: the simulator that made the log, for the ceiling. If the log is partitioned,
    each rank gives its own, and gets the figures of all.
    """
    log, groups = protocol.log, task.samples.group
    popularity = np.empty(task.candidates.shape)
    for g in np.unique(groups):
        popularity[groups == g] = protocol.popularity[g][task.candidates[groups == g]]
    # Popularity decides between equal shares only: it adds less than a millionth, and different shares differ by more.
    most = max(int(count.max(initial=0)) for count in protocol.popularity)
    own = [
        scores,
        score(backend, protocol, task._replace(samples=swapped(task.samples, protocol.part_of(task.samples)))),
        popularity,
        in_history(protocol, task),
        features_shared(protocol, task) + 1e-6 * popularity / (1 + most),
    ]
    if world is not None:
        own.append(ceiling(world, log, task.samples.user, task.samples.time, groups, task.candidates))
    user, groups = protocol.holders.stack(task.samples.user), protocol.holders.stack(groups)
    scores, other, popularity, repeated, shared, *best = map(protocol.holders.stack, own)
    whole, by_group = auc(scores, user), {}
    for g in np.unique(groups):
        mine = auc(scores[groups == g])
        by_group[protocol.schema.groups[g].name] = {
            "auc": mine.mean,
            "se": nan_to_none(mine.se),
            "users": len(mine.each),
            "ceiling": auc(best[0][groups == g]).mean if best else None,
        }
    return {
        "test_auc": whole.mean,
        "test_auc_se": nan_to_none(whole.se),
        "test_auc_by_group": by_group,
        "test_users": int(len(np.unique(user))),
        "test_rankings": len(groups),
        "negatives": _negatives_in_words(task, protocol.config.eval_negatives_by),
        "tie_rule": "a tie counts 1/2",
        "popularity_auc": auc(popularity).mean,
        "swapped_history_auc": auc(other).mean,
        # Of the scores' variance, the share that a history makes: 1 if scores with another's history are independent.
        "history_share": float((scores - other).var() / max(2 * scores.var(), 1e-30)),
        "in_history_auc": auc(repeated).mean,
        "features_shared_auc": auc(shared).mean,
        "ceiling_auc": auc(best[0]).mean if best else None,
    }


def _negatives_in_words(task: Task, by: str) -> str:
    drawn = "uniform over" if by == "uniform" else "in proportion to training events, among"
    words = f"{task.candidates.shape[1] - 1} per positive, {drawn} objects that the user never touches"
    for name, n in task.uniform.items():
        words += f"; of {name}, first those that the user was shown and never took ({n} are not, as too few were shown)"
    return words


def describe(report: dict[str, Any], validate: bool) -> list[str]:
    """The test figures in words: lines."""

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    lines = [
        f"{'validation' if validate else 'test'} AUC {number(report['test_auc'])} ± {number(report['test_auc_se'])} "
        f"(1 s.e., {report['test_rankings']} positives of {report['test_users']} users, negatives: {report['negatives']}; "
        f"{report['tie_rule']})"
    ]
    if len(report["test_auc_by_group"]) > 1:
        for name, own in report["test_auc_by_group"].items():
            best = "" if own["ceiling"] is None else f", ceiling {number(own['ceiling'])}"
            lines.append(f"  {name}: {number(own['auc'])} ± {number(own['se'])} ({own['users']} users{best})")
    controls = {
        "popularity alone": "popularity_auc",
        "histories swapped": "swapped_history_auc",
        "is it in the history": "in_history_auc",
        "features shared with it": "features_shared_auc",
        "ceiling": "ceiling_auc",
    }
    if report["test_rankings"] > 1 and report["history_share"] < DEAD:
        lines.append(
            "warning: the scores hardly depend on the history. The model is untrained, or all user vectors have become alike: "
            "then try a lower --learning-rate, --clip 1, or another --seed"
        )
    return [*lines, "controls", "  " + "    ".join(f"{what} {number(report[name])}" for what, name in controls.items())]


def by_length(length: Ints) -> Iterator[tuple[str, Ints]]:  # [S]
    """Groups histories by length: 0, 1, 2-3, 4-7, … behaviours. Yields a label and the places of those histories in `length`."""
    bucket = bucketize(length, 1, 64)
    for b in np.unique(bucket):
        low, high = (0, 0) if b == 0 else (2 ** (b - 1), 2**b - 1)
        yield str(low) if low == high else f"{low}-{high}", np.flatnonzero(bucket == b)


class LengthRow(NamedTuple):
    """The AUC of rankings with histories of about one length."""

    length: str  # such as "4-7"
    rankings: int
    auc: float
    se: float | None  # None for a single user


def auc_by_length(scores: Floats, samples: Samples) -> list[LengthRow]:  # [S,1+R]
    """The AUC by length of the history."""
    rows = []
    for label, places in by_length(samples.end - samples.start):
        own = auc(scores[places], samples.user[places])
        rows.append(LengthRow(label, len(places), own.mean, nan_to_none(own.se)))
    return rows


def describe_run(report: dict[str, Any]) -> str:
    """The report in words, for the terminal."""
    peak = report["peak_rss_mb"]
    lines = [
        *describe(report, report["config"]["validate"]),
        f"trained on {report['train_samples']} samples (positives and negatives) x {report['epochs']} epochs in "
        f"{report['seconds']:.1f} s ({report['samples_per_second']:.0f} samples/s, "
        f"compiling {report['compile_seconds']:.1f} s apart)" + (f", peak memory {peak:.0f} MB" if peak else ""),
    ]
    if kept := report.get("kept"):
        lines.append(
            f"the kept model is that of step {kept['step']}, the best of {kept['evaluations']} evaluations: validation AUC "
            f"{kept['validation_auc']:.4f}, of targets that are neither trained on nor tested"
        )
    counted = [f"{n} {what}" for what, n in report["counted"].items() if n]
    if counted:
        lines.append("counted: " + "; ".join(counted))
    return "\n".join(lines)
