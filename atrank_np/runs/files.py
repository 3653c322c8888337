"""Files that are whole or not there, and folders that one process at a time writes to."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import DataError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_holders: dict[Path, tuple[int, int]] = {}  # folder -> the process and the thread that hold it


@contextlib.contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Opens PATH.part, which becomes `path` at the end of the block. After an error it is removed, and `path` is as it was."""
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


def write_text(path: Path, text: str) -> None:
    """Writes a file, whole or not at all."""
    with whole(path) as file:
        file.write(text.encode("utf-8"))


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Makes a folder, if there is none, and holds it for this thread. DataError if another process or thread holds it.

    The lock is one of the system's, on the folder itself, so a process that is killed leaves none. Where the system or the
    disk has no such locks, none is taken. A folder that is empty at the end is removed.
    """
    me, key = (os.getpid(), threading.get_ident()), folder.resolve()
    if fcntl is None or _holders.get(key) == me:
        folder.mkdir(parents=True, exist_ok=True)
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    opened = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(
                f"{folder}: another process is writing to it; wait until it has ended, or choose another --out"
            ) from None
        except OSError:
            pass
        _holders[key] = me
        try:
            yield
        finally:
            del _holders[key]
            with contextlib.suppress(OSError):
                folder.rmdir()
    finally:
        os.close(opened)
