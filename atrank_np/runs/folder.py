"""The folder of a run: what it holds, who may write into it, and how it is opened again."""

import contextlib
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, get_args, get_origin

from ..config import Config
from ..datasets.folder import DataSource, find_data
from ..datasets.log import Log
from ..datasets.shop_world import World
from ..errors import DataError
from ..mpi import ranks
from .checkpoint import load
from .files import write_csv
from .growth import joined
from .trained import COLUMNS, Trained

SCHEMA_VERSION = 1  # of report.json

FILES = ("model.npz", "metrics.csv", "test_scores.npz", "curve.png", "report.json", "config.json")  # of a run folder


def write_rows(path: Path, rows: Iterable[list[float]]) -> None:
    """Writes metrics.csv; rows as COLUMNS says."""
    write_csv(path, COLUMNS, rows)


def config_text(data: DataSource, config: Config, warm: str | None = None) -> str:
    """The text of config.json. warm: the run that training began from, if not from a new model."""
    begun = {"warm_start": str(Path(warm).resolve())} if warm else {}
    return json.dumps({"data": asdict(data), "config": config.to_dict()} | begun, indent=2) + "\n"


def refuse_taken(out: Path, text: str) -> None:
    """DataError if a new run would overwrite a file.

    Its own config.json, with the given text, may exist: a run that was killed before its first checkpoint leaves it.
    """
    refuse_run(out)
    for name in FILES:
        path = out / name
        if path.exists() and (name != "config.json" or path.read_text("utf-8", "replace") != text):
            raise DataError(f"{path}: exists, but is not from this run; choose another --out, or remove it")


def refuse_run(out: Path, resume: Trained | None = None) -> None:
    """DataError if a folder holds a run, unless this is an earlier state of the resumed run."""
    if not (out / "model.npz").exists():
        return
    if resume:
        held = load(out)
        if held.step <= resume.step and (held.config, held.events) == (resume.config, resume.events):
            return
    go_on = f"go on with --resume {out}, or " if (out / "config.json").exists() else ""
    raise DataError(f"{out}: holds a run already; {go_on}choose another --out")


def free_folder(name: str) -> Path:
    """Makes the first free one of runs/NAME-1, -2, …: two runs that start together do not get the same folder."""
    return ranks().of_first(lambda: _free_folder(name))


def _free_folder(name: str) -> Path:
    n = 1
    while True:
        folder = Path("runs") / f"{name}-{n}"
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder
        n += 1


def remove(out: Path) -> None:
    """Removes the files of a run that ends before its first checkpoint, and its folder, unless that holds other files."""
    if not ranks().first:
        return
    (out / "config.json").unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        out.rmdir()


def open_run(run: str | Path, data: str | None = None) -> tuple[Trained, Log, World | None]:
    """The model in a run folder, the log that it was trained on, and the simulator of that log, if one made it.

    data: the data folder, if it has moved since. DataError if the model was not trained on that log.
    """
    trained, (source, _, _) = load(run), settings_of(run, data)
    log, world = source.read(trained.config)
    log = joined(trained, log)
    if what := trained.difference(log):
        raise DataError(f"{source.data}: not the data that {run} was trained on: other {what}; give the right folder with --data")
    return trained, log, world


def settings_of(run: str | Path, data: str | None = None) -> tuple[DataSource, Config, str | None]:
    """What a run was started with: its data, its settings, and the run that it began from, if any.

    data: the data folder, if it has moved since. DataError if config.json is not as `config_text` writes it.
    """
    path = Path(run) / "config.json"
    try:
        written = json.loads(path.read_text("utf-8"))
        entry, config = written["data"], Config(**written["config"])
        source = DataSource(**entry)
        if not all(isinstance(getattr(source, field.name), _classes(field.type)) for field in fields(source)):
            raise TypeError
        warm = written.get("warm_start")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError(f"{path}: expected the run's settings, as train writes them") from None
    source = source if data is None else replace(source, data=data)
    if not find_data(source.data).exists():
        raise DataError(f"{source.data}: the data folder of {run} is not there; give its new place with --data")
    return source, config, warm


def _classes(hint: Any) -> tuple[type, ...]:
    """The classes of a type hint's values: (list, NoneType) of list[str] | None."""
    return tuple(get_origin(part) or part for part in get_args(hint) or (hint,))


def note_unfinished(run: str | Path, trained: Trained) -> None:
    """Prints a note if the training of a run was stopped."""
    if (Path(run) / "config.json").exists() and not (Path(run) / "report.json").exists():
        go_on = f"go on with python -m atrank_np.train --resume {run}"
        print(f"note: {run}: its training was stopped after step {trained.step}; {go_on}", file=sys.stderr)
