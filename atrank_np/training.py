"""The training loop, and a training run in a folder of its own."""

import contextlib
import json
import signal
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .config import Config, defaults
from .datasets.batches import Batches
from .datasets.folder import DataSource
from .datasets.log import Log
from .datasets.protocol import Protocol
from .datasets.shop_world import World
from .errors import DataError, Diverged, checked
from .evaluation.plots import draw_curve
from .evaluation.report import report_of
from .evaluation.scoring import score
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


def fit(
    log: Log,
    config: Config | None = None,
    *,
    out: str | Path | None = None,
    resume: Trained | None = None,
    world: World | None = None,
    show: bool = False,
    **settings,
) -> Run:
    """Trains on a Log and returns a Run.

    config: by default that of the model or variant that settings name, or of ATRank. settings: fields of Config, such as
    epochs=3. out: a folder for model.npz and metrics.csv, written at each evaluation; resume: the Trained that such a folder
    holds, to go on with its own settings (but for the threads). world: the simulator that made the log, for its ceiling.
    DataError if the log leaves nothing to train or test on, or is not the resumed one, or if `out` holds a run that is not
    resumed; Diverged if the loss is not finite.
    """
    out = None if out is None else Path(out)
    if out is not None:
        refuse_run(out, resume)
    own = resume.config if resume else defaults(settings.get("model", "atrank"), settings.get("variant", ""))
    config = replace(config or own, **settings)
    if resume and replace(config, threads=own.threads) != own:
        raise DataError("resume: goes on as the run was started; its settings cannot be chosen again")
    if resume and not resume.fits(log):
        raise DataError("the log is not the one that the model was trained on")
    protocol = Protocol(log, config)
    for samples, what in ((protocol.train, "train"), (protocol.test, "test")):
        if len(samples.user) == 0:
            counted = "".join(f"; {n} {what}" for what, n in (log.counts | protocol.counts).items() if n)
            raise DataError(f"events.csv: no user has enough target events to {what} on (3 are needed, 4 to validate){counted}")
    training = Training(protocol, resume or assemble(protocol), out, show)
    training.run()
    return training.result(world)


class Training:
    """A training under way. Parameters and step are its backend's until `_keep` takes them."""

    def __init__(self, protocol: Protocol, trained: Trained, out: Path | None, show: bool) -> None:
        self.protocol, self.trained, self.out, self.show = protocol, trained, out, show
        trained.state = trained.state or {"rows": [], "loss_sum": 0.0, "targets": 0, "seconds": 0.0, "compile_seconds": 0.0}
        self.config, self.state = protocol.config, trained.state
        self.backend, self.task, self.batches = trained.backend(threads=self.config.threads), protocol.task, Batches(protocol)
        self.steps = self.config.epochs * self.batches.per_epoch
        evaluations = min(self.config.evaluations, self.steps)
        self.evaluated_after = {round(self.steps * i / evaluations) for i in range(1, evaluations + 1)}

    def run(self) -> None:
        """All steps that are left."""
        backend, batches, config = self.backend, self.batches, self.config
        self.state["compile_seconds"] += backend.warm_up(batches.batch(0, 0))
        if self.out is not None:
            self.out.mkdir(parents=True, exist_ok=True)
        self._keep()
        # disable=None: no bar where the output is no terminal.
        bar = tqdm(total=config.epochs * batches.targets, initial=batches.seen(backend.step), unit=" samples",
                   unit_scale=True, disable=None if self.show else True, dynamic_ncols=True, smoothing=0.05)  # fmt: skip
        # A diverging run ends with its own message; numpy's warnings would only come before it.
        with _interruptible() as stopped, bar, np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            while backend.step < self.steps:
                rate = learning_rate(config, backend.step, self.steps)
                bar.update(self._step(rate))
                if backend.step in self.evaluated_after:
                    bar.set_postfix_str(self._evaluate(rate))
                    self._keep()
                if stopped:
                    self._keep()
                    raise KeyboardInterrupt(f"stopped after step {backend.step} of {self.steps}")

    def _step(self, rate: float) -> int:
        """One step; the targets of its batch."""
        begin = time.perf_counter()
        batch = self.batches.batch(*divmod(self.backend.step, self.batches.per_epoch))
        loss = self.backend.train_step(batch, rate)
        self.state["seconds"] += time.perf_counter() - begin
        self._must_be_finite(loss)
        self.state["loss_sum"] += loss * len(batch.label)
        self.state["targets"] += len(batch.label)
        return len(batch.label)

    def _evaluate(self, rate: float) -> str:
        """A row of metrics.csv; the same in words."""
        state, step = self.state, self.backend.step
        scores = score(self.backend, self.protocol, self.task)
        self._must_be_finite(scores)
        test = auc(scores, self.task.samples.user)
        loss = state["loss_sum"] / state["targets"]
        samples = self.batches.seen(step)
        state["rows"].append([step, samples, samples / self.batches.targets, rate, loss, test.mean, test.se, state["seconds"]])
        state["loss_sum"], state["targets"] = 0.0, 0
        return f"loss {loss:.4f}, AUC {test.mean:.4f}"

    def _must_be_finite(self, values: float | np.ndarray) -> None:
        if not np.isfinite(values).all():
            kept = f"; the last good model is kept in {self.out}" if self.out else ""
            raise Diverged(f"the loss is not finite at step {self.backend.step}: try a lower --learning-rate, or --clip 1{kept}")

    def _keep(self) -> None:
        """Takes parameters and step from the backend, and writes them down."""
        self.trained.take_from(self.backend)
        if self.out is not None:
            save(self.out / "model.npz", self.trained)
            write_rows(self.out / "metrics.csv", self.state["rows"])

    def result(self, world: World | None) -> Run:
        """The test figures at the end, and all that is reported."""
        protocol, task, batches, config, state = self.protocol, self.task, self.batches, self.config, self.state
        scores = score(self.backend, protocol, task)
        report = {
            "schema_version": SCHEMA_VERSION,
            **report_of(self.backend, protocol, task, scores, world),
            "repeat_share": protocol.repeat_share,
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
            "counted": protocol.log.counts | protocol.counts | batches.counts,
        }
        # The rankings one by one, so that runs can be compared user by user: arrays [S], [S, 1+R] with the positive first.
        tests = task.samples
        tested = {"user": tests.user, "group": tests.group, "length": tests.end - tests.start,
                  "candidates": task.candidates, "scores": scores}  # fmt: skip
        return Run(self.trained, report, state["rows"], tested)


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


def start_run(data: DataSource, config: Config, out: Path | None = None, show: bool = False) -> tuple[Path, Run]:
    """Trains in a new run folder: -> the folder, the Run. out: by default the first free
    one of runs/NAME-1, -2, …"""
    text = config_text(data, config)
    if out is not None:
        out = Path(out)
        refuse_taken(out, text)
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / "config.json", text)  # before the data are read: another run now finds the folder taken
    try:
        log, world = data.read()
    except BaseException:
        if out is not None:
            remove(out)
        raise
    if out is None:
        out = free_folder(Path(data.data).name)
        write_text(out / "config.json", text)
    return out, _run_in(out, log, config, None, world, show)


def resume_run(out: Path, data: str | None = None, threads: int | None = None, show: bool = False) -> Run:
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
