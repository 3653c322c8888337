"""Runs set side by side: paired differences, Tables 3 and 5, Figure 2. The command is `compare`.

All runs are judged on the same rankings against the same negatives. So differences are paired: ranking by ranking the AUC
term of one row is taken from that of another, each averaged over its seeds. Their standard error is over users and takes
the seeds as given; how far seeds alone scatter is the ± of the AUC itself.
"""

import json
from typing import NamedTuple

import numpy as np

from ..errors import DataError
from ..metrics import auc, nan_to_none, standard_error
from ..runs.folder import SCHEMA_VERSION
from ..text import markdown
from .report import by_length


class Runs(NamedTuple):
    """The seeds of one row: reports, metrics, AUC terms of every ranking [seeds, S], and what was ranked [S, …]."""

    label: str
    reports: list
    curves: list  # for each seed the columns of metrics.csv by name
    each: np.ndarray
    tested: dict  # user, group, length, candidates

    def at(self, places):
        """The same with some of the rankings only."""
        return self._replace(each=self.each[:, places], tested={name: v[places] for name, v in self.tested.items()})

    def of_group(self, group):
        """The same with the rankings of one target group, by its index."""
        return self.at(self.tested["group"] == group)


def read_runs(label, folders):
    """Runs from finished run folders that differ in the seed. DataError for one that is damaged."""
    reports, curves, tests = zip(*map(_read_run, folders))
    for tested in tests[1:]:
        judged_alike(label, tested, label, tests[0])
    each = np.stack([auc(tested.pop("scores")).each for tested in tests])
    return Runs(label, list(reports), list(curves), each, tests[0])


def _read_run(folder):
    try:
        report = json.loads((folder / "report.json").read_text())
        if report["schema_version"] != SCHEMA_VERSION:
            raise ValueError("schema_version")
        header, *rows = (folder / "metrics.csv").read_text().splitlines()
        curve = dict(zip(header.split(","), np.array([row.split(",") for row in rows], float).T, strict=True))
        return report, curve, dict(np.load(folder / "test_scores.npz"))
    except Exception as fault:  # one wrong byte can end in nearly any of them
        raise DataError(f"{folder}: not a whole run ({type(fault).__name__}); remove it, and it is trained again") from None


def judged_alike(label, tested, other_label, other):
    """DataError unless two runs have ranked the same candidates for the same users."""
    for name in ("user", "group", "candidates"):
        if not np.array_equal(tested[name], other[name]):
            raise DataError(f"{label} and {other_label} were judged on different rankings: the data have changed "
                            "between their runs; choose another --out")  # fmt: skip


def paired_difference(runs, reference):
    """Mean over the rankings of the difference of two rows' AUC terms, and its standard error over users (None for one)."""
    judged_alike(runs.label, runs.tested, reference.label, reference.tested)
    difference = runs.each.mean(axis=0) - reference.each.mean(axis=0)
    return float(difference.mean()), nan_to_none(standard_error(difference, runs.tested["user"]))


def cell(runs, reference):
    """The figures of a cell: AUC of every seed, and the paired difference; none for the reference itself."""
    difference, se = (None, None) if runs is reference else paired_difference(runs, reference)
    return {"rankings": runs.each.shape[1], "auc": runs.each.mean(axis=1).tolist(), "difference": difference, "se": se}


def mean_and_sd(cell):
    return f"{np.mean(cell['auc']):.4f}" + (f" ± {np.std(cell['auc'], ddof=1):.4f}" if len(cell["auc"]) > 1 else "")


def behind(cell):
    """The difference in words."""
    if cell["difference"] is None:
        return ""
    return f"{cell['difference']:+.4f}" + ("" if cell["se"] is None else f" ± {cell['se']:.4f}")


def with_difference(cell, auc=mean_and_sd):
    return auc(cell) + (f" ({behind(cell)})" if behind(cell) else "")


