"""The training loop: `fit`. Runs in folders of their own, with reports and pictures: `training_runs`."""

import contextlib
import copy
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from .arrays import Floats
from .config import Config, defaults
from .datasets.batches import Batches
from .datasets.log import Log
from .datasets.protocol import Protocol
from .datasets.shop_world import World
from .errors import DataError, Diverged
from .evaluation.report import report_of
from .evaluation.scoring import score
from .hard_negatives import with_hard_negatives
from .memory import peak_rss_mb
from .metrics import auc
from .mpi import ranks
from .optimizer import learning_rate
from .progress import progress
from .runs.checkpoint import load, save
from .runs.files import held
from .runs.folder import SCHEMA_VERSION, refuse_run, write_rows
from .runs.trained import COLUMNS, Trained, assemble

BEST = "best.npz"  # in a run folder until the run ends, if it has patience
Callback = Callable[[int, float, float], object]  # of (step, loss, AUC), after each evaluation


@dataclass(repr=False)
class Run:
    """What `fit` returns: the trained model, and the contents of report.json, metrics.csv and test_scores.npz."""

    trained: Trained
    report: dict[str, Any]
    rows: list[list[float]]  # in the order of runs.folder.COLUMNS
    tested: dict[str, Any]  # name -> array [S], or [S, 1+R] with the positive first


def fit(
    log: Log,
    config: Config | None = None,
    *,
    out: str | Path | None = None,
    resume: Trained | None = None,
    world: World | None = None,
    show: bool = False,
    callback: Callback | None = None,
    **settings: Any,
) -> Run:
    """Trains a model on a Log and tests it.

        run = fit(read_log("data/shop"), model="cnn", epochs=3)
        print(run.report["test_auc"], run.report["test_auc_se"])

    config: by default that of the model or variant that `settings` names, else of ATRank.
    settings: fields of Config that differ from it, such as epochs=3.
    out: a folder for model.npz and metrics.csv, which are written at each evaluation.
    resume: the Trained that such a folder holds. The training goes on with its settings; only `threads` may be another.
    world: the simulator that made the log, if one did; the report then has the ceiling of the AUC.
    show: a progress bar in terminals and notebooks; where the output is a file, a line at each evaluation.
    callback: is called with step, loss and AUC after each evaluation.

    DataError if the log leaves nothing to train or test on, if it is not the log of the resumed training, or if `out` holds
    another run. ValueError for a setting that no run can have. Diverged if the loss is NaN or infinite.
    """
    own = resume.config if resume else defaults(settings.get("model", "atrank"), settings.get("variant", ""))
    config = replace(config or own, **settings)
    if resume and replace(config, threads=own.threads) != own:
        raise DataError("resume: goes on with the settings of the run, which cannot be chosen again")
    if config.parts % ranks().size:
        raise DataError(f"`shards`: expected a multiple of the {ranks().size} ranks, got {config.parts}")
    if resume and not resume.fits(log):
        raise DataError("resume: the log is not the one that the model was trained on")
    final = protocol = Protocol(log, config)
    if config.patience:  # validation targets are not trained on, because they choose the best model
        protocol = Protocol(log, replace(config, validate=True))
    for samples, purpose in zip(protocol.sizes.sum(0).tolist(), ("train", "test")):
        if samples == 0:
            counted = "".join(f"; {n} {what}" for what, n in (log.counts | protocol.counts).items() if n)
            raise DataError(
                f"events.csv: no user has a target to {purpose} on (3 target events are needed, 4 to validate){counted}"
            )
    with contextlib.nullcontext() if out is None else held(Path(out)):
        if out is not None:
            folder = Path(out)
            ranks().of_first(lambda: refuse_run(folder, resume))
        trained = resume or replace(assemble(protocol), config=config)
        ranks().must_agree(configuration=config, log=(trained.events, trained.features), step=trained.step)
        training = Training(protocol, trained, config, out, show, callback)
        training.run()
        return training.result(final, world)


