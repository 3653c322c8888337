"""A training run in a folder of its own: started, or gone on with."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from .config import Config
from .datasets.folder import DataSource
from .datasets.log import Log
from .datasets.shop_world import World
from .errors import checked
from .evaluation.plots import draw_curve
from .runs.checkpoint import load
from .runs.folder import config_text, free_folder, open_run, refuse_taken, remove, write_text
from .runs.growth import warm_start
from .runs.trained import Trained
from .training import Run, fit


def start_run(
    data: DataSource, config: Config, out: Path | None = None, warm: str | None = None, show: bool = False
) -> tuple[Path, Run]:
    """Trains in a new run folder. -> the folder, and the Run. out: by default the first free one of runs/NAME-1, -2, …

    warm: the run that training begins from, if not from a new model.
    """
    text, resume = config_text(data, config, warm), None
    if out is not None:
        out = Path(out)
        refuse_taken(out, text)
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / "config.json", text)  # before the data are read, so that another run finds the folder taken
    try:
        log, world = data.read()
        if warm is not None:
            resume, log = warm_start(load(warm), log, config)
    except BaseException:
        if out is not None:
            remove(out)
        raise
    if out is None:
        out = free_folder(Path(data.data).name)
        write_text(out / "config.json", text)
    return out, _run_in(out, log, config, resume, world, show)


def resume_run(out: Path, data: str | None = None, threads: int | None = None, show: bool = False) -> Run:
    """Goes on with the run in a folder. data: the data folder, if it has moved since; threads: if not as many as before."""
    resume, log, world = open_run(out, data)
    config = resume.config
    if threads is not None:
        config = checked(replace, config, threads=threads)
    return _run_in(Path(out), log, config, resume, world, show)


def _run_in(out: Path, log: Log, config: Config, resume: Trained | None, world: World | None, show: bool) -> Run:
    """Trains in a folder, and writes report and picture there. A run that ends before its first checkpoint leaves no folder."""
    try:
        run = fit(log, config, out=out, resume=resume, world=world, show=show)
    except BaseException as end:
        if not (out / "model.npz").exists():
            remove(out)
        elif isinstance(end, KeyboardInterrupt):
            raise KeyboardInterrupt(f"{str(end) or 'stopped'}; go on with --resume {out}") from None
        raise
    np.savez(out / "test_scores.npz", **run.tested)
    write_text(out / "report.json", json.dumps(run.report, indent=2, allow_nan=False) + "\n")
    draw_curve(out / "curve.png", run.rows, run.report)
    return run
