"""Runs side by side: paired differences, Tables 3 and 5, Figure 2. The command is `compare`.

All runs are tested on the same rankings with the same negatives. So differences are paired: for each ranking, the AUC term of
one row minus that of another, both averaged over their seeds. The standard error is over users, for the given seeds. The ± of
an AUC itself is its standard deviation from seed to seed.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from ..arrays import Floats, Ints
from ..errors import DataError
from ..metrics import auc, nan_to_none, rank_metrics, standard_error
from ..runs.folder import SCHEMA_VERSION
from ..text import markdown
from .report import by_length

TOP = ("hr@10", "ndcg@10")


class Row(NamedTuple):
    """A row of a table: the flags of train that make it, and the name of its run folders."""

    name: str
    label: str
    flags: tuple[str, ...]
    claim: str = ""  # what the paper says of it


class Runs(NamedTuple):
    """The runs of one row, one for each seed."""

    label: str
    reports: list[dict[str, Any]]
    curves: list[dict[str, Floats]]  # the columns of metrics.csv by name
    each: Floats  # [seeds,S], the AUC term of every ranking
    tested: dict[str, NDArray[Any]]  # user, group, length [S] and candidates [S,1+R]: what was ranked
    ranks: list[Floats] = []  # for each seed [X], places in the whole catalogue; or empty

    def at(self, places: Ints | NDArray[np.bool_]) -> Self:
        """These runs with only some of the rankings."""
        return self._replace(each=self.each[:, places], tested={name: v[places] for name, v in self.tested.items()})

    def of_group(self, group: int) -> Self:
        """These runs with only the rankings of one target group, by its index."""
        return self.at(self.tested["group"] == group)


class Cell(TypedDict):
    """The figures of a cell of a table."""

    rankings: int
    auc: list[float]  # of every seed
    difference: float | None  # to the reference; None for the reference itself
    se: float | None  # of the difference; None for a single user


def read_runs(label: str, folders: Iterable[Path]) -> Runs:
    """Runs from the folders of finished runs that differ in the seed. DataError for a damaged folder."""
    folders = list(folders)
    reports, curves, tests = zip(*map(_read_run, folders))
    for tested in tests[1:]:
        judged_alike(label, tested, label, tests[0])
    each = np.stack([auc(tested.pop("scores")).each for tested in tests])
    found = [folder / "ranks.npz" for folder in folders]  # which `comparison.rank_catalogue` may have written
    ranks = [np.load(path)["rank"] for path in found if path.exists()]
    return Runs(label, list(reports), list(curves), each, tests[0], ranks)


def _read_run(folder: Path) -> tuple[dict[str, Any], dict[str, Floats], dict[str, NDArray[Any]]]:
    """Report, curve, and the arrays of test_scores.npz."""
    try:
        report = json.loads((folder / "report.json").read_text("utf-8"))
        if report["schema_version"] != SCHEMA_VERSION:
            raise ValueError("schema_version")
        header, *rows = (folder / "metrics.csv").read_text("utf-8").splitlines()
        curve = dict(zip(header.split(","), np.array([row.split(",") for row in rows], float).T, strict=True))
        return report, curve, dict(np.load(folder / "test_scores.npz"))
    except Exception as fault:  # one wrong byte can raise nearly any exception
        raise DataError(f"{folder}: not a whole run ({type(fault).__name__}); remove it, and it is trained again") from None


def judged_alike(label: str, tested: Mapping[str, NDArray[Any]], other_label: str, other: Mapping[str, NDArray[Any]]) -> None:
    """DataError unless two runs have ranked the same candidates for the same users."""
    for name in ("user", "group", "candidates"):
        if not np.array_equal(tested[name], other[name]):
            raise DataError(
                f"{label} and {other_label} were judged on different rankings: the data have changed between their runs; "
                "choose another --out"
            )


def paired_difference(runs: Runs, reference: Runs) -> tuple[float, float | None]:
    """Mean over the rankings of the difference of two rows' AUC terms, and its standard error (None for a single user).

    DataError if they have not ranked the same.
    """
    judged_alike(runs.label, runs.tested, reference.label, reference.tested)
    difference = runs.each.mean(axis=0) - reference.each.mean(axis=0)
    return float(difference.mean()), nan_to_none(standard_error(difference, runs.tested["user"]))


def cell(runs: Runs, reference: Runs) -> Cell:
    difference, se = (None, None) if runs is reference else paired_difference(runs, reference)
    return {"rankings": runs.each.shape[1], "auc": runs.each.mean(axis=1).tolist(), "difference": difference, "se": se}


def auc_in_words(cell: Cell, sd: bool = True) -> str:
    """The mean over the seeds; sd: with their standard deviation."""
    several = sd and len(cell["auc"]) > 1
    return f"{np.mean(cell['auc']):.4f}" + (f" ± {np.std(cell['auc'], ddof=1):.4f}" if several else "")


def difference_in_words(cell: Cell) -> str:
    """Empty for the reference."""
    if cell["difference"] is None:
        return ""
    return f"{cell['difference']:+.4f}" + ("" if cell["se"] is None else f" ± {cell['se']:.4f}")


def with_difference(cell: Cell, sd: bool = True) -> str:
    difference = difference_in_words(cell)
    return auc_in_words(cell, sd) + (f" ({difference})" if difference else "")


def protocol_in_words(runs: Runs, label: str) -> str:
    """A description of the numbers in a table."""
    report = runs.reports[0]
    return (
        f"{'Validation' if report['config']['validate'] else 'Test'} AUC at the end of training: mean ± standard deviation over "
        f"{len(runs.reports)} seeds; negatives: {report['negatives']}; {report['tie_rule']}. "
        f"Differences to {label}: user by user, seeds averaged, ± 1 standard error over users, for these seeds."
    )


def table(results: Mapping[Row, Runs], reference: Runs) -> tuple[str, dict[str, dict[str, Any]]]:
    """Table 3 and the AUC by history length: as Markdown, and the figures of each row by its name."""
    figures: dict[str, dict[str, Any]] = {}
    buckets = [(label, places, reference.at(places)) for label, places in by_length(reference.tested["length"])]
    evaluations, report = len(reference.curves[0]["step"]), reference.reports[0]
    claims = any(row.claim for row in results)
    lines = []
    lengths = [[label, str(len(places))] for label, places, _ in buckets]
    for row, runs in results.items():
        own = cell(runs, reference)
        reached = [curve["seconds"][curve["test_auc"] >= 0.99 * curve["test_auc"][-1]][0] for curve in runs.curves]
        means = {
            name: float(np.mean([one[name] for one in runs.reports]))
            for name in ("swapped_history_auc", "samples_per_second", "seconds")
        } | {"seconds_to_99": float(np.mean(reached))}
        top = [rank_metrics(rank, (10,)) for rank in runs.ranks]
        means |= {name: float(np.mean([one[name] for one in top])) for name in TOP if top}
        cells = {}
        for line, (label, places, there) in zip(lengths, buckets):
            cells[label] = cell(there if runs is reference else runs.at(places), there)
            line.append(with_difference(cells[label], sd=False))
        figures[row.name] = {**own, **means, "by_length": cells}
        speed = [f"{means[name]:,.0f}" for name in ("samples_per_second", "seconds", "seconds_to_99")]
        flags = [f"`{' '.join(row.flags)}`" if row.flags else "", row.claim] if claims else []
        swapped = f"{means['swapped_history_auc']:.4f}"
        tops = [f"{means[name]:.4f}" for name in TOP if top]
        lines.append([row.label, auc_in_words(own), difference_in_words(own), swapped, *tops, *speed, *flags])
    tops = [name.upper() for name in TOP if reference.ranks]
    header = ["model", "AUC", "difference", "histories swapped", *tops, "samples/s", "seconds", "seconds to 99 %"]
    header += ["flags", "the paper"] if claims else []
    controls = {
        "popularity alone": "popularity_auc",
        "is it in the history": "in_history_auc",
        "features shared with the history, then popularity": "features_shared_auc",
        "ceiling": "ceiling_auc",
    }
    shown = [f"{what} {report[name]:.4f}" for what, name in controls.items() if report[name] is not None]
    about = (
        f"{protocol_in_words(reference, reference.label)} {report['test_users']} users. Seconds are of training; to 99 %: until "
        f"the first of the {evaluations} evaluations that reaches 99 % of the final AUC."
    )
    if reference.ranks:
        about += f" HR and NDCG: one positive among the whole catalogue, for {len(reference.ranks[0])} of these rankings."
    by_numpy = [row.label for row, runs in results.items() if runs.reports[0]["backend"] == "numpy" != report["backend"]]
    if by_numpy:
        about += f" The speed of {', '.join(by_numpy)} is that of NumPy, so do not compare it with the others."
    length_header = ["behaviours in the history", "rankings", *(runs.label for runs in results.values())]
    parts = [markdown(header, lines), about, f"Controls: {', '.join(shown)}.", markdown(length_header, lengths)]
    return "\n\n".join(parts), figures


def task_table(results: Mapping[str, Mapping[str, Runs]]) -> tuple[str, dict[str, Any]]:
    """Table 5, of task -> group -> Runs with the rankings of that group: as Markdown, and the figures."""
    reference = results["ATRank one2one"]
    figures: dict[str, Any] = {}
    lines = []
    for task, by_group in results.items():
        cells = {g: cell(runs, reference[g]) for g, runs in by_group.items()}
        figures[task] = cells
        lines.append([task, *map(with_difference, cells.values())])
    controls = {
        "ceiling one2one": ("ATRank one2one", "ceiling_auc"),
        "ceiling all2one": ("ATRank all2one", "ceiling_auc"),
        "popularity alone": ("ATRank one2one", "popularity_auc"),
    }
    for label, (task, name) in controls.items():
        values = {g: runs.reports[0][name] for g, runs in results[task].items()}
        if None not in values.values():  # the ceiling is known for simulated data only
            figures[label] = values
            lines.append([label, *(f"{value:.4f}" for value in values.values())])
    lines.append(["test users", *(str(runs.each.shape[1]) for runs in reference.values())])
    text = protocol_in_words(next(iter(reference.values())), "ATRank one2one")
    return f"{markdown(['model and task', *reference], lines)}\n\n{text}", figures
