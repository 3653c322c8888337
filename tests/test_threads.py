"""The threads of the numba backend: a Team, whose runs neither wait for one another nor lose their own jobs, and the barrier."""

import multiprocessing
import os
import queue
import threading
import time

import numpy as np
import pytest
from numba import njit

from atrank_np.kernels import threads as waiting
from atrank_np.kernels.threads import Team, team

meet = njit(nogil=True)(lambda arrived, thread: waiting.barrier(arrived, thread))


def squares(crew):
    found = [None] * crew.threads

    def job(thread, _):
        time.sleep(0.001)
        found[thread] = thread**2

    crew.run(job)
    return found


def test_all_threads_do_the_job():
    for threads in (1, 2, 3):
        assert squares(Team(threads)) == [0, 1, 4][:threads]


def test_several_callers_at_once():
    """Each waits for the jobs of its own run."""
    wrong = []

    def call():
        wrong.extend(found for _ in range(30) if (found := squares(team(3))) != [0, 1, 4])

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


def test_a_fault_of_a_job_is_raised_and_the_next_run_is_whole():
    crew = Team(2)

    def job(thread, _):
        time.sleep(0.02 * thread)
        if thread in faulty:
            raise RuntimeError(f"thread {thread}")

    for faulty in ([0], [1], [0, 1]):
        with pytest.raises(RuntimeError, match=f"thread {faulty[0]}"):
            crew.run(job)
        assert squares(crew) == [0, 1]


def test_a_run_that_was_left_while_waiting(monkeypatch):
    """Ctrl-C in the middle of the wait: what that run leaves behind is no answer to the next one."""
    crew, late = Team(2), threading.Event()

    class Interrupted(list):
        put = list.append

        def get(self):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(queue, "SimpleQueue", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            crew.run(lambda thread, _: thread and late.wait(1))
    late.set()
    assert squares(crew) == [0, 1]


@pytest.mark.parametrize("looks", [0, 2000])
def test_no_thread_passes_the_barrier_before_all_have_come(monkeypatch, looks):
    """Neither a thread that looks nor one that sleeps between looks; which one comes last varies."""
    monkeypatch.setattr(waiting, "LOOKS", looks)
    meet = njit(nogil=True)(waiting.barrier.py_func)
    crew, wrong = Team(3), []
    for last in (0, 1, 2):
        came = np.zeros(3, bool)

        def job(thread, arrived, last=last, came=came):
            time.sleep(0.03 * (thread == last))
            came[thread] = True
            wrong.extend([thread] if not meet(arrived, thread) or not came.all() else [])

        crew.run(job)
    assert wrong == []


def answers_of(crew, faulty=None, when=None, delays=(0,)):
    """What `barrier` returns where one thread may not come; a call for each delay, and what they raised."""
    answers, raised = [], []

    def job(thread, arrived):
        if thread == faulty and when == "before":
            time.sleep(0.01)
            raise KeyboardInterrupt
        answers.append(meet(arrived, thread))
        if thread == faulty:
            raise KeyboardInterrupt

    def call(delay):
        time.sleep(delay)
        try:
            crew.run(job)
        except KeyboardInterrupt as fault:
            raised.append(fault)

    callers = [threading.Thread(target=call, args=(delay,), daemon=True) for delay in delays]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(10)  # who still waits then, waits for ever
        assert not caller.is_alive()
    return answers, len(raised)


@pytest.mark.parametrize("faulty", [0, 1])
def test_a_thread_that_fails_blocks_no_barrier(faulty):
    """The others learn that it did not come; or that it did, if it failed after the barrier."""
    crew = Team(3)
    assert answers_of(crew, faulty, "before") == ([False] * 2, 1)
    assert answers_of(crew, faulty, "after") == ([True] * 3, 1)
    assert squares(crew) == [0, 1, 4]


def test_barriers_of_several_callers_at_once():
    """Were two runs to reach two threads in different orders, each would wait for the other's."""
    crew = Team(3)
    slow, box = [0.1, 0], crew.boxes[1]

    class Slow:
        def put(self, work):
            time.sleep(slow.pop(0))
            box.put(work)

    crew.boxes[1] = Slow()
    assert answers_of(crew, delays=(0, 0.03)) == ([True] * 6, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_in_a_fork():
    """A fork takes over the caller's thread alone, so the team starts others."""
    crew = team(3)
    assert squares(crew) == [0, 1, 4]
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=lambda: answers.put(squares(crew)))
    child.start()
    child.join(20)
    try:
        assert child.exitcode == 0 and answers.get() == [0, 1, 4]
    finally:
        child.kill()
