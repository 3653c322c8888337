"""Trains models under one protocol and sets them side by side: `python -m atrank_np.compare [--data DIR]`.

Table 3 and Figure 2 of the paper; with `--tasks` Table 5, with `--variants` its claims about the parts of ATRank. Every
(row, seed) is a run folder below --out as `train` makes it; a finished one is not trained again, a stopped one goes on.

Differences are paired: all rows are judged on the same rankings against the same negatives, so user by user the AUC of
one is taken from that of the other, each averaged over the seeds. The standard error is over users and takes these seeds
as given; how far seeds alone scatter is the ± of the AUC itself.
"""

import contextlib
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import command, train
from .datasets.schema import DataError, Schema
from .evaluate import auc, by_length


class Row(NamedTuple):
    """A row of a table: flags of train that make it, and the name of its run folders."""

    name: str
    label: str
    flags: tuple
    claim: str = ""  # what the paper says of it


ATRANK = Row("atrank", "ATRank", ())
MODELS = (
    Row("atrank_narrow", "ATRank, narrow", ("--width", "8", "--spaces", "2")),
    ATRANK,
)
VARIANTS = (
    ATRANK,
    Row("one_space", "one space", ("--spaces", "1"), "worse than eight"),
    Row("pairwise", "pair-wise loss", ("--loss", "pair"), "worse than point-wise"),
    Row("deep", "deep f", ("--ranking", "deep"), "an alternative to the dot product"),
    Row("paper", "the paper's numbers", ("--paper",), "as the paper trains"),
    Row("no_item_bias", "no item bias", ("--no-item-bias",), "has none; the authors' code has one"),
    Row("negatives_once", "negatives drawn once", ("--negatives-once",), "not said; the authors' code does"),
    Row("clip", "gradients clipped", ("--clip", "5"), "not said; the authors' code does"),
)


EVALUATIONS = 40  # in a run: Figure 2 wants to see the first epoch, in which a competitor may have its best


class Runs(NamedTuple):
    """The seeds of one row: reports and metrics, AUC terms of every ranking [seeds, S], and what was ranked [S, …]."""

    label: str
    reports: list
    curves: list  # for each seed the columns of metrics.csv by name
    each: np.ndarray
    tested: dict  # user, group, length, candidates

    def at(self, places):
        """The same with some of the rankings only."""
        return self._replace(each=self.each[:, places], tested={name: v[places] for name, v in self.tested.items()})


def run_all(rows, seeds, out, shared):
    """Trains every row with every seed and reads what they leave: row -> Runs."""
    todo = [(row, seed) for seed in range(seeds) for row in rows]
    for i, (row, seed) in enumerate(todo):
        print(f"[{i + 1}/{len(todo)}] {row.label}: {' '.join(row.flags)} --seed {seed}", file=sys.stderr)
        try:
            train_or_resume(out / f"{row.name}-{seed}", [*shared, *row.flags, "--seed", str(seed)])
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(f"{str(stop).split(';')[0] or 'stopped'}; the same command goes on") from None
    return {row: read_runs(row.label, [out / f"{row.name}-{seed}" for seed in range(seeds)]) for row in rows}


def train_or_resume(folder, arguments):
    """Leaves a finished run in a folder, whatever of it is there already. DataError if that is another run."""
    data, config = train.settings(train.parse(arguments))
    path, wanted = folder / "config.json", train.config_text(data, config)
    if path.exists() and path.read_text() != wanted:
        raise DataError(f"{folder}: holds a run with other settings; choose another --out, or remove it")
    if path.exists() and (folder / "report.json").exists() and (folder / "test_scores.npz").exists():
        return
    if (folder / "model.npz").exists():
        arguments = ["--resume", str(folder), *(["--quiet"] if "--quiet" in arguments else [])]
    else:
        arguments = [*arguments, "--out", str(folder)]
    with contextlib.redirect_stdout(sys.stderr):  # stdout is the tables'
        train.main(arguments)


def read_runs(label, folders):
    reports = [json.loads((folder / "report.json").read_text()) for folder in folders]
    metrics = [np.loadtxt(folder / "metrics.csv", delimiter=",", skiprows=1, ndmin=2) for folder in folders]
    tests = [dict(np.load(folder / "test_scores.npz")) for folder in folders]
    each = np.stack([auc(tested.pop("scores")).each for tested in tests])
    return Runs(label, reports, [dict(zip(train.COLUMNS, values.T)) for values in metrics], each, tests[0])


def paired(runs, reference):
    """Mean over the rankings of the difference of two rows' AUC terms, and its standard error over users.

    The rankings of one user (one for each group that is ranked) may vary together, so their deviations are added first.
    """
    for name in ("user", "group", "candidates"):
        if not np.array_equal(runs.tested[name], reference.tested[name]):
            raise DataError(f"{runs.label} and {reference.label} were judged on different rankings: the data have changed "
                            "between their runs; choose another --out")  # fmt: skip
    difference = runs.each.mean(axis=0) - reference.each.mean(axis=0)
    _, user = np.unique(runs.tested["user"], return_inverse=True)
    deviation = np.bincount(user, weights=difference - difference.mean())
    U = len(deviation)
    se = np.sqrt(U / (U - 1) * (deviation**2).sum()) / len(difference) if U > 1 else np.nan
    return float(difference.mean()), float(se)


