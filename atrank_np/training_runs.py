"""A training run in a folder of its own: started, or gone on with."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from .config import Config
from .datasets.folder import DataSource
from .datasets.log import Log
from .datasets.shop_world import World
from .errors import DataError, checked
from .evaluation.plots import draw_curve
from .mpi import ranks
from .runs.checkpoint import load
from .runs.files import held, whole, write_text
from .runs.folder import config_text, free_folder, open_run, refuse_taken, remove, settings_of
from .runs.growth import warm_start
from .runs.trained import Trained
from .training import Run, fit


def start_run(
    data: DataSource, config: Config, out: Path | None = None, warm: str | None = None, show: bool = False
) -> tuple[Path, Run]:
    """Trains in a new run folder. -> the folder, and the Run. out: by default the first free one of runs/NAME-1, -2, …

    warm: the run that training begins from, if not from a new model. A run that ends before its first checkpoint leaves no
    folder.
    """
    found, text = None, config_text(data, config, warm)
    if out is None:
        found = _beginning(data, config, warm, show)
        out = free_folder(Path(data.data).name)
    with held(out):
        ranks().of_first(lambda: refuse_taken(out, text))
        write_text(out / "config.json", text)  # before the data are read, so that another run finds the folder taken
        try:
            return out, _run_in(out, config, *(found or _beginning(data, config, warm, show)), show)
        except BaseException:
            if not (out / "model.npz").exists():
                remove(out)
            raise


def resume_run(out: Path, data: str | None = None, threads: int | None = None, show: bool = False) -> Run:
    """Goes on with the run in a folder. data: the data folder, if it has moved since; threads: if not as many as before.

    A run that was killed before its first checkpoint begins again.
    """
    if not (out / "config.json").exists() and not (out / "model.npz").exists():
        raise DataError(f"{out}: no such run; train one with python -m atrank_np.train --out {out}")
    with held(out):
        source, config, warm = settings_of(out, data)
        if threads is not None:
            config = checked(replace, config, threads=threads)
        if not (out / "model.npz").exists():
            return _run_in(out, config, *_beginning(source, config, warm, show), show)
        return _run_in(out, config, *open_run(out, data), show)


def _beginning(data: DataSource, config: Config, warm: str | None, show: bool) -> tuple[Trained | None, Log, World | None]:
    """What training begins with: the model, None for a new one, the log, and the simulator of that log, if one made it."""
    log, world = data.read(config)
    begun = (None, log) if warm is None else warm_start(load(warm), log, config)
    if show:
        print(*log.notes, sep="\n", flush=True)
    return (*begun, world)


def _run_in(out: Path, config: Config, resume: Trained | None, log: Log, world: World | None, show: bool) -> Run:
    """Trains in a folder, and writes scores, picture and report there. The report is last: it says that all is done."""
    try:
        run = fit(log, config, out=out, resume=resume, world=world, show=show)
        with whole(out / "test_scores.npz") as file:
            np.savez(file, **run.tested)
        draw_curve(out / "curve.png", run.rows, run.report)
        write_text(out / "report.json", json.dumps(run.report, indent=2, allow_nan=False) + "\n")
        ranks().wait()  # what comes next may read these files
        return run
    except (KeyboardInterrupt, OSError) as end:
        if not (out / "model.npz").exists():
            raise
        if isinstance(end, OSError):  # a full disk
            raise DataError(f"{end.filename or out}: {end.strerror or end}; then go on with --resume {out}") from None
        raise KeyboardInterrupt(f"{str(end) or 'stopped'}; go on with --resume {out}") from None
