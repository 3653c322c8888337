"""The training loop, and a training run in a folder of its own."""

import contextlib
import json
import math
import signal
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .backend import make_backend
from .config import defaults
from .datasets.batches import Batches
from .datasets.folder import read_data
from .datasets.protocol import split
from .errors import DataError, Diverged, checked
from .evaluation.plots import draw_curve
from .evaluation.report import test_report
from .evaluation.scoring import score, test_task
from .memory import peak_rss_mb
from .metrics import auc
from .optimizer import learning_rate
from .runs.checkpoint import save
from .runs.folder import (
    SCHEMA_VERSION,
    config_text,
    free_folder,
    open_run,
    refuse_run,
    refuse_taken,
    remove,
    write_rows,
    write_text,
)
from .runs.trained import Trained, assemble


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
        refuse_run(Path(out), resume)
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


def start_run(data, config, out=None, show=False):
    """Trains on the data that `read_data` takes, in a new run folder: -> the folder, the Run. out: by default the first free
    one of runs/NAME-1, -2, …"""
    text = config_text(data, config)
    if out is not None:
        out = Path(out)
        refuse_taken(out, text)
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / "config.json", text)  # before the data are read: another run now finds the folder taken
    try:
        log, world = read_data(data)
    except BaseException:
        if out is not None:
            remove(out)
        raise
    if out is None:
        out = free_folder(Path(data["data"]).name)
        write_text(out / "config.json", text)
    return out, _run_in(out, log, config, None, world, show)


def resume_run(out, data=None, threads=None, show=False):
    """Goes on with the run in a folder. data: the data folder, if it has moved since; threads: another number of them."""
    resume, log, world = open_run(out, data)
    config = resume.config
    if threads is not None:
        config = checked(replace, config, threads=threads)
    return _run_in(Path(out), log, config, resume, world, show)


def _run_in(out, log, config, resume, world, show):
    """A whole run in its folder, reports and pictures too. One that ends before its first checkpoint leaves no folder."""
    try:
        run = fit(log, config, out=out, resume=resume, world=world, show=show)
    except BaseException as end:
        if not (out / "model.npz").exists():
            remove(out)
        elif isinstance(end, KeyboardInterrupt):
            raise KeyboardInterrupt(f"{str(end) or 'stopped'}; go on with --resume {out}") from None
        raise
    np.savez(out / "test_scores.npz", **run.tested)
    write_text(out / "report.json", json.dumps(run.report, indent=2, allow_nan=False) + "\n")
    draw_curve(out / "curve.png", run.rows, run.report)
    return run
