"""The test figures of a run: as a dict, and in words."""

import numpy as np

from ..backend import Backend
from ..datasets.packing import bucketize
from ..datasets.protocol import Protocol
from ..datasets.samples import Task
from ..datasets.shop_ceiling import ceiling
from ..datasets.shop_world import World
from ..metrics import auc, nan_to_none
from .controls import features_shared, in_history, swapped
from .scoring import score


def report_of(backend: Backend, protocol: Protocol, task: Task, scores: np.ndarray, world: World | None = None) -> dict:
    """The test figures of a model and the controls that belong beside them, as a dict of report.json's names.

    scores: what `score` gives for the task, [S, 1+R].
    """
    log, groups = protocol.log, task.samples.group
    whole = auc(scores, task.samples.user)
    best = None if world is None else ceiling(world, log, task.samples.user, task.samples.time, groups, task.candidates)
    by_group = {}
    for g in np.unique(groups):
        own = auc(scores[groups == g])
        by_group[protocol.schema.groups[g].name] = {
            "auc": own.mean,
            "se": nan_to_none(own.se),
            "users": len(own.each),
            "ceiling": None if best is None else auc(best[groups == g]).mean,
        }
    popularity = np.empty(task.candidates.shape)
    for g in np.unique(groups):
        popularity[groups == g] = protocol.popularity[g][task.candidates[groups == g]]
    return {
        "test_auc": whole.mean,
        "test_auc_se": nan_to_none(whole.se),
        "test_auc_by_group": by_group,
        "test_users": int(len(np.unique(task.samples.user))),
        "test_rankings": len(groups),
        "negatives": _negatives_in_words(task),
        "tie_rule": "a tie counts 1/2",
        "popularity_auc": auc(popularity).mean,
        "swapped_history_auc": auc(score(backend, protocol, task._replace(samples=swapped(task.samples)))).mean,
        "in_history_auc": auc(in_history(protocol, task)).mean,
        # Where two candidates share as much, the more popular one: shares differ by more than a millionth.
        "features_shared_auc": auc(features_shared(protocol, task) + 1e-6 * popularity / (1 + popularity.max())).mean,
        "ceiling_auc": None if best is None else auc(best).mean,
    }


def _negatives_in_words(task):
    each = f"{task.candidates.shape[1] - 1} per positive"
    shown = "".join(f"what he was shown of {name} and never took, for want of it ({n}) " for name, n in task.uniform.items())
    return f"{each}, {shown}uniform over objects that the user never touches"


def describe(report, validate):
    """The test figures in words: a list of lines."""
    number = lambda value: "-" if value is None else f"{value:.4f}"
    lines = [
        f"{'validation' if validate else 'test'} AUC {number(report['test_auc'])} ± {number(report['test_auc_se'])} "
        f"(1 s.e., {report['test_rankings']} positives of {report['test_users']} users, negatives: {report['negatives']}; "
        f"{report['tie_rule']})"
    ]
    if len(report["test_auc_by_group"]) > 1:
        for name, own in report["test_auc_by_group"].items():
            best = "" if own["ceiling"] is None else f", ceiling {number(own['ceiling'])}"
            lines.append(f"  {name}: {number(own['auc'])} ± {number(own['se'])} ({own['users']} users{best})")
    controls = {"popularity alone": "popularity_auc", "histories swapped": "swapped_history_auc",
                "is it in the history": "in_history_auc", "features shared with it": "features_shared_auc",
                "ceiling": "ceiling_auc"}  # fmt: skip
    return [*lines, "controls", "  " + "    ".join(f"{what} {number(report[name])}" for what, name in controls.items())]


def by_length(length):
    """Histories of 0, 1, 2-3, 4-7, … behaviours: yields (label, the places in `length` [S] where they stand)."""
    bucket = bucketize(length, 1, 64)
    for b in np.unique(bucket):
        low, high = (0, 0) if b == 0 else (2 ** (b - 1), 2**b - 1)
        yield str(low) if low == high else f"{low}-{high}", np.flatnonzero(bucket == b)


def auc_by_length(scores, samples):
    """A list of (label, rankings, AUC, standard error)."""
    rows = []
    for label, places in by_length(samples.end - samples.start):
        own = auc(scores[places], samples.user[places])
        rows.append((label, len(places), own.mean, nan_to_none(own.se)))
    return rows


def describe_run(report):
    """The report in words, for the terminal."""
    peak = report["peak_rss_mb"]
    lines = [
        *describe(report, report["config"]["validate"]),
        f"trained on {report['train_samples']} samples (positives and negatives) x {report['epochs']} epochs in "
        f"{report['seconds']:.1f} s ({report['samples_per_second']:.0f} samples/s, "
        f"compiling {report['compile_seconds']:.1f} s apart)" + (f", peak memory {peak:.0f} MB" if peak else ""),
    ]
    counted = [f"{n} {what}" for what, n in report["counted"].items() if n]
    if counted:
        lines.append("counted: " + "; ".join(counted))
    return "\n".join(lines)
