"""Writing a data folder: its files appear together and whole, or not at all."""

from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..errors import DataError


@contextmanager
def whole_files(out, *names):
    """Opens these files of the folder `out` for text; they take their names once the block has ended well.

    DataError if one of them is there already, or cannot be written.
    """
    out = Path(out)
    for name in names:
        if (out / name).exists():
            raise DataError(f"{out / name}: is there already; choose another --out, or remove it")
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
        for part in filter(Path.exists, parts):  # those of a failure
            part.unlink()
