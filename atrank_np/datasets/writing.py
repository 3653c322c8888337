"""Writing a data folder: its files appear together and complete, or not at all."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from ..errors import DataError
from ..mpi import ranks


@contextmanager
def whole_files(out: str | Path, *names: str) -> Iterator[list[TextIO]]:
    """Opens the files `names` of the folder `out` for a `with` statement, to write text to them.

    While the block runs, each file is called NAME.part. It gets its name when the block has ended without an error;
    after an error all of them are deleted.

    Only the first rank writes; what other ranks write is dropped.

    Yields
    ------
    The open files, in the order of `names`.

    Raises
    ------
    DataError
        One of the files exists already, or cannot be written.
    """
    out = Path(out)
    for name in names:
        if (out / name).exists():
            raise DataError(f"{out / name}: the file exists already; choose another --out, or delete it")
    if not ranks().first:
        with ExitStack() as files:
            yield [files.enter_context(open(os.devnull, "w", encoding="utf-8")) for _ in names]
        return
    parts = [out / f"{name}.part" for name in names]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with ExitStack() as files:
            yield [files.enter_context(part.open("w", encoding="utf-8", newline="")) for part in parts]
        for part in parts:
            part.replace(part.with_suffix(""))
    except OSError as fault:
        raise DataError(f"{out}: expected a folder to write to: {fault.strerror}") from None
    finally:
        for part in filter(Path.exists, parts):  # after an error
            part.unlink()
