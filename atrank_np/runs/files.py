"""Files that are complete or missing, and folders that one process at a time writes to."""

import contextlib
import csv
import io
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import DataError
from ..mpi import ranks

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_holders: dict[Path, tuple[int, int]] = {}  # folder -> the process and the thread that locked it


class Nothing(io.RawIOBase):
    """A file that drops its contents. The null device of the system would not do: it gives a zip archive wrong positions."""

    def write(self, data: Any) -> int:
        return memoryview(data).nbytes


@contextlib.contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Opens PATH.part, which becomes `path` at the end of the block. After an error it is removed, and `path` is as before.

    Only the first rank writes; what other ranks write is dropped.
    """
    if not ranks().first:
        yield cast(BinaryIO, Nothing())
        return
    beside = path.with_name(path.name + ".part")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException as fault:
        beside.unlink(missing_ok=True)
        if isinstance(fault, OSError) and fault.filename is None:  # a full disk
            raise OSError(fault.errno, fault.strerror or str(fault), str(path)) from None
        raise


def write_csv(path: Path, header: Iterable[object], rows: Iterable[Iterable[object]]) -> None:
    """Writes a CSV file, complete or not at all."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    write_text(path, text.getvalue())


def write_text(path: Path, text: str) -> None:
    """Writes a file, complete or not at all."""
    with whole(path) as file:
        file.write(text.encode("utf-8"))


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Makes a folder, if it is missing, and locks it for this thread. DataError if another process or thread has the lock.

    The first of several ranks locks it for all. It is a lock of the system on the folder itself, so a process that is killed
    leaves no lock. A system or a disk without such locks is used without them. A folder that is empty at the end is removed.
    """
    me, key = (os.getpid(), threading.get_ident()), folder.resolve()
    if _holders.get(key) == me:
        yield
        return
    opened = ranks().of_first(lambda: _locked(folder))
    _holders[key] = me
    try:
        yield
    finally:
        del _holders[key]
        if ranks().first:
            with contextlib.suppress(OSError):
                folder.rmdir()
            if opened is not None:
                os.close(opened)


def _locked(folder: Path) -> int | None:
    """Makes a folder and locks it. -> the file descriptor that holds the lock; None where there are no locks."""
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        return None
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        raise DataError(f"{folder}: another process is writing to it; wait until it has ended, or choose another --out") from None
    except OSError:
        pass
    return opened
