"""Trains ATRank on a behaviour log: `python -m atrank_np.train [--data DIR]`. Without arguments: on the simulated shop."""

import argparse
import contextlib
import csv
import io
import itertools
import json
import math
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import cli
from .assembly import Trained, assemble, load, save
from .backend import make_backend
from .config import LABELS, MODELS, PAPER, VARIANTS, Config, defaults, own_settings
from .datasets.batches import Batches
from .datasets.folder import default_data, find_data
from .datasets.protocol import split
from .errors import DataError, Diverged
from .evaluate import auc, describe, open_run, read_data, score, test_report, test_task
from .memory import peak_rss_mb
from .optimizer import learning_rate

SCHEMA_VERSION = 1  # of report.json
FILES = ("model.npz", "metrics.csv", "test_scores.npz", "curve.png", "report.json", "config.json")  # of a run folder
COLUMNS = ("step", "samples", "epoch", "learning_rate", "loss", "test_auc", "test_auc_se", "seconds")


@dataclass
class Run:
    """What `fit` returns: the trained model, and the contents of report.json, metrics.csv and test_scores.npz."""

    trained: Trained
    report: dict
    rows: list
    tested: dict


def fit(log, config=None, *, out=None, resume=None, world=None, show=False, **settings):
    """Trains on a Log and returns a Run.

    config: by default that of the model or variant that settings name, or of ATRank. settings: fields of Config, such as
    epochs=3. out: a folder for model.npz and metrics.csv, written at each evaluation; resume: the Trained that such a folder
    holds, to go on with its own settings (but for the threads). world: the simulator that made the log, for its ceiling.
    DataError if the log leaves nothing to train or test on, or is not the resumed one, or if `out` holds a run that is not
    resumed; Diverged if the loss is no number any more.
    """
    if out is not None:
        _refuse_run(Path(out), resume)
    own = resume.config if resume else defaults(settings.get("model", "atrank"), settings.get("variant", ""))
    config = replace(config or own, **settings)
    if resume and replace(config, threads=own.threads) != own:
        raise DataError("resume: goes on as the run was started; its settings cannot be chosen again")
    if resume and not resume.fits(log):
        raise DataError("the log is not the one that the model was trained on")
    parts = split(log, config.cap, config.validate)
    for samples, what in ((parts.train, "train"), (parts.test, "test")):
        if len(samples.user) == 0:
            counted = "".join(f"; {n} {what}" for what, n in (log.counts | parts.counts).items() if n)
            raise DataError(f"events.csv: no user has enough target events to {what} on (3 are needed, 4 to validate){counted}")
    trained = resume or assemble(log, parts, config)
    state = trained.state or {"rows": [], "loss_sum": 0.0, "targets": 0, "seconds": 0.0, "compile_seconds": 0.0}
    trained.state = state
    backend = make_backend(trained.model(), trained.params, config, trained.step, trained.table_scale)
    task = test_task(log, parts.test, config)
    batches = Batches(log, parts, config)
    total = config.epochs * batches.per_epoch
    evaluations = min(config.evaluations, total)
    marks = {round(total * i / evaluations) for i in range(1, evaluations + 1)}
    if show and sys.stderr.isatty() and config.backend == "numba":
        print("compiling the kernels (the first time half a minute or so), or loading them …", file=sys.stderr)
    state["compile_seconds"] += backend.warm_up(batches.batch(0, 0))

    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)

    def keep():
        trained.params, trained.step, trained.table_scale = backend.params, backend.step, backend.table_scale
        if out is not None:
            save(Path(out) / "model.npz", trained)
            write_rows(Path(out) / "metrics.csv", state["rows"])

    keep()
    # disable=None: no bar where the output is no terminal.
    bar = tqdm(total=config.epochs * batches.targets, initial=batches.seen(backend.step), unit=" samples",
               unit_scale=True, disable=None if show else True, dynamic_ncols=True, smoothing=0.05)  # fmt: skip
    # A diverging run ends with its own message; numpy's warnings would only come before it.
    with _interruptible() as stopped, bar, np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for epoch in range(backend.step // batches.per_epoch, config.epochs):
            for i in range(backend.step - epoch * batches.per_epoch, batches.per_epoch):
                begin = time.perf_counter()
                rate = learning_rate(config, backend.step, total)
                batch = batches.batch(epoch, i)
                loss = backend.train_step(batch, rate)
                state["seconds"] += time.perf_counter() - begin
                if not math.isfinite(loss):
                    raise _diverged(backend.step, out)
                state["loss_sum"] += loss * len(batch.label)
                state["targets"] += len(batch.label)
                bar.update(len(batch.label))
                if backend.step in marks:
                    scores = score(backend, log.schema, parts.events, task)
                    if not np.isfinite(scores).all():
                        raise _diverged(backend.step, out)
                    test = auc(scores, task.samples.user)
                    mean_loss = state["loss_sum"] / state["targets"]
                    samples = batches.seen(backend.step)
                    values = (backend.step, samples, samples / batches.targets, rate, mean_loss, test.mean, test.se)
                    state["rows"].append([*values, state["seconds"]])
                    state["loss_sum"], state["targets"] = 0.0, 0
                    bar.set_postfix_str(f"loss {mean_loss:.4f}, AUC {test.mean:.4f}")
                    keep()
                if stopped:
                    keep()
                    raise KeyboardInterrupt(f"stopped after step {backend.step} of {total}")
    scores = score(backend, log.schema, parts.events, task)
    report = {
        "schema_version": SCHEMA_VERSION,
        **test_report(backend, log, parts, task, scores, world),
        "repeat_share": parts.repeat_share,
        "train_samples": batches.targets,
        "epochs": config.epochs,
        "seconds": state["seconds"],
        "compile_seconds": state["compile_seconds"],
        "samples_per_second": config.epochs * batches.targets / state["seconds"],
        "peak_rss_mb": peak_rss_mb(),
        "backend": config.backend,
        "shards": config.shards,
        "threads": config.threads,
        "seed": config.seed,
        "eval_seed": config.eval_seed,
        "config": config.to_dict(),
        "counted": log.counts | parts.counts | batches.counts,
    }
    # The rankings one by one, so that runs can be compared user by user: arrays [S], and [S, 1+R] with the positive first.
    tests = task.samples
    tested = {"user": tests.user, "group": tests.group, "length": tests.end - tests.start,
              "candidates": task.candidates, "scores": scores}  # fmt: skip
    return Run(trained, report, state["rows"], tested)


@contextlib.contextmanager
def _interruptible():
    """A list that is empty until Ctrl-C: a step is never cut in two. A second Ctrl-C stops at once."""
    stopped = []
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def on_signal(number, frame):
        if stopped:
            raise KeyboardInterrupt
        stopped.append(number)

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


def _diverged(step, out):
    kept = f"; the last good model is kept in {out}" if out else ""
    return Diverged(f"the loss is not finite at step {step}: try a lower --learning-rate, or --clip 1{kept}")


def write_rows(path, rows):
    """metrics.csv."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([COLUMNS, *rows])
    write_text(path, text.getvalue())


def write_text(path, text):
    """A file, whole or not at all."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, "utf-8", newline="")
    os.replace(beside, path)


def draw_curve(path, rows, report):
    """Test AUC against samples seen, with one standard error, and the controls as lines: a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    table, label = dict(zip(COLUMNS, np.array(rows).T)), LABELS[report["config"]["model"]]
    if variant := report["config"]["variant"]:
        label += f", {variant}"
    figure, axes = plt.subplots(figsize=(7, 4.3), layout="constrained")
    axes.fill_between(
        table["samples"],
        table["test_auc"] - table["test_auc_se"],
        table["test_auc"] + table["test_auc_se"],
        alpha=0.25,
        linewidth=0,
    )
    axes.plot(table["samples"], table["test_auc"], marker="o", label=f"{label}, ± 1 standard error")
    lines = (
        ("ceiling_auc", "ceiling of the simulator", "C2"),
        ("popularity_auc", "popularity alone", "C1"),
        ("swapped_history_auc", f"{label}, histories swapped", "C3"),
    )
    for name, label, colour in lines:
        if report[name] is not None:
            axes.axhline(report[name], linestyle="--", color=colour, linewidth=1.2, label=f"{label} {report[name]:.3f}")
    axes.set_xlim(left=0)
    axes.set_xlabel("training samples seen (targets)")
    axes.set_ylabel("average user AUC")
    axes.set_title(describe(report, report["config"]["validate"])[0].split(" (")[0])
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize=9)
    figure.savefig(path, dpi=120)
    plt.close(figure)


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


class _HelpWithDefaults(argparse.ArgumentDefaultsHelpFormatter):
    """Adds the default to each help, but not to that of a switch, where it would say the opposite of what it means."""

    def _get_help_string(self, action):
        return action.help if action.nargs == 0 or action.default == "" else super()._get_help_string(action)


def parser():
    p = cli.Parser(
        prog="python -m atrank_np.train",
        description="Train ATRank (Zhou et al., AAAI 2018) on a behaviour log and report its average user AUC. "
        "Without arguments it trains on the simulated shop that comes with the package.",
        epilog="A data folder holds events.csv, one CSV of objects per group and optionally schema.toml: see data/README.md.",
        formatter_class=_HelpWithDefaults,
    )
    d = Config()
    data = p.add_argument_group("data")
    data.add_argument(
        "--data",
        metavar="DIR",
        help="the data folder (default: the simulated shop); a name is also looked "
        "for below the folder in the variable ATRANK_DATA",
        default=argparse.SUPPRESS,
    )
    data.add_argument("--features", metavar="A,B", help="use these features of the objects only", default=argparse.SUPPRESS)
    data.add_argument("--history", metavar="G,H", help="groups that a history is made of", default=argparse.SUPPRESS)
    data.add_argument("--target", metavar="G,H", help="groups that are ranked", default=argparse.SUPPRESS)
    data.add_argument("--cap", type=int, default=d.cap, help="behaviours of a history that are looked at, the last ones")
    model = p.add_argument_group("the model (equation numbers are the paper's)")
    model.add_argument("--model", choices=MODELS, default=d.model, help="ATRank or a competitor; each has its own defaults")
    model.add_argument(
        "--variant",
        choices=VARIANTS,
        default=d.variant,
        metavar="V",
        help="ATRank with one thing changed: " + ", ".join(filter(None, VARIANTS)),
    )
    model.add_argument("--width", type=int, default=d.width, help="s_all of (1), the hidden size of all layers (of bpr_mf none)")
    model.add_argument(
        "--spaces", type=int, default=d.spaces, help="K of (2), the number of latent semantic spaces (atrank, bilstm_attention)"
    )
    model.add_argument(
        "--embedding-size",
        type=int,
        metavar="E",
        default=argparse.SUPPRESS,
        help="width of every feature embedding (default: what the schema says, else 64)",
    )
    model.add_argument("--ranking", choices=("dot", "deep"), default=d.ranking, help="f of (8)")
    model.add_argument("--loss", choices=("point", "pair"), default=d.loss, help="(8), or its pair-wise form")
    model.add_argument(
        "--dropout", type=float, default=d.dropout, help="rate in F_self (6) and F_vanilla (7), where a model has them"
    )
    model.add_argument(
        "--no-item-bias",
        dest="item_bias",
        action="store_false",
        default=d.item_bias,
        help="no bias per object in f; the paper's formula has none, the authors' code has one",
    )
    training = p.add_argument_group("training")
    training.add_argument("--epochs", type=int, default=d.epochs, help="passes over the training samples")
    training.add_argument("--batch-size", type=int, default=d.batch_size, help="targets in a step, negatives included")
    training.add_argument("--learning-rate", type=float, default=d.learning_rate, help="of SGD, at the first step")
    training.add_argument("--decay", type=float, default=d.decay, help="the rate falls by this factor over the run")
    training.add_argument(
        "--schedule",
        choices=("exponential", "step"),
        default=d.schedule,
        help="the rate falls continuously, or in one step after two thirds of the run",
    )
    training.add_argument("--l2", type=float, default=d.l2, help="weight λ of λ/2 |w|², over matrices and whole tables")
    training.add_argument("--negatives", type=int, default=d.negatives, help="sampled per positive")
    training.add_argument(
        "--negatives-once",
        dest="fresh_negatives",
        action="store_false",
        default=d.fresh_negatives,
        help="draw the negatives once, not afresh each epoch",
    )
    training.add_argument("--clip", type=float, default=d.clip, help="limit of the gradient's global norm, 0: none")
    training.add_argument(
        "--dense-init",
        type=float,
        default=d.dense_init,
        help="deviation of the initial matrices, 1/√128; a narrower model may want more",
    )
    training.add_argument("--table-init", type=float, default=d.table_init, help="deviation of the initial embeddings")
    training.add_argument("--gain-init", type=float, default=d.gain_init, help="initial gain of F_vanilla's layer norm")
    training.add_argument("--seed", type=cli.seed, default=d.seed, help="of everything random in training")
    training.add_argument(
        "--paper",
        action="store_true",
        default=argparse.SUPPRESS,
        help="exactly the paper's numbers: learning rate 1.0, no item bias, embeddings of 64; what it "
        "does not say stays as the model has it, and a flag beside it wins",
    )
    scoring = p.add_argument_group("scoring")
    scoring.add_argument("--eval-seed", type=cli.seed, default=d.eval_seed, help="of the test negatives, the same for all models")
    scoring.add_argument("--eval-negatives", type=int, default=d.eval_negatives, help="per test positive")
    scoring.add_argument("--evaluations", type=int, default=d.evaluations, help="how often the AUC is taken in a run")
    scoring.add_argument(
        "--validate",
        action="store_true",
        help="hold out the last but one behaviour instead: for choices; the test events stay untouched",
    )
    machine = p.add_argument_group("the machine")
    machine.add_argument("--backend", choices=("numpy", "numba"), default=d.backend, help="how to compute")
    machine.add_argument(
        "--threads",
        type=int,
        default=d.threads,
        help="of the numba backend, of which at most --shards work; no bit depends on it",
    )
    machine.add_argument("--shards", type=int, default=d.shards, help="parts of a batch, summed in order; last bits depend on it")
    run = p.add_argument_group("the run")
    run.add_argument(
        "--out", metavar="DIR", help="the run folder (default: the first free runs/NAME-1, -2, …)", default=argparse.SUPPRESS
    )
    run.add_argument(
        "--resume",
        metavar="RUN",
        help="go on with a stopped run, to the same bits as if it had not been "
        "stopped; only --data, --threads and --quiet may stand beside it",
        default=argparse.SUPPRESS,
    )
    run.add_argument("--quiet", action="store_true", help="no progress bar")
    return p


def parse(arguments):
    """A namespace of all flags with their defaults."""
    p = parser()
    options = p.parse_args(arguments)
    if own := own_settings(options.model, options.variant):  # parsed again with these defaults, so that a flag beside it wins
        p.set_defaults(**own)
        options = p.parse_args(arguments)
    if "paper" in options:  # parsed again with the paper's numbers as defaults, so that a flag beside --paper wins
        p.set_defaults(**PAPER | {name: own[name] for name in ("loss", "l2") if name in own}, embedding_size=64)
        options = p.parse_args(arguments)
    return options


def given_flags(arguments):
    """Name -> value of the flags that stand in the arguments."""
    # Parsed into a namespace that holds every name already: then argparse puts no defaults into it.
    p = parser()
    blank = argparse.Namespace(**dict.fromkeys(vars(p.parse_args(arguments))))
    return {name: value for name, value in vars(p.parse_args(arguments, blank)).items() if value is not None}


def main(arguments):
    options = parse(arguments)
    if "resume" in options:
        given = given_flags(arguments)
        if others := given.keys() - {"resume", "data", "threads", "quiet"}:
            name = min(others).replace("_", "-")
            raise DataError(f"--resume: goes on as the run was started; {name} cannot be chosen again")
        out = Path(given["resume"])
        resume, log, world = open_run(out, given.get("data"))
        config = _config(lambda: replace(resume.config, threads=given.get("threads", resume.config.threads)))
    else:
        resume, (out, config, log, world) = None, _new_run(options)
    try:
        run = fit(log, config, out=out, resume=resume, world=world, show=not options.quiet)
    except BaseException as end:
        if not (out / "model.npz").exists():
            _remove(out)
        elif isinstance(end, KeyboardInterrupt):
            raise KeyboardInterrupt(f"{str(end) or 'stopped'}; go on with --resume {out}") from None
        raise
    np.savez(out / "test_scores.npz", **run.tested)
    write_text(out / "report.json", json.dumps(run.report, indent=2, allow_nan=False) + "\n")
    draw_curve(out / "curve.png", run.rows, run.report)
    print(describe_run(run.report))
    print(f"written to {out}: {', '.join(FILES)}")
    return 0


def settings(options):
    """The data that the flags name, as `read_data` takes them, and the Config."""
    given = vars(options)
    listed = lambda name: list(dict.fromkeys(given[name].split(","))) if name in given else None
    config = _config(lambda: Config(**{name: given[name] for name in Config.__dataclass_fields__ if name in given}))
    data = {
        "data": str(find_data(given.get("data", default_data())).resolve()),
        "features": listed("features"),
        "history": listed("history"),
        "target": listed("target"),
        "embedding_size": given.get("embedding_size"),
    }
    return data, config


def _config(make):
    """The Config that `make` gives. DataError for a value that it refuses."""
    try:
        return make()
    except ValueError as fault:
        raise DataError(str(fault)) from None


def config_text(data, config):
    """config.json."""
    return json.dumps({"data": data, "config": config.to_dict()}, indent=2) + "\n"


def _new_run(options):
    """-> run folder (made), Config, Log, simulator or None."""
    given, (data, config) = vars(options), settings(options)
    text = config_text(data, config)
    if "out" in given:
        out = Path(given["out"])
        _refuse_taken(out, text)
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / "config.json", text)  # before the data are read: another run now finds the folder taken
    try:
        log, world = read_data(data)
    except BaseException:
        if "out" in given:
            _remove(out)
        raise
    if "out" not in given:
        out = _free_folder(Path(data["data"]).name)
        write_text(out / "config.json", text)
    return out, config, log, world


def _refuse_taken(out, text):
    """DataError if a new run would overwrite a file; the same config.json may be there, of a run that was killed early."""
    _refuse_run(out)
    for name in filter(lambda name: (out / name).exists(), FILES):
        if name != "config.json" or (out / name).read_text(errors="replace") != text:
            raise DataError(f"{out / name}: exists, and is not of this run; choose another --out, or remove it")


def _refuse_run(out, resume=None):
    """DataError if a folder holds a run, unless that is an earlier part of the resumed one."""
    if not (out / "model.npz").exists():
        return
    held = load(out) if resume else None
    if held and held.step <= resume.step and (held.config, held.events) == (resume.config, resume.events):
        return
    go_on = f"go on with --resume {out}, or " if (out / "config.json").exists() else ""
    raise DataError(f"{out}: holds a run already; {go_on}choose another --out")


def _free_folder(name):
    """The first free one of runs/NAME-1, -2, …, made at once, so that two runs started together do not share it."""
    for n in itertools.count(1):
        folder = Path("runs") / f"{name}-{n}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            pass


def _remove(out):
    """A run that ends before its first checkpoint leaves no folder behind, unless that holds other files."""
    for name in ("config.json", "model.npz.part"):
        (out / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        out.rmdir()


if __name__ == "__main__":
    cli.run(main)
