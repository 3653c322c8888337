"""The rows of runs to be compared: which there are, and how they are trained. The command is `compare`."""

import re
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from .config import LABELS, MODELS, VARIANTS
from .datasets.log import Log
from .datasets.protocol import Protocol
from .errors import DataError, Diverged
from .evaluation.paired import Row, Runs, read_runs
from .evaluation.ranking import full_ranks
from .evaluation.report import describe_run
from .mpi import ranks
from .runs.checkpoint import load
from .runs.files import whole
from .runs.folder import FILES, config_text
from .runs.trained import digest_of_events, digest_of_features
from .train_flags import parse, settings
from .training_runs import resume_run, start_run

RANKED = 2000  # test rankings of the whole catalogue, spread evenly: the same for all rows
EVALUATIONS = 40  # in a run, so that Figure 2 shows the first epoch too, where a competitor may be best

ATRANK = Row("atrank", "ATRank", ())
COMPETITORS = [Row(name, LABELS[name], ("--model", name)) for name in MODELS if name != "atrank"]
TABLE_3 = [
    *COMPETITORS,
    Row("printed", "ATRank as printed", ("--variant", "printed")),
    Row("top_n", "ATRank for top-n", ("--for", "top-n")),
]
CLAIMS = {
    "no_self_attention": "worse",
    "no_time": "worse",
    "continuous_time": "worse than buckets",
    "printed": "its own (6)",
}
ONE_CHANGE = [
    Row("one_space", "one space", ("--spaces", "1"), "worse than eight"),
    Row("pairwise", "pair-wise loss", ("--loss", "pair"), "worse than point-wise"),
    Row("deep", "deep f", ("--ranking", "deep"), "possible too"),
    Row("paper", "the paper's equations and numbers", ("--paper",), "its own"),
    Row("no_item_bias", "no item bias", ("--no-item-bias",), "has none; the authors' code has one"),
    Row("negatives_once", "negatives drawn once", ("--negatives-once",), "not said; so in the authors' code"),
    Row("clip", "gradients clipped", ("--clip", "5"), "not said; so in the authors' code"),
]
for _name in filter(None, VARIANTS):
    _claim = CLAIMS.get(_name, "otherwise; so in the authors' code")
    ONE_CHANGE.append(Row(_name, _name.replace("_", " "), ("--variant", _name), _claim))


def run_all(
    rows: Sequence[Row], seeds: int, out: Path, shared: Sequence[str], needed: Collection[Row], top_n: bool = False
) -> tuple[dict[Row, Runs], dict[Row, str]]:
    """Trains every row with every seed below `out`. -> the Runs of each row, and why others are missing.

    shared: flags of train for all runs. A row of which a run diverges is left out, so that the others have their figures;
    for one of `needed`, Diverged ends the command. top_n: also rank the whole catalogue for RANKED users.
    """
    diverged: dict[Row, str] = {}
    data, config = settings(parse(shared))
    log, _ = data.read(config)
    digests = digest_of_events(log, config), digest_of_features(log)
    todo = [(row, seed) for seed in range(seeds) for row in rows]
    for i, (row, seed) in enumerate(todo, 1):
        if row in diverged:
            continue
        flags = [*row.flags, "--seed", str(seed)]
        print(f"[{i}/{len(todo)}] {row.label}: {' '.join(flags)}", file=sys.stderr)
        try:
            train_or_resume(_folder(out, row, seed), [*shared, *flags], digests)
            if top_n:
                rank_catalogue(_folder(out, row, seed), log, show="--quiet" not in shared)
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(f"{str(stop).split(';')[0] or 'stopped'}; the same command goes on") from None
        except Diverged as fault:
            if row in needed:
                raise
            diverged[row] = f"seed {seed}, {str(fault).split(':')[0]}"
            print(f"{row.label}: {diverged[row]}", file=sys.stderr)
    results = {}
    for row in rows:
        if row not in diverged:
            results[row] = read_runs(row.label, [_folder(out, row, seed) for seed in range(seeds)])
    return results, diverged


def _folder(out: Path, row: Row, seed: int) -> Path:
    return out / f"{row.name}-{seed}"


def train_or_resume(folder: Path, arguments: Sequence[str], digests: tuple[str, str]) -> None:
    """Makes sure that the folder has a finished run: trains it, continues it, or does nothing.

    digests: of the events and of the features. DataError if the folder holds a run with other settings or on other data.
    """
    options = parse(arguments)
    data, config = settings(options)
    path, wanted = folder / "config.json", config_text(data, config)
    if path.exists() and _without_threads(path.read_text("utf-8", "replace")) != _without_threads(wanted):
        raise DataError(f"{folder}: holds a run with other settings; choose another --out, or remove it")
    if all((folder / name).exists() for name in FILES if name != "curve.png"):  # no figure depends on the picture
        held = load(folder)
        if (held.events, held.features) != digests or held.schema != data.schema():
            raise DataError(f"{folder}: the data or their schema have changed since this run; choose another --out, or remove it")
        return
    show = not options.quiet
    if (folder / "model.npz").exists():
        run = resume_run(folder, threads=config.threads, show=show)
    else:
        _, run = start_run(data, config, folder, show=show)
    print(describe_run(run.report), file=sys.stderr)  # stdout is for the tables


def rank_catalogue(folder: Path, log: Log, show: bool) -> None:
    """Leaves ranks.npz in the folder of a run: the place of the positive in the whole catalogue, for RANKED test rankings."""
    if (folder / "ranks.npz").exists():
        return
    trained = load(folder)
    protocol = Protocol(log, trained.config)
    rank = full_ranks(trained.backend(), protocol, protocol.some_tests(RANKED), show)
    with whole(folder / "ranks.npz") as file:
        np.savez(file, rank=rank)
    ranks().wait()


def _without_threads(text: str) -> str:
    """A config.json without the number of threads, on which no bit depends."""
    return re.sub(r'"threads": \d+', "", text)


def task_rows(models: Sequence[Row], history: Sequence[str], targets: Sequence[str]) -> dict[str, dict[str, Row]]:
    """Table 5: task -> group -> Row. all2all is one model for all groups; the other tasks have one for each group."""

    def row(model: Row, task: str, past: str, ranked: str) -> Row:
        flags = (*model.flags, "--history", past, "--target", ranked)
        return Row(f"{model.name}-{task}", f"{model.label} {task}", flags)

    every, ranked = ",".join(history), ",".join(targets)
    tasks = {f"{model.label} one2one": {g: row(model, f"one2one-{g}", g, g) for g in targets} for model in models}
    tasks["ATRank all2one"] = {g: row(ATRANK, f"all2one-{g}", every, g) for g in targets}
    tasks["ATRank all2all"] = dict.fromkeys(targets, row(ATRANK, "all2all", every, ranked))
    return tasks


def chosen(flag: str, names: str, rows: Sequence[Row]) -> list[Row]:
    """The rows that are named, separated by commas. ATRank may be named too, as it is in every table."""
    wanted, allowed = names.split(","), [row.name for row in rows]
    for name in wanted:
        if name not in [*allowed, ATRANK.name]:
            raise DataError(f"{flag}: expected some of {', '.join(allowed)}, got {name!r}")
    return [row for row in rows if row.name in wanted]
