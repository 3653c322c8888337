"""The two ways to compute: NumPy, the definition, and numba, the same numbers faster. The threads of the second are here.

A backend holds the parameters of a model while it is trained, and does three things with a batch: `train_step`,
`gradients` (what the step would use, for tests and for looking inside) and `scores`.
"""

import functools
import os
import queue
import threading

import numpy as np

from .layers.ranking import pairs_of, pairwise_backward, pairwise_forward, pointwise_backward, pointwise_forward
from .optimizer import SGD, clip
from .randomness import Dropout


class NumpyBackend:
    """params: name -> array, changed in place by `train_step`; tables are stored divided by `table_scale`."""

    name = "numpy"

    def __init__(self, model, params, config, step=0, table_scale=1.0):
        self.model, self.params, self.config = model, params, config
        self.optimizer = SGD(step, table_scale)

    @property
    def step(self):
        return self.optimizer.step

    @property
    def table_scale(self):
        return self.optimizer.table_scale

    def gradients(self, batch):
        """-> loss, gradients by name, of the next training step (its dropout included)."""
        config = self.config
        dropout = Dropout(config.dropout, config.seed, self.step) if config.dropout else None
        scores, cache = self.model.forward(self.params, batch, self.table_scale, dropout)
        if config.loss == "pair":
            pairs = pairs_of(batch.label, batch.target_offsets)
            loss, loss_cache = pairwise_forward(scores, *pairs)
            dscores = pairwise_backward(1.0, loss_cache)
        else:
            loss, loss_cache = pointwise_forward(scores, batch.label)
            dscores = pointwise_backward(1.0, loss_cache)
        return float(loss), self.model.backward(dscores, cache)

    def train_step(self, batch, rate):
        """One step of gradient descent; the loss before it."""
        loss, gradients = self.gradients(batch)
        if self.config.clip:
            clip(gradients, self.config.clip)
        self.optimizer.apply(self.params, gradients, rate, self.config.l2)
        return loss

    def catalogue_scores(self, batch, group):
        """Logits [M] of every object of a group (its index), row 0 too, for the one history of a batch without targets."""
        return self.scores(batch.with_targets(group, np.arange(self.model.space.groups[group].objects)))

    def warm_up(self, batch):
        """Seconds that compiling took: none."""
        return 0.0

    def scores(self, batch):
        """Logits of all targets [T], without dropout."""
        return self.model.forward(self.params, batch, self.table_scale)[0]


class Team:
    """Threads that do one job together. The caller is one of them; the others sleep between runs, they do not spin.

    Compiled jobs release Python's lock, so they run at the same time. Waking a thread costs some 20 microseconds,
    and compiling takes half as long as with numba's own parallel loops, which compile every callee three times.
    """

    def __init__(self, threads):
        self.threads = threads
        self._start()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._start)  # a fork has the caller's thread alone

    def _start(self):
        self.boxes = [queue.SimpleQueue() for _ in range(self.threads - 1)]
        self.one_by_one = threading.Lock()
        for box in self.boxes:
            threading.Thread(target=self._work, args=(box,), daemon=True).start()

    def _work(self, box):
        while True:
            job, thread, arrived, done = box.get()
            fault = None
            try:
                job(thread, arrived)
            except BaseException as raised:
                fault = raised
            _leave(arrived, thread)
            done.put(fault)

    def run(self, job):
        """job(thread, arrived) on each thread, at the same time; returns when all have ended.

        arrived: zeros [threads, a line of the cache], where they may wait for each other: `kernels.threads`.
        """
        arrived, done = np.zeros((self.threads, 8), np.int64), queue.SimpleQueue()  # of this run; others may be under way
        sent = 0
        try:
            with self.one_by_one:  # in one order for all threads: those of two runs that meet would wait for each other
                for thread, box in enumerate(self.boxes, 1):
                    box.put((job, thread, arrived, done))
                    sent += 1
            job(0, arrived)
        finally:
            _leave(arrived, 0)
            faults = [done.get() for _ in range(sent)]
        for fault in filter(None, faults):
            raise fault


def _leave(arrived, thread):
    """A thread that ends without having come to the meeting keeps nobody waiting."""
    arrived[thread, 0] = arrived[thread, 0] or -1


@functools.cache
def team(threads):
    """The one Team of that size."""
    return Team(threads)


def make_backend(model, params, config, step=0, table_scale=1.0):
    """The backend that config.backend names. numba is imported here, and only here, when it is asked for."""
    if config.backend == "numpy":
        return NumpyBackend(model, params, config, step, table_scale)
    from .kernels import NumbaBackend

    return NumbaBackend(model, params, config, step, table_scale)
