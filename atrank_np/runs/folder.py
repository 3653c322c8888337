"""The folder of a run: what it holds, who may write into it, and how it is opened again."""

import contextlib
import csv
import io
import itertools
import json
import os
from dataclasses import asdict, astuple, fields, replace
from pathlib import Path

from ..datasets.folder import DataSource
from ..datasets.log import Log
from ..datasets.shop_world import World
from ..errors import DataError
from .checkpoint import load
from .trained import Trained

SCHEMA_VERSION = 1  # of report.json

FILES = ("model.npz", "metrics.csv", "test_scores.npz", "curve.png", "report.json", "config.json")  # of a run folder

COLUMNS = ("step", "samples", "epoch", "learning_rate", "loss", "test_auc", "test_auc_se", "seconds")


def write_rows(path, rows):
    """metrics.csv."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([COLUMNS, *rows])
    write_text(path, text.getvalue())


def write_text(path, text):
    """A file, whole or not at all."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(text, "utf-8", newline="")
    os.replace(beside, path)


def config_text(data, config):
    """config.json."""
    return json.dumps({"data": asdict(data), "config": config.to_dict()}, indent=2) + "\n"


def refuse_taken(out, text):
    """DataError if a new run would overwrite a file; the same config.json may be there, of a run that was killed early."""
    refuse_run(out)
    for name in filter(lambda name: (out / name).exists(), FILES):
        if name != "config.json" or (out / name).read_text(errors="replace") != text:
            raise DataError(f"{out / name}: exists, and is not of this run; choose another --out, or remove it")


def refuse_run(out, resume=None):
    """DataError if a folder holds a run, unless that is an earlier part of the resumed one."""
    if not (out / "model.npz").exists():
        return
    held = load(out) if resume else None
    if held and held.step <= resume.step and (held.config, held.events) == (resume.config, resume.events):
        return
    go_on = f"go on with --resume {out}, or " if (out / "config.json").exists() else ""
    raise DataError(f"{out}: holds a run already; {go_on}choose another --out")


def free_folder(name):
    """The first free one of runs/NAME-1, -2, …, made at once, so that two runs started together do not share it."""
    for n in itertools.count(1):
        folder = Path("runs") / f"{name}-{n}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            pass


def remove(out):
    """A run that ends before its first checkpoint leaves no folder behind, unless that holds other files."""
    for name in ("config.json", "model.npz.part"):
        (out / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        out.rmdir()


def open_run(run: str | Path, data: str | None = None) -> tuple[Trained, Log, World | None]:
    """What a run trained, the log it was trained on, and its simulator. data: the data folder, if it has moved since.

    DataError if they do not belong together.
    """
    trained, source = load(run), _source_of(Path(run) / "config.json")
    if data is not None:
        source = replace(source, data=data)
    log, world = source.read()
    if not trained.fits(log):
        raise DataError(f"{source.data}: not the data that {run} was trained on")
    return trained, log, world


def _source_of(path):
    """The data of a config.json. DataError if it is not as `config_text` writes it."""
    try:
        entry = json.loads(path.read_text())["data"]
        source = DataSource(**{field.name: entry[field.name] for field in fields(DataSource)})
        folder, *lists, size = astuple(source)
        if not (isinstance(folder, str) and all(isinstance(v, list | None) for v in lists) and isinstance(size, int | None)):
            raise TypeError
        return source
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{path}: expected the run's settings, as train writes them") from None
