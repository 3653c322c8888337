"""Where the contenders of `bench` work: the problem that all of them get, and a process for each."""

import contextlib
import multiprocessing
import os
import time
from dataclasses import replace

import numpy as np

from .assembly import assemble
from .backend import make_backend
from .command import peak_rss_mb, return_memory
from .config import defaults
from .datasets.electronics_shaped import ITEMS, USERS, electronics_shaped
from .datasets.packing import pack
from .datasets.reading import read_log
from .datasets.sampling import split
from .evaluate import catalogue_scores
from .parameters import has_unknown, normal
from .randomness import stream
from .train import Batches

OURS = ("numpy", "numba")
POOL = 40  # batches that are timed, and that an opponent may sort by length
REST = 0.1  # seconds before a turn: the idle threads of the other's BLAS and OpenMP spin for some 20 ms before they sleep
WARM = 0.05  # seconds of steps that are not counted: woken threads may share a core until the system parts them
RATE = 0.01  # of the timed steps; no speed depends on it


class Fault(Exception):
    """A contender has failed, or computes something else; the text says which."""


def atrank_flops(batch, D=128):
    """Floating-point operations of a training step: 8 products with a [D,D] matrix for a behaviour, 4 for a target, and
    D numbers of scores and of values for a pair of the attention; backward takes twice what forward takes. So the layers
    do it; the kernels need a little less (`kernels.attention.folded_forward`)."""
    n, q = np.diff(batch.offsets), np.diff(batch.target_offsets)
    return 3 * (2 * D * D * (8 * n.sum() + 4 * q.sum()) + 4 * D * (n * (n + q)).sum())


class Problem:
    """What every contender starts from, equal in every process: a log, a model, its parameters, its batches."""

    def __init__(self, batch=32, threads=1, backend="numba", users=USERS, items=ITEMS, length=None, data=None,
                 model="atrank"):  # fmt: skip
        """length: all samples have histories of so many behaviours; data: a folder with the log, all its groups ranked."""
        self.config = replace(  # what a competitor clips is left out, for its opponent too
            defaults(model), batch_size=batch, backend=backend, threads=threads, shards=max(2, threads), clip=0.0
        )
        self.log = electronics_shaped(users, items, length and length + 2) if data is None else read_log(data)
        if data is not None:
            self.log.schema = self.log.schema.choose(targets=[group.name for group in self.log.schema.groups])
        self.parts = split(self.log)
        if length:
            train = self.parts.train
            kept = train.end - train.start == length
            self.parts = self.parts._replace(train=replace(train, place=train.place[kept], end=train.end[kept]))
        trained = assemble(self.log, self.parts, self.config)
        self.model, self.params, self.target_action = trained.model(), trained.params, trained.target_actions[0]
        self.category = next(iter(self.log.catalogues.values())).features.get("category")
        rng = stream(1, "initialisation")
        for name, w in self.params.items():  # as if trained: with biases of 0, equal scores would prove less
            w += normal(rng, w.shape, 0.05, w.dtype)
            if has_unknown(name):
                w[0] = 0
        self.stream = Batches(self.log, self.parts, self.config)
        self.stream.batch(0, 0)  # draws the order and the negatives of the first epoch

    def pool(self, count=POOL, by_length=False):
        """The first batches of the first epoch; by_length: the same samples, each batch of like lengths, in random order."""
        size = self.stream.histories
        chosen = self.stream.order[: count * size]
        if by_length:
            length = (self.parts.train.end - self.parts.train.start)[chosen]
            starts = size * stream(0, "order").permutation(len(chosen) // size)
            chosen = chosen[np.argsort(length, kind="stable")][(starts[:, None] + np.arange(size)).reshape(-1)]
        return [self.stream.pack(chosen[start : start + size]) for start in range(0, len(chosen), size)]

    def one_group(self, batch):
        """The same Batch with all rows and targets of the first group: as many, of the same histories."""
        first = self.log.schema.groups[0]
        objects = len(self.log.catalogues[first.name].objects)
        return batch._replace(
            group=np.zeros_like(batch.group), object=batch.object % objects, bucket=np.minimum(batch.bucket, first.buckets - 1),
            target_group=np.zeros_like(batch.target_group), target_object=batch.target_object % objects)  # fmt: skip

    def test(self, number):
        """One test sample."""
        return self.parts.test.take(slice(number, number + 1))

    def history(self, sample):
        """The Batch of one history; its target is of no use."""
        return pack(self.log.schema, self.parts.events, sample, np.ones((1, 1), np.int32))


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
        return catalogue_scores(self.backend, self.problem.log.schema, self.problem.parts.events, sample)


def contender(name, problem):
    """By its name: "numpy", "numba", or an opponent of bench_torch."""
    if name in OURS:
        return Ours(problem)
    from . import bench_competitors, bench_torch

    bench_torch.torch.set_num_threads(problem.config.threads)
    return ({"atrank": bench_torch.OPPONENTS} | bench_competitors.OPPONENTS)[problem.config.model][name](problem)


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
