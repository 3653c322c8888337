"""Threads that compute a step together, and the barrier where they wait for each other inside compiled code."""

import functools
import os
import queue
import threading

import numpy as np
from numba import types
from numba.extending import intrinsic

from .jit import kernel

LOOKS = 2000  # so often a waiting thread looks and gives way to others, for half a millisecond; then it sleeps between looks
WINDOWS = os.name == "nt"
NAP = 1 if WINDOWS else 50  # milliseconds there, else microseconds
give_way = types.ExternalFunction("SwitchToThread" if WINDOWS else "sched_yield", types.int32())
nap = types.ExternalFunction("Sleep" if WINDOWS else "usleep", types.int32(types.uint32))


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

        arrived: zeros [threads, a line of the cache], for `barrier`.
        """
        arrived, done = np.zeros((self.threads, 8), np.int64), queue.SimpleQueue()  # of this run; others may be under way
        sent = 0
        try:
            with self.one_by_one:  # all threads take runs in the same order; else two runs could wait for each other
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
    """Marks a thread that exits early, so that others skip it at the barrier."""
    arrived[thread, 0] = arrived[thread, 0] or -1


@functools.cache
def team(threads):
    """The one Team of that size."""
    return Team(threads)


@intrinsic
def fence(typing):
    """A memory fence: who sees what this thread writes after it also sees what it wrote before; the same holds for reading."""

    def code(context, builder, sig, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), code


@kernel
def barrier(arrived, thread):
    """Waits until all threads have come here -> whether they have. A way through Python takes 50 µs more.

    arrived: [threads, .], of `Team.run`; a thread that ended before it came here has -1.
    """
    fence()
    arrived[thread, 0] = 1
    for other in range(len(arrived)):
        looks = 0
        fence()
        while arrived[other, 0] == 0:
            if looks < LOOKS:
                give_way()
            else:
                nap(NAP)
            looks += 1
            fence()
        if arrived[other, 0] < 0:
            return False
    return True
