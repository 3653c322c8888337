"""The contenders of `bench`, each in a process of its own."""

import contextlib
import multiprocessing
import os
import time

import numpy as np

from ..backend import make_backend
from ..evaluation.scoring import catalogue_scores
from ..memory import peak_rss_mb, return_memory
from .workload import POOL, Problem, atrank_flops

OURS = ("numpy", "numba")
REST = 0.1  # seconds before a turn: the idle threads of the other's BLAS and OpenMP spin for some 20 ms before they sleep
WARM = 0.05  # seconds of steps that are not counted: woken threads may share a core until the system parts them
RATE = 0.01  # of the timed steps; no speed depends on it


class Fault(Exception):
    """A contender has failed, or computes something else; the text says which."""


class Ours:
    """A backend of this package as a contender. What a contender is: prepare, step, scores, rank, whole_pool."""

    whole_pool = False

    def __init__(self, problem):
        self.problem = problem
        self.backend = make_backend(problem.model, problem.params, problem.config)
        problem.params = self.backend.params  # as in training, so that the first ones can go
        self.compile_seconds = self.backend.warm_up(problem.pool(1)[0])
        self.step, self.scores = self.backend.train_step, self.backend.scores

    def prepare(self, batch):
        return batch

    def rank(self, sample):
        return catalogue_scores(self.backend, self.problem.log.schema, self.problem.protocol.events, sample)


def contender(name, problem):
    """By its name: "numpy", "numba", or an opponent in PyTorch."""
    if name in OURS:
        return Ours(problem)
    from . import torch_atrank, torch_competitors

    torch_atrank.torch.set_num_threads(problem.config.threads)
    return ({"atrank": torch_atrank.OPPONENTS} | torch_competitors.OPPONENTS)[problem.config.model][name](problem)


class Site:
    """A contender in its process, and what it can be asked there."""

    def __init__(self, name, threads, **workload):
        backend = name if name in OURS else "numpy"
        self.problem = Problem(threads=threads, backend=backend, **workload)
        self.contender, self.batches, self.at = contender(name, self.problem), {}, {}

    def compile_seconds(self):
        return self.contender.compile_seconds

    def trial(self):
        """Scores of a small batch, before and after three steps on others that leave most of its objects alone."""
        batches = [self.contender.prepare(self.problem.stream.pack(np.arange(start, start + 16))) for start in range(0, 64, 16)]
        before = self.contender.scores(batches[0])
        for batch in batches[1:]:
            self.contender.step(batch, self.problem.config.learning_rate)
        return before, self.contender.scores(batches[0])

    def window(self, seconds, one_group=False):
        """Training samples a second, over at least so many seconds of steps; making their batches is not counted."""
        if one_group not in self.batches:
            pool = self.problem.pool(by_length=self.contender.whole_pool)
            self.batches[one_group] = [self.problem.one_group(batch) for batch in pool] if one_group else pool
            self.at[one_group] = 0
        time.sleep(REST)
        self._steps(WARM, one_group, 1)
        return self._steps(seconds, one_group, len(self.batches[one_group]) if self.contender.whole_pool else 1)

    def _steps(self, seconds, one_group, multiple):
        """Goes on until the seconds are over, and the number of steps is a multiple of that."""
        samples, spent, count, batches = 0, 0.0, 0, self.batches[one_group]
        while spent < seconds or count % multiple:
            batch = self.contender.prepare(batches[self.at[one_group] % len(batches)])
            begin = time.perf_counter()
            self.contender.step(batch, RATE)
            spent += time.perf_counter() - begin
            samples, count, self.at[one_group] = samples + len(batch.label), count + 1, self.at[one_group] + 1
        return samples / spent

    def packing(self):
        """Seconds that packing a batch takes, and the floating-point operations of its training step: means of the first ones."""
        stream, begin = self.problem.stream, time.perf_counter()
        batches = [stream.batch(0, i) for i in range(min(POOL * stream.together, stream.per_epoch))]
        return (time.perf_counter() - begin) / len(batches), float(np.mean([atrank_flops(batch) for batch in batches]))

    def rank(self, number, seconds=0.0, **how):
        """Seconds for the scores of the whole catalogue for one test sample, a mean over at least so many, and the scores."""
        sample, count = self.problem.test(number), 0
        time.sleep(REST)
        begin = time.perf_counter()
        while count == 0 or time.perf_counter() - begin < seconds:
            scores, count = self.contender.rank(sample, **how), count + 1
        return (time.perf_counter() - begin) / count, scores

    def epoch(self):
        """Seconds for a whole epoch, packing and drawing negatives included, and its samples."""
        stream, begin = self.problem.stream, time.perf_counter()
        for i in range(stream.per_epoch):
            self.contender.step(stream.batch(1, i), RATE)
        return time.perf_counter() - begin, stream.targets

    def matmul_peak(self):
        """Floating-point operations a second of one core: the best of some float32 products of 1024 x 1024."""
        x = np.ones((1024, 1024), np.float32)
        seconds = []
        for _ in range(20):
            begin = time.perf_counter()
            x @ x
            seconds.append(time.perf_counter() - begin)
        return 2 * 1024**3 / min(seconds)

    def peak_rss_mb(self):
        return peak_rss_mb()


def serve(pipe, name, threads, workload):
    """A worker process: builds its Site, then answers (question, arguments) until it is ended."""
    return_memory()
    try:
        site = Site(name, threads, **workload)
        while True:
            question, arguments = pipe.recv()
            pipe.send((getattr(site, question)(**arguments), None))
    except (EOFError, KeyboardInterrupt):
        pass  # the asking process has gone, or is going
    except Exception as fault:
        pipe.send((None, f"{name}: {type(fault).__name__}: {fault}".partition("\n")[0]))


class Worker:
    """A Site in a process of its own; it starts while others do, and asking waits for it."""

    def __init__(self, name, threads, **workload):
        self.name = name
        blas = 1 if name == "numba" else threads  # our compiled step has threads of its own, with BLAS single in each
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, name, threads, workload), daemon=True)
        from unittest import mock  # by the asking process alone: it takes 5 MB

        with mock.patch.dict(os.environ, {f"{library}_NUM_THREADS": str(blas) for library in ("OMP", "OPENBLAS", "MKL")}):
            self.process.start()
        theirs.close()

    def ask(self, question, **arguments):
        try:
            self.pipe.send((question, arguments))
            answer, fault = self.pipe.recv()
        except (EOFError, OSError):
            fault = f"{self.name}: the process has died; was there memory enough?"
        if fault:
            raise Fault(fault)
        return answer

    def close(self):
        self.process.terminate()
        self.process.join()


@contextlib.contextmanager
def workers(names, threads, **workload):
    """name -> Worker, all started at once, ended together."""
    started = {name: Worker(name, threads, **workload) for name in names}
    try:
        yield started
    finally:
        for worker in started.values():
            worker.close()
