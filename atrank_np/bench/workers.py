"""The contenders of `bench`, each in a process of its own."""

import contextlib
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np

from ..arrays import Floats
from ..backend import make_backend
from ..datasets.packing import Batch
from ..datasets.samples import Samples
from ..evaluation.ranking import Moments, best, by_block
from ..evaluation.scoring import catalogue_scores
from ..memory import peak_rss_mb, return_memory
from .workload import POOL, Problem, atrank_flops

OURS = ("numpy", "numba")
REST = 0.1  # seconds before a turn: idle threads of the other contender (BLAS, OpenMP) spin for some 20 ms before they sleep
WARM = 0.05  # seconds of steps that are not counted: at first, threads may share a core until the system moves one
TOP = 10  # objects that are recommended
RATE = 0.01  # learning rate of the timed steps; no speed depends on it


class Fault(Exception):
    """A contender has failed, or computes other numbers; the text says which contender."""


class Contender(Protocol):
    """What is timed. A batch is prepared in the contender's own form, which is not timed; only the contender reads it."""

    @property
    def whole_pool(self) -> bool:
        """Whether its batches differ in cost so much that only all of them together are a fair sample."""
        ...

    def prepare(self, batch: Batch) -> Any: ...

    def step(self, batch: Any, rate: float) -> Any:
        """A training step."""
        ...

    def scores(self, batch: Any) -> Floats: ...

    def rank(self, sample: Samples) -> Floats:
        """Scores of the whole catalogue."""
        ...


class Ours:
    """A backend of this package as a contender."""

    whole_pool = False

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.backend = make_backend(problem.model, problem.params, problem.config)
        problem.params = self.backend.params  # as in training: the initial arrays can be freed
        self.compile_seconds = self.backend.warm_up(problem.pool(1)[0])

    def prepare(self, batch: Batch) -> Batch:
        return batch

    def step(self, batch: Batch, rate: float) -> float:
        return self.backend.train_step(batch, rate)

    def scores(self, batch: Batch) -> Floats:
        return self.backend.scores(batch)

    def rank(self, sample: Samples) -> Floats:
        scores: Floats = catalogue_scores(self.backend, self.problem.log.schema, self.problem.protocol.events, sample)[0]
        return scores

    def top(self, asked: Moments) -> Floats:  # -> [S, TOP]
        """As `recommend` ranks for many users."""
        log, objects = self.problem.log, [len(catalogue.objects) for catalogue in self.problem.log.catalogues.values()]
        blocks = by_block(self.backend, objects, asked, log.schema, False, lambda _, scores: best(scores, TOP)[1])
        return np.concatenate([found for _, found in blocks])


def contender(name: str, problem: Problem) -> Contender:
    """A contender by its name: "numpy", "numba", or an opponent in PyTorch."""
    if name in OURS:
        return Ours(problem)
    import torch

    from . import torch_atrank, torch_competitors

    torch.set_num_threads(problem.config.threads)
    opponents: dict[str, Any] = {"atrank": torch_atrank.OPPONENTS} | torch_competitors.OPPONENTS
    made: Contender = opponents[problem.config.model][name](problem)
    return made


