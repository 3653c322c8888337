"""Rows of runs to be compared: which there are, and how they are trained. The command is `compare`."""

import re
import sys
from typing import NamedTuple

from .config import LABELS, MODELS, VARIANTS
from .errors import DataError, Diverged
from .evaluation.paired import read_runs
from .evaluation.report import describe_run
from .runs.checkpoint import load
from .runs.folder import FILES, config_text
from .runs.trained import digest_of_events, digest_of_features
from .train_flags import parse, settings
from .training_runs import resume_run, start_run

EVALUATIONS = 40  # in a run: Figure 2 wants to see the first epoch, in which a competitor may have its best


class Row(NamedTuple):
    """A row of a table: the flags of train that make it, and the name of its run folders."""

    name: str
    label: str
    flags: tuple
    claim: str = ""  # what the paper says of it


ATRANK = Row("atrank", "ATRank", ())
COMPETITORS = [Row(name, LABELS[name], ("--model", name)) for name in MODELS if name != "atrank"]
TABLE_3 = [*COMPETITORS, Row("residual", "ATRank + residual", ("--variant", "residual"))]
CLAIMS = {"no_self_attention": "worse", "no_time": "worse", "continuous_time": "worse than buckets",
          "residual": "has none; the authors' code has one, with a layer norm"}  # fmt: skip
ONE_CHANGE = [
    Row("one_space", "one space", ("--spaces", "1"), "worse than eight"),
    Row("pairwise", "pair-wise loss", ("--loss", "pair"), "worse than point-wise"),
    Row("deep", "deep f", ("--ranking", "deep"), "possible too"),
    Row("paper", "the paper's numbers", ("--paper",), "its own"),
    Row("no_item_bias", "no item bias", ("--no-item-bias",), "has none; the authors' code has one"),
    Row("negatives_once", "negatives drawn once", ("--negatives-once",), "not said; so in the authors' code"),
    Row("clip", "gradients clipped", ("--clip", "5"), "not said; so in the authors' code"),
    *(Row(name, name.replace("_", " "), ("--variant", name), CLAIMS.get(name, "otherwise; so in the authors' code"))
      for name in VARIANTS if name),
]  # fmt: skip


def run_all(rows, seeds, out, shared, needed):
    """Trains every row with every seed and reads what they leave: row -> Runs, and row -> why it is missing.

    A row of which a run diverges goes without figures, so that the others have theirs; not so if it is one of `needed`.
    """
    diverged = {}
    data, _ = settings(parse(shared))
    log, _ = data.read()
    digests = digest_of_events(log), digest_of_features(log)
    todo = [(row, seed) for seed in range(seeds) for row in rows]
    for i, (row, seed) in enumerate(todo, 1):
        if row in diverged:
            continue
        flags = [*row.flags, "--seed", str(seed)]
        print(f"[{i}/{len(todo)}] {row.label}: {' '.join(flags)}", file=sys.stderr)
        try:
            train_or_resume(out / f"{row.name}-{seed}", [*shared, *flags], digests)
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(f"{str(stop).split(';')[0] or 'stopped'}; the same command goes on") from None
        except Diverged as fault:
            if row in needed:
                raise
            diverged[row] = f"seed {seed}, {str(fault).split(':')[0]}"
            print(f"{row.label}: {diverged[row]}", file=sys.stderr)
    folders = lambda row: [out / f"{row.name}-{seed}" for seed in range(seeds)]
    return {row: read_runs(row.label, folders(row)) for row in rows if row not in diverged}, diverged


def train_or_resume(folder, arguments, digests):
    """Leaves a finished run in a folder, whatever of it is there already. DataError if that is another run, or one on
    other data than those of these digests (of events and features)."""
    options = parse(arguments)
    data, config = settings(options)
    path, wanted = folder / "config.json", config_text(data, config)
    without_threads = lambda text: re.sub(r'"threads": \d+', "", text)  # no bit depends on their number
    if path.exists() and without_threads(path.read_text()) != without_threads(wanted):
        raise DataError(f"{folder}: holds a run with other settings; choose another --out, or remove it")
    if all((folder / name).exists() for name in FILES):
        held = load(folder)
        if (held.events, held.features) != digests or held.schema != data.schema():
            raise DataError(f"{folder}: the data or their schema have changed since this run; choose another --out, or remove it")
        return
    show = not options.quiet
    if (folder / "model.npz").exists():
        run = resume_run(folder, threads=config.threads, show=show)
    else:
        _, run = start_run(data, config, folder, show=show)
    print(describe_run(run.report), file=sys.stderr)  # stdout is the tables'


def task_rows(models, history, targets):
    """Table 5: task -> group -> Row. all2all is one model for all groups, the other tasks take a model each."""

    def row(model, task, past, ranked):
        flags = (*model.flags, "--history", past, "--target", ranked)
        return Row(f"{model.name}-{task}", f"{model.label} {task}", flags)

    every, ranked = ",".join(history), ",".join(targets)
    tasks = {f"{model.label} one2one": {g: row(model, f"one2one-{g}", g, g) for g in targets} for model in models}
    tasks["ATRank all2one"] = {g: row(ATRANK, f"all2one-{g}", every, g) for g in targets}
    tasks["ATRank all2all"] = dict.fromkeys(targets, row(ATRANK, "all2all", every, ranked))
    return tasks


def chosen(option, names, rows):
    """The rows that a list of names stands for; ATRank, which is always there, may be named too."""
    names, known = names.split(","), [row.name for row in rows]
    for name in names:
        if name not in [*known, ATRANK.name]:
            raise DataError(f"{option}: expected some of {', '.join(known)}, got {name!r}")
    return [row for row in rows if row.name in names]