def protocol(runs, label):
    """What the numbers are, in words."""
    report = runs.reports[0]
    return (
        f"{'Validation' if report['config']['validate'] else 'Test'} AUC at the end of training: mean ± standard deviation over "
        f"{len(runs.reports)} seeds; negatives: {report['negatives']}; {report['tie_rule']}. "
        f"Differences to {label}: user by user, seeds averaged, ± 1 standard error over users, for these seeds."
    )


def table(results, reference):
    """Table 3 and the AUC by history length, of row -> Runs: -> Markdown and figures."""
    figures, lines, evaluations, report = {}, [], len(reference.curves[0]["step"]), reference.reports[0]
    buckets = [(label, places, reference.at(places)) for label, places in by_length(reference.tested["length"])]
    claims = any(row.claim for row in results)
    by_numpy = [row.label for row, runs in results.items() if runs.reports[0]["backend"] == "numpy" != report["backend"]]
    for row, runs in results.items():
        mean = lambda name, reports=runs.reports: float(np.mean([report[name] for report in reports]))
        own = figures[row.name] = cell(runs, reference)
        own |= {name: mean(name) for name in ("swapped_history_auc", "samples_per_second", "seconds")}
        reached = [curve["seconds"][curve["test_auc"] >= 0.99 * curve["test_auc"][-1]][0] for curve in runs.curves]
        own["seconds_to_99"] = float(np.mean(reached))
        own["by_length"] = {
            label: cell(there if runs is reference else runs.at(places), there) for label, places, there in buckets
        }
        speed = [f"{own[name]:,.0f}" for name in ("samples_per_second", "seconds", "seconds_to_99")]
        flags = [f"`{' '.join(row.flags)}`" if row.flags else "", row.claim] if claims else []
        lines.append([row.label, mean_and_sd(own), behind(own), f"{own['swapped_history_auc']:.4f}", *speed, *flags])
    header = ["model", "AUC", "difference", "histories swapped", "samples/s", "seconds", "seconds to 99 %", "flags", "the paper"]
    controls = {"popularity alone": "popularity_auc", "is it in the history": "in_history_auc",
                "features shared with the history, then popularity": "features_shared_auc",
                "ceiling": "ceiling_auc"}  # fmt: skip
    controls = [f"{what} {report[name]:.4f}" for what, name in controls.items() if report[name] is not None]
    mean_only = lambda cell: f"{np.mean(cell['auc']):.4f}"
    lengths = [
        [label, str(len(places)), *(with_difference(own["by_length"][label], mean_only) for own in figures.values())]
        for label, places, _ in buckets
    ]
    return "\n\n".join([
        markdown(header[: len(lines[0])], lines),
        f"{protocol(reference, reference.label)} {report['test_users']} users. Seconds are of training; to 99 %: until the first "
        f"of the {evaluations} evaluations that reaches 99 % of the final AUC."
        + (f" The speed of {', '.join(by_numpy)} is that of NumPy, and says nothing." if by_numpy else ""),
        f"Controls: {', '.join(controls)}.",
        markdown(["behaviours in the history", "rankings", *(runs.label for runs in results.values())], lengths),
    ]), figures  # fmt: skip


def task_table(results):
    """Table 5, of task -> group -> Runs with the rankings of that group: -> Markdown and figures."""
    reference = results["ATRank one2one"]
    figures = {task: {g: cell(runs, reference[g]) for g, runs in of.items()} for task, of in results.items()}
    lines = [[task, *map(with_difference, of.values())] for task, of in figures.items()]
    controls = {"ceiling one2one": ("ATRank one2one", "ceiling_auc"), "ceiling all2one": ("ATRank all2one", "ceiling_auc"),
                "popularity alone": ("ATRank one2one", "popularity_auc")}  # fmt: skip
    for label, (task, name) in controls.items():
        values = {g: runs.reports[0][name] for g, runs in results[task].items()}
        if None not in values.values():  # only a simulator knows a ceiling
            figures[label] = values
            lines.append([label, *(f"{value:.4f}" for value in values.values())])
    lines.append(["test users", *(str(runs.each.shape[1]) for runs in reference.values())])
    text = protocol(next(iter(reference.values())), "ATRank one2one")
    return f"{markdown(['model and task', *reference], lines)}\n\n{text}", figures