class Site:
    """A contender in its process, and the questions that it can be asked there."""

    def __init__(self, name: str, threads: int, **workload: Any) -> None:
        """workload: arguments of Problem."""
        backend = name if name in OURS else "numpy"
        self.problem = Problem(threads=threads, backend=backend, **workload)
        self.contender = contender(name, self.problem)
        self.batches: dict[bool, list[Batch]] = {}  # one_group -> those that are timed
        self.at: dict[bool, int] = {}  # one_group -> how many of them are done

    def compile_seconds(self) -> float:
        return self.contender.compile_seconds if isinstance(self.contender, Ours) else 0.0

    def trial(self) -> tuple[Floats, Floats]:
        """Scores of a small batch, before and after three steps on other batches, which share few objects with it."""
        batches = [self.contender.prepare(self.problem.stream.pack(np.arange(start, start + 16))) for start in range(0, 64, 16)]
        before = self.contender.scores(batches[0])
        for batch in batches[1:]:
            self.contender.step(batch, self.problem.config.learning_rate)
        return before, self.contender.scores(batches[0])

    def window(self, seconds: float, one_group: bool = False) -> float:
        """Training samples per second, over at least `seconds` of steps. The time to make their batches does not count."""
        if one_group not in self.batches:
            pool = self.problem.pool(by_length=self.contender.whole_pool)
            self.batches[one_group] = [self.problem.one_group(batch) for batch in pool] if one_group else pool
            self.at[one_group] = 0
        time.sleep(REST)
        self._steps(WARM, one_group, 1)
        return self._steps(seconds, one_group, len(self.batches[one_group]) if self.contender.whole_pool else 1)

    def _steps(self, seconds: float, one_group: bool, multiple: int) -> float:
        """Samples per second of steps that go on until the seconds are over and their number is a multiple of `multiple`."""
        samples, spent, count, batches = 0, 0.0, 0, self.batches[one_group]
        while spent < seconds or count % multiple:
            batch = self.contender.prepare(batches[self.at[one_group] % len(batches)])
            begin = time.perf_counter()
            self.contender.step(batch, RATE)
            spent += time.perf_counter() - begin
            samples += len(batch.label)
            count += 1
            self.at[one_group] += 1
        return samples / spent

    def packing(self) -> tuple[float, float]:
        """Seconds that packing a batch takes, and the floating-point operations of its step: means over the first batches."""
        stream, begin = self.problem.stream, time.perf_counter()
        batches = [stream.batch(0, i) for i in range(min(POOL * stream.together, stream.per_epoch))]
        return (time.perf_counter() - begin) / len(batches), float(np.mean([atrank_flops(batch) for batch in batches]))

    def rank(self, number: int, seconds: float = 0.0, **how: Any) -> tuple[float, Floats]:
        """Seconds to score the whole catalogue for a test sample, and the scores. Repeated for at least `seconds`."""
        sample, count = self.problem.test(number), 0
        time.sleep(REST)
        begin = time.perf_counter()
        while count == 0 or time.perf_counter() - begin < seconds:
            scores = self.contender.rank(sample, **how)
            count += 1
        return (time.perf_counter() - begin) / count, scores

    def top(self, users: int, **how: Any) -> tuple[float, float, Floats]:
        """Seconds to find the best objects for some users, the floating-point operations, and the scores."""
        problem, contender = self.problem, self.contender
        samples = problem.protocol.test.take(slice(0, users))
        asked = Moments(problem.protocol.events, samples.start, samples)
        n, M, D = samples.end - samples.start, len(next(iter(problem.log.catalogues.values())).objects), problem.config.width
        flops = float(M * (4.0 * D * D + 4.0 * D * n).sum())  # (6) and, for each behaviour, a score and a weighted value
        time.sleep(REST)
        begin = time.perf_counter()
        if isinstance(contender, Ours):
            scores = contender.top(asked)
        else:
            ranks = [contender.rank(problem.test(number), **how) for number in range(users)]
            scores = best(np.array(ranks)[:, 1:], TOP)[1]
        return time.perf_counter() - begin, flops, scores

    def epoch(self) -> tuple[float, int]:
        """Seconds for a whole epoch, packing and drawing negatives included, and the number of its samples."""
        stream, begin = self.problem.stream, time.perf_counter()
        for i in range(stream.per_epoch):
            self.contender.step(stream.batch(1, i), RATE)
        return time.perf_counter() - begin, stream.targets

    def matmul_peak(self) -> float:
        """Floating-point operations per second of one core: the best of some float32 products of 1024 x 1024."""
        x = np.ones((1024, 1024), np.float32)
        seconds = []
        for _ in range(20):
            begin = time.perf_counter()
            x @ x
            seconds.append(time.perf_counter() - begin)
        return 2 * 1024**3 / min(seconds)

    def peak_rss_mb(self) -> float | None:
        return peak_rss_mb()


def serve(pipe: Connection, name: str, threads: int, workload: dict[str, Any]) -> None:
    """A worker process: builds its Site, then answers each (question, arguments) until it is terminated."""
    return_memory()
    try:
        site = Site(name, threads, **workload)
        while True:
            question, arguments = pipe.recv()
            pipe.send((getattr(site, question)(**arguments), None))
    except (EOFError, KeyboardInterrupt):
        pass  # the process that asks has ended, or is ending
    except Exception as fault:
        pipe.send((None, f"{name}: {type(fault).__name__}: {fault}".partition("\n")[0]))


class Worker:
    """A Site in a process of its own. Workers start at the same time; `ask` waits until its worker is ready."""

    def __init__(self, name: str, threads: int, **workload: Any) -> None:
        self.name = name
        blas = 1 if name == "numba" else threads  # our compiled step has its own threads, each with one thread of BLAS
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, name, threads, workload), daemon=True)
        from unittest import mock  # here, so that the worker processes do not import it: it takes 5 MB

        with mock.patch.dict(os.environ, {f"{library}_NUM_THREADS": str(blas) for library in ("OMP", "OPENBLAS", "MKL")}):
            self.process.start()
        theirs.close()

    def ask(self, question: str, **arguments: Any) -> Any:
        """What that method of the Site returns. Fault if it fails, or if the process has ended."""
        try:
            self.pipe.send((question, arguments))
            answer, fault = self.pipe.recv()
        except (EOFError, OSError):
            fault = f"{self.name}: the process has died; perhaps memory ran out"
        if fault:
            raise Fault(fault)
        return answer

    def close(self) -> None:
        self.process.terminate()
        self.process.join()


@contextlib.contextmanager
def workers(names: Sequence[str], threads: int, **workload: Any) -> Iterator[dict[str, Worker]]:
    """name -> Worker, all started at the same time, and terminated at the end. workload: arguments of Problem."""
    started = {name: Worker(name, threads, **workload) for name in names}
    try:
        yield started
    finally:
        for worker in started.values():
            worker.close()