class Training:
    """A training under way. Parameters and step belong to its backend; `_keep` fetches them."""

    def __init__(
        self,
        protocol: Protocol,
        trained: Trained,
        config: Config,
        out: str | Path | None,
        show: bool,
        callback: Callback | None,
    ) -> None:
        """config: that of `trained`, but for the threads."""
        self.protocol, self.trained, self.show, self.callback = protocol, trained, show, callback
        self.out = None if out is None else Path(out)
        self.config, self.state = config, trained.state
        self.backend = trained.backend(threads=config.threads)
        self.task, self.batches = protocol.task, Batches(protocol)
        self.best: Trained | None = None
        self.steps = self.config.epochs * self.batches.per_epoch
        evaluations = min(self.config.evaluations, self.steps)
        self.evaluated_after = {round(self.steps * i / evaluations) for i in range(1, evaluations + 1)}

    def run(self) -> None:
        """Does all steps that are left. KeyboardInterrupt after the step in which Ctrl-C was pressed."""
        backend, batches, config = self.backend, self.batches, self.config
        begin = time.perf_counter()
        first = batches.batch(0, 0)
        self.state.seconds += time.perf_counter() - begin  # of drawing an epoch's negatives
        if not ranks().first:  # the first one compiles, the others load what it has compiled
            ranks().wait()
        self.state.compile_seconds += backend.warm_up(first)
        if ranks().first:
            ranks().wait()
        if backend.step:  # of a run that is resumed, maybe in another folder
            self._keep()
        total, done = config.epochs * batches.targets, batches.seen(backend.step)
        bar = progress(self.show, total=total, initial=done, unit=" samples", unit_scale=True, smoothing=0.05)
        # A run that diverges ends with a message of its own; NumPy's warnings would add nothing.
        with _interruptible() as stopped, bar, np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            while not self._finished():
                rate = learning_rate(config, backend.step, self.steps)
                bar.update(self._step(rate))
                if backend.step in self.evaluated_after:
                    loss, test_auc = self._evaluate(rate)
                    bar.set_postfix_str(words := f"loss {loss:.4f}, AUC {test_auc:.4f}")
                    if self.show and bar.disable:
                        print(f"step {backend.step} of {self.steps}: {words}", file=sys.stderr, flush=True)
                    if config.patience and self._best_row() is self.state.rows[-1]:
                        self._keep_best()  # before `_keep`: a run that is killed between the two calls still has its best model
                    self._keep()
                    if self.callback is not None:
                        self.callback(backend.step, loss, test_auc)
                if ranks().any(bool(stopped)):
                    self._keep()
                    raise KeyboardInterrupt(f"stopped after step {backend.step} of {self.steps}")

        if config.patience:
            self._return_to_best()

    def _best_row(self) -> list[float]:
        """The first of the evaluations with the highest AUC."""
        return max(self.state.rows, key=lambda row: row[COLUMNS.index("test_auc")])

    def _finished(self) -> bool:
        """Whether all steps are done, or `patience` evaluations came after the best one."""
        rows, patience = self.state.rows, self.config.patience
        if not rows or not patience:
            return self.backend.step >= self.steps
        return bool(rows[-1][0] >= self.steps or len(rows) - 1 - rows.index(self._best_row()) >= patience)

    def _keep_best(self) -> None:
        self.trained.take_from(self.backend)
        params, moments = copy.deepcopy((self.trained.params, self.trained.moments))
        self.best = replace(self.trained, params=params, moments=moments)
        if self.out is not None:  # a resumed run reads the best model from this file
            save(self.out / BEST, self.best)

    def _return_to_best(self) -> None:
        """The trained model becomes the best one, with all rows; also on disk."""
        if self.best is None and self.out is not None and (self.out / BEST).exists():
            self.best = load(self.out / BEST)
        best = self.best or self.trained  # of a run that had ended when it was resumed
        for name in ("params", "moments", "step", "table_scale"):
            setattr(self.trained, name, getattr(best, name))
        self.backend = self.trained.backend(threads=self.config.threads)
        ranks().wait()  # until all have read it
        self._keep()
        if self.out is not None and ranks().first:
            (self.out / BEST).unlink(missing_ok=True)

    def _step(self, rate: float) -> int:
        """Does one step. -> the number of targets in its batch."""
        begin = time.perf_counter()
        batch = self.batches.batch(*divmod(self.backend.step, self.batches.per_epoch))
        if self.config.pool:
            batch = with_hard_negatives(self.backend, batch, self.protocol.negatives)
        loss = self.backend.train_step(batch, rate)
        self.state.seconds += time.perf_counter() - begin
        self._must_be_finite(loss)
        self.state.loss_sum += loss * len(batch.label)
        self.state.targets += len(batch.label)
        return len(batch.label)

    def _evaluate(self, rate: float) -> tuple[float, float]:
        """Scores the test samples and adds a row to metrics.csv. -> its loss and AUC."""
        state, step = self.state, self.backend.step
        stack = self.protocol.holders.stack
        scores = stack(score(self.backend, self.protocol, self.task))
        self._must_be_finite(scores)
        test = auc(scores, stack(self.task.samples.user))
        loss = state.loss_sum / state.targets
        samples = self.batches.seen(step)
        state.rows.append([step, samples, samples / self.batches.targets, rate, loss, test.mean, test.se, state.seconds])
        state.loss_sum, state.targets = 0.0, 0
        return loss, test.mean

    def _must_be_finite(self, values: float | Floats) -> None:
        if not np.isfinite(values).all():
            kept, step = "", self.trained.step  # of the last checkpoint
            if self.out:
                kept = f"; the model of step {step} is in {self.out}" if step else "; no model was evaluated, so none is kept"
            raise Diverged(f"the loss is NaN or infinite at step {self.backend.step}: try a lower learning rate, or clip 1{kept}")

    def _keep(self) -> None:
        """Fetches parameters and step from the backend, and writes them to disk."""
        self.trained.take_from(self.backend)
        if self.out is not None:
            save(self.out / "model.npz", self.trained)
            write_rows(self.out / "metrics.csv", self.state.rows)

    def result(self, protocol: Protocol, world: World | None) -> Run:
        """Scores the test samples at the end and makes the report."""
        task, batches, config, state = protocol.task, self.batches, self.config, self.state
        _, samples, epochs, *_ = state.rows[-1]
        scores = score(self.backend, protocol, task)
        report: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            **report_of(self.backend, protocol, task, scores, world),
            "repeat_share": protocol.repeat_share,
            "train_samples": batches.targets,
            "epochs": round(epochs, 2) if config.patience else config.epochs,
            "seconds": state.seconds,
            "compile_seconds": state.compile_seconds,
            "samples_per_second": samples / state.seconds,
            "peak_rss_mb": peak_rss_mb(),
            "backend": config.backend,
            "shards": config.parts,
            "threads": config.threads,
            "seed": config.seed,
            "eval_seed": config.eval_seed,
            "config": config.to_dict(),
            "counted": protocol.log.counts | protocol.counts | batches.counts,
        }
        if config.patience:
            best = dict(zip(COLUMNS, self._best_row()))
            kept = {"step": best["step"], "evaluations": len(state.rows), "validation_auc": best["test_auc"]}
            report["kept"] = kept
        tests = task.samples
        tested = {  # every ranking, so that runs can be compared user by user
            "user": tests.user,
            "group": tests.group,
            "length": tests.end - tests.start,
            "candidates": task.candidates,
            "scores": scores,
        }
        tested = {name: protocol.holders.stack(column) for name, column in tested.items()}
        return Run(self.trained, report, state.rows, tested)


@contextlib.contextmanager
def _interruptible() -> Iterator[list[int]]:
    """Gives a list that is empty until Ctrl-C is pressed, so that a step is finished first. A second Ctrl-C stops at once.

    SIGTERM, by which schedulers stop a job, does the same, unless the program has its own handler.
    """
    stopped: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stopped:
            raise KeyboardInterrupt
        stopped.append(number)

    before = {signal.SIGINT: signal.getsignal(signal.SIGINT), signal.SIGTERM: signal.getsignal(signal.SIGTERM)}
    if before[signal.SIGTERM] not in (signal.SIG_DFL, signal.default_int_handler):
        del before[signal.SIGTERM]
    for number in before:
        signal.signal(number, on_signal)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
