"""Several processes that train one model, to the same bits as one process: the ranks of `mpiexec`.

    mpiexec -n 4 python -m atrank_np.train --data DIR --shards 4

Every rank runs the same program on the same data, and holds all parameters. The work is divided: each computes some shards of
a batch, and some blocks of what is scored. Then the ranks exchange what they have, so that all go on with the same numbers.
A sum of floats depends on the order of its terms. So what is added is added in the order of the shards, whoever computed
them, and never as it arrives: MPI's own sums may take any order.

All ranks must come to each exchange; so they decide alike, from numbers that are equal on all. Rank 0 alone writes and prints.
Without mpiexec there is one rank, and nothing is exchanged.
"""

import contextlib
import functools
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .arrays import Floats, Ints
from .errors import DataError

T = TypeVar("T")
U = TypeVar("U")
Array = NDArray[Any]

# What MPICH, Intel MPI, Open MPI and Slurm tell the processes that they start: how many ranks there are, and which one it is.
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
NUMBERS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK")
OWNER = "ATRANK_NP_RANK"  # the process that is the rank; its child processes inherit the variable, but are no ranks
PIECE = 2**20  # bytes of rows that a rank sends in a piece, at least: sending them takes far longer than the way of a message
PIECES = 8  # at most so many pieces of a batch are sent while others are computed
LOOK = 1e-4  # seconds between two looks at an exchange that goes on while the rank computes
PATIENCE = 2.0  # how many seconds a rank with an error waits for the other ranks to report the same error