def against(runs, reference):
    """The figures of a cell: AUC of every seed, and the paired difference."""
    difference, se = paired(runs, reference)
    return {"rankings": runs.each.shape[1], "auc": runs.each.mean(axis=1).tolist(), "difference": difference, "se": se}


def mean_and_sd(cell):
    return f"{np.mean(cell['auc']):.4f}" + (f" ± {np.std(cell['auc'], ddof=1):.4f}" if len(cell["auc"]) > 1 else "")


def behind(cell):
    """The difference in words; nothing for the reference itself."""
    return "" if cell["difference"] == cell["se"] == 0 else f"{cell['difference']:+.4f} ± {cell['se']:.4f}"


def markdown(header, rows):
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, ["---"] * len(header), *rows])


def protocol(runs):
    """What the numbers are, in words."""
    report = runs.reports[0]
    return (
        f"{'Validation' if report['config']['validate'] else 'Test'} AUC at the end of training: mean ± standard deviation over "
        f"{len(runs.reports)} seeds; negatives: {report['negatives']}; {report['tie_rule']}. "
        f"Differences to {runs.label}: user by user, seeds averaged, ± 1 standard error over users."
    )


def table(results):
    """Table 3 and the AUC by history length: -> Markdown and figures."""
    reference, figures, lines = results[ATRANK], {}, []
    buckets = list(by_length(reference.tested["length"]))
    for row, runs in results.items():
        mean = lambda name, runs=runs: np.mean([report[name] for report in runs.reports])
        own = figures[row.name] = against(runs, reference)
        own |= {name: mean(name) for name in ("swapped_history_auc", "samples_per_second", "seconds")}
        reached = [np.argmax(curve["test_auc"] >= 0.99 * curve["test_auc"][-1]) for curve in runs.curves]
        own["seconds_to_99"] = np.mean([curve["seconds"][i] for curve, i in zip(runs.curves, reached)])
        own["by_length"] = {label: against(runs.at(places), reference.at(places)) for label, places in buckets}
        speed = [f"{own[name]:,.0f}" for name in ("samples_per_second", "seconds", "seconds_to_99")]
        lines.append([row.label, mean_and_sd(own), behind(own), f"{own['swapped_history_auc']:.4f}", *speed])
        if row.name not in [model.name for model in MODELS]:  # a variant
            lines[-1] += [f"`{' '.join(row.flags)}`", row.claim]
    header = ["model", "AUC", "difference", "histories swapped", "samples/s", "seconds", "seconds to 99 %", "flags", "the paper"]
    known = {"popularity alone": "popularity_auc", "is it in the history": "in_history_auc", "ceiling": "ceiling_auc"}
    report = reference.reports[0]
    controls = [f"{what} {report[name]:.4f}" for what, name in known.items() if report[name] is not None]
    lengths = [
        [label, str(len(places)), *(f"{np.mean(f['by_length'][label]['auc']):.4f} {behind(f['by_length'][label])}".strip()
         for f in figures.values())] for label, places in buckets
    ]  # fmt: skip
    return "\n\n".join([
        markdown(header[: max(map(len, lines))], lines),
        f"{protocol(reference)} {report['test_users']} users. Seconds are of training; to 99 %: until one of the "
        f"{len(reference.curves[0]['step'])} evaluations first reaches 99 % of the final AUC.",
        f"Controls: {', '.join(controls)}.",
        markdown(["behaviours in the history", "rankings", *(row.label for row in results)], lengths),
    ]), figures  # fmt: skip


def task_rows(models, history, targets):
    """Table 5: task -> group -> Row. all2all is one model for all groups, the other tasks take a model each."""
    row = lambda model, task, past, target: Row(
        f"{model.name}-{task}", f"{model.label} {task}", (*model.flags, "--history", past, "--target", target))
    every, ranked = ",".join(history), ",".join(targets)
    tasks = {f"{m.label} one2one": {g: row(m, f"one2one-{g}", g, g) for g in targets} for m in models}
    tasks["ATRank all2one"] = {g: row(ATRANK, f"all2one-{g}", every, g) for g in targets}
    tasks["ATRank all2all"] = dict.fromkeys(targets, row(ATRANK, "all2all", every, ranked))
    return tasks


