"""The threads of the numba backend: a Team, whose runs neither wait for one another's jobs nor lose their own."""

import multiprocessing
import os
import queue
import threading
import time

import pytest

from atrank_np.backend import Team, team


def squares(crew, count=4):
    found = [None] * count

    def job(number):
        time.sleep(0.001)
        found[number] = number**2

    crew.run(job, count)
    return found


def test_all_jobs_are_done():
    for threads in (1, 2, 3):
        assert squares(Team(threads), 7) == [0, 1, 4, 9, 16, 25, 36]


def test_several_callers_at_once():
    """Each waits for the jobs of its own run."""
    wrong = []

    def call():
        wrong.extend(found for _ in range(30) if (found := squares(team(2))) != [0, 1, 4, 9])

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


def test_a_fault_of_a_job_is_raised_and_the_next_run_is_whole():
    crew = Team(2)

    def job(number):
        time.sleep(0.02 * number)
        raise RuntimeError(f"job {number}")

    for count in (1, 2):
        with pytest.raises(RuntimeError, match="job 0"):
            crew.run(job, count)
        assert squares(crew) == [0, 1, 4, 9]


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
            crew.run(lambda number: number and late.wait(1), 2)
    late.set()
    assert squares(crew) == [0, 1, 4, 9]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_in_a_fork():
    """A fork takes over the caller's thread alone, so the team starts others."""
    crew = team(2)
    assert squares(crew) == [0, 1, 4, 9]
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    child = context.Process(target=lambda: answers.put(squares(crew)))
    child.start()
    child.join(20)
    try:
        assert child.exitcode == 0 and answers.get() == [0, 1, 4, 9]
    finally:
        child.kill()