class Ranks:
    """The ranks 0 … size - 1 of a program; this process is number `rank`. mpi: the module mpi4py.MPI; None: one rank.

    apart: whether they are on several machines.
    """

    def __init__(self, mpi: Any = None) -> None:
        self.mpi, self.rank, self.size, self.apart = mpi, 0, 1, False
        self.comm: Any = mpi and mpi.COMM_WORLD
        if mpi is not None:
            comm = mpi.COMM_WORLD
            self.rank, self.size = comm.rank, comm.size
            self.apart = self.any(comm.Split_type(mpi.COMM_TYPE_SHARED).size < comm.size)
            self.ends = comm.Dup()  # a rank that ends must not meet the exchanges of others
        self.stderr = 2  # where a rank can be heard

    @property
    def first(self) -> bool:
        return self.rank == 0

    def be_quiet(self) -> None:
        """From now on ranks other than the first print nothing; what they say when they `leave` alone is heard."""
        if not self.first:
            self.stderr = os.dup(2)
            for output in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), output)

    def wait(self) -> None:
        """Until all ranks have come here. One that waits for long leaves its core to others."""
        if self.comm is not None:
            arrived = self.comm.Ibarrier()
            while not arrived.Test():
                time.sleep(0.001)

    def any(self, flag: bool) -> bool:
        """Whether a rank says so."""
        return flag if self.comm is None else bool(self.table(flag).any())

    def map(self, function: Callable[[T], U], items: Sequence[T]) -> Iterator[U]:
        """function(item) of all items, in their order, on every rank; each rank computes some of them."""
        if self.comm is None:
            yield from map(function, items)
            return
        for begin in range(0, len(items), self.size):
            some = items[begin : begin + self.size]
            mine = function(some[self.rank]) if self.rank < len(some) else None
            yield from self.comm.allgather(mine)[: len(some)]

    def of_first(self, function: Callable[[], T]) -> T:
        """What function() returns or raises on rank 0, which alone calls it."""
        if self.comm is None:
            return function()
        found: Any = None
        if self.first:
            try:
                found = function()
            except Exception as fault:
                found = fault
        found = self.comm.bcast(found)
        if isinstance(found, Exception):
            raise found
        answer: T = found
        return answer

    def must_agree(self, **values: object) -> None:
        """DataError unless each value, by its name, is the same on all ranks."""
        if self.comm is None:
            return
        for name, found in ((name, self.comm.allgather(value)) for name, value in values.items()):
            for rank, value in enumerate(found):
                if value != found[0]:
                    raise DataError(f"rank {rank} has another {name} than rank 0: all must get the same flags and files")

    def gather(self, value: T) -> list[T]:
        """The values of all ranks, in their order."""
        return [value] if self.comm is None else self.comm.allgather(value)

    def swap(self, values: list[T]) -> list[T]:
        """values[r] is for rank r. -> what all ranks have for this one, in their order."""
        return values if self.comm is None else self.comm.alltoall(values)

    # Arrays

    def stack(self, own: Array) -> Array:  # [n, …] -> [N, …]
        """The rows of all ranks, in their order."""
        return own if self.comm is None else np.concatenate(self.gather(own))

    def sum(self, own: Ints) -> Ints:
        """The sum of whole numbers over all ranks; their order does not matter."""
        return own if self.comm is None else np.sum(self.gather(own), axis=0)

    def count(self, own: Mapping[str, int]) -> dict[str, int]:
        """The same of counts by name."""
        found: Counter[str] = Counter()
        for counts in self.gather(own):
            for name in counts:
                found[name] += counts[name]
        return dict(found)

    def table(self, *numbers: float, patient: bool = False) -> Floats:  # -> [size, len(numbers)] float64
        """The numbers of all ranks."""
        found = np.empty((self.size, len(numbers)))
        self._finish([self.comm.Iallgather(np.array(numbers, float), found)], patient)
        return found

    def spread(self, parts: Iterable[tuple[Array, Array, Ints, Ints]], patient: bool = False) -> None:
        """For each (own, into, places, counts): all ranks get the arrays `own`, that of rank r as counts[r] numbers from
        into[places[r]] on."""
        messages = [(own, [into, counts.tolist(), places.tolist(), into.dtype.char]) for own, into, places, counts in parts]
        self._finish([self.comm.Iallgatherv(*message) for message in messages], patient)

    def _finish(self, requests: list[Any], patient: bool) -> None:
        """Waits until all are done. patient: other threads compute meanwhile, so leave them the core between two looks."""
        while patient and not self.mpi.Request.Testall(requests):
            time.sleep(LOOK)
        self.mpi.Request.Waitall(requests)

    def join(self, own: Array, into: Array, ends: Ints) -> Array:  # [n], [N], [size] -> [M]
        """The `own` arrays of all ranks one after another, in `into`; the array of rank r ends at index ends[r] (excluded)."""
        end = int(ends[self.rank])
        into[end - len(own) : end] = own
        self.comm.Allgatherv(self.mpi.IN_PLACE, _message(into, np.diff(ends, prepend=0)))
        return into[: ends[-1]]

    def add(self, parts: Floats) -> None:  # [L, n]
        """parts[0] becomes the sum of all parts of all ranks, added in the order of ranks, and in a rank of its parts.

        Each rank adds a piece of the n numbers and sends its sum to all ranks, so a rank receives L + 1 times n numbers,
        whatever the number of ranks.
        """
        L, n = parts.shape
        ends = n * np.arange(1, self.size + 1) // self.size
        pieces = list(pairwise((0, *ends.tolist())))
        sent = np.concatenate([parts[:, a:b].reshape(-1) for a, b in pieces])
        a, b = pieces[self.rank]
        received = np.empty((self.size * L, b - a), parts.dtype)
        counts = L * np.diff(ends, prepend=0)
        own = np.full(self.size, L * (b - a))
        self.comm.Alltoallv(_message(sent, counts), _message(received, own))
        total = received[0]
        for part in received[1:]:
            total += part
        self.join(total, parts[0], ends)

    # The end

    def leave(self, text: str, code: int) -> None:
        """Prints why the program must end.

        If all ranks come here, the first one says it. If not, others may wait for this one: it says why, and ends them all.
        """
        alone = self.comm is not None and not self._all_leave()
        if alone and not self.first:
            os.dup2(self.stderr, 2)
            text = f"rank {self.rank}: {text}"
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr, flush=True)
        if alone:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # MPI would add a line of its own
            self.comm.Abort(code)

    def _all_leave(self) -> bool:
        """Whether all ranks come here within PATIENCE."""
        arrived, until = self.ends.Ibarrier(), time.monotonic() + PATIENCE
        while not arrived.Test() and time.monotonic() < until:
            time.sleep(0.01)
        return bool(arrived.Test())


def _message(array: Array, counts: Ints) -> list[Any]:  # [n], [size]
    """The parts of an array, one after another, as MPI takes them."""
    return [array, counts.tolist(), (np.cumsum(counts) - counts).tolist(), array.dtype.char]


@functools.cache
def ranks() -> Ranks:
    """The Ranks of this program. DataError if it was started as one of several, and they cannot speak to each other."""
    size = max(int(os.environ.get(name, 1)) for name in SIZES)
    started = size > 1 or "PMIX_RANK" in os.environ
    if not started or os.environ.setdefault(OWNER, str(os.getpid())) != str(os.getpid()):
        return Ranks()
    try:
        import mpi4py

        mpi4py.rc.thread_level = "serialized"  # one thread at a time calls MPI
        from mpi4py import MPI
    except (ImportError, RuntimeError) as fault:
        raise _unable(f"mpiexec: its ranks need mpi4py: pip install mpi4py mpich ({fault})") from None
    if MPI.COMM_WORLD.size < size:
        raise _unable(f"mpiexec: started {size} ranks, and mpi4py knows of {MPI.COMM_WORLD.size}: it belongs to another MPI")
    return Ranks(MPI) if MPI.COMM_WORLD.size > 1 else Ranks()


def _unable(text: str) -> DataError:
    """The error that every rank raises; only rank 0 prints it."""
    if next((os.environ[name] for name in NUMBERS if name in os.environ), "0") != "0":
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    return DataError(text)