def task_table(tasks, results, schema):
    """Table 5: -> Markdown and figures."""
    of_group = lambda runs, name: runs.at(runs.tested["group"] == schema.index(name))
    runs = {task: {g: of_group(results[row], g) for g, row in rows.items()} for task, rows in tasks.items()}
    reference, figures = runs["ATRank one2one"], {}
    for task, own in runs.items():
        figures[task] = {g: against(own[g], reference[g]) for g in own}
    lines = [[task, *(f"{mean_and_sd(cell)} {behind(cell)}".strip() for cell in own.values())] for task, own in figures.items()]
    for label, task, name in (("ceiling one2one", "ATRank one2one", "ceiling_auc"), ("ceiling all2one", "ATRank all2one", "ceiling_auc"),
                              ("popularity alone", "ATRank one2one", "popularity_auc")):  # fmt: skip
        values = [own.reports[0][name] for own in runs[task].values()]
        if None not in values:  # only a simulator knows a ceiling
            figures[label] = dict(zip(reference, values))
            lines.append([label, *(f"{value:.4f}" for value in values)])
    lines.append(["test users", *(str(own.each.shape[1]) for own in reference.values())])
    return f"{markdown(['model and task', *reference], lines)}\n\n{protocol(next(iter(reference.values())))}", figures


def draw(path, results):
    """Figure 2: AUC against samples seen and against seconds of training; a thick line is the mean of its thin ones."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    report = results[ATRANK].reports[0]
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.3), sharey=True, layout="constrained")
    for ax, column in zip(axes, ("samples", "seconds")):
        for i, runs in enumerate(results.values()):
            x, y = ([curve[name] for curve in runs.curves] for name in (column, "test_auc"))
            for seed in range(len(x)):
                ax.plot(x[seed], y[seed], color=f"C{i}", linewidth=0.7, alpha=0.4)
            ax.plot(np.mean(x, 0), np.mean(y, 0), color=f"C{i}", linewidth=2, label=runs.label)
        for name, label, style in (("ceiling_auc", "ceiling", "--"), ("popularity_auc", "popularity alone", ":")):
            if report[name] is not None:
                ax.axhline(report[name], linestyle=style, color="0.4", linewidth=1.2, label=label)
        ax.grid(alpha=0.3)
    axes[0].set(xlabel="training samples seen (targets)", ylabel="average user AUC", xlim=(0, None))
    axes[1].set(xlabel="seconds of training", xscale="log")
    axes[0].legend(loc="best", fontsize=9)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def parser():
    p = command.Parser(
        prog="python -m atrank_np.compare",
        description="Train ATRank and its competitors under one protocol and print the paper's Table 3; Figure 2 and the AUC by "
        "history length beside it. A run that is there already, finished or stopped, is not trained again.",
        epilog="Any other flag is one of train's and holds for all runs: --data, --features, --validate, --epochs, … "
        "(python -m atrank_np.train --help). Without it every model has its own default.",
        allow_abbrev=False,
    )
    names = ",".join(row.name for row in MODELS)
    p.add_argument("--models", metavar="A,B", help=f"among {names}; atrank, that all are compared with, is always one of them")
    p.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each row, seeds 0 to N-1 (default: 3)")
    p.add_argument("--out", metavar="DIR", help="folder of the tables and of all runs (default: runs/compare-NAME)")
    kind = p.add_mutually_exclusive_group()
    kind.add_argument("--tasks", action="store_true", help="Table 5: each group of --target (default: all of --history) ranked "
                      "from its own history (one2one), from all (all2one), and by one model for all groups (all2all)")
    kind.add_argument("--variants", action="store_true", help="ATRank with one thing changed at a time")
    return p


def main(arguments):
    options, shared = parser().parse_known_args(arguments)
    given = train.given_flags(shared)
    for name in {"seed", "out", "resume"} & given.keys():
        raise DataError(f"--{name}: every run has its own, see python -m atrank_np.compare --help")
    if options.seeds < 1:
        raise DataError(f"--seeds: expected at least 1, got {options.seeds}")
    folder = command.find_data(given.get("data", command.default_data()))
    out = Path(options.out or f"runs/compare-{folder.resolve().name}")
    name = "tasks" if options.tasks else "variants" if options.variants else "table"
    models = chosen(options.models or ",".join(row.name for row in MODELS if not (options.tasks and row.name == "bpr_mf")))
    train_all = lambda rows: run_all(rows, options.seeds, out, ["--evaluations", str(EVALUATIONS), *shared])
    if options.tasks:
        schema = Schema.load(folder)
        history = given["history"].split(",") if "history" in given else schema.history
        tasks = task_rows(models, history, given["target"].split(",") if "target" in given else history)
        text, figures = task_table(tasks, train_all(dict.fromkeys(row for rows in tasks.values() for row in rows.values())), schema)
    else:
        results = train_all(VARIANTS if options.variants else models)
        text, figures = table(results)
        draw(out / f"{name}.png".replace("table", "figure2"), results)
    train.write_text(out / f"{name}.md", text + "\n")
    train.write_text(out / f"{name}.json", json.dumps(figures, indent=2) + "\n")
    print(text)
    return 0


def chosen(names):
    """The rows of MODELS with these names, in the order of MODELS, and ATRank."""
    names, known = names.split(","), [row.name for row in MODELS]
    for name in names:
        if name not in known:
            raise DataError(f"--models: expected some of {', '.join(known)}, got {name!r}")
    return [row for row in MODELS if row.name in names or row is ATRANK]


if __name__ == "__main__":
    command.run(main)
