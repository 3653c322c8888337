"""Trains ATRank on a behaviour log: `python -m atrank_np.train [--data DIR]`. Without arguments: on the simulated shop."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from . import cli
from .errors import DataError
from .evaluation.report import describe_run
from .runs.folder import FILES
from .train_flags import given_flags, parse, settings, warm_settings
from .training_runs import resume_run, start_run


def main(arguments: Sequence[str]) -> int:
    options, given = parse(arguments), given_flags(arguments)
    if "resume" in options:
        if others := given.keys() - {"resume", "data", "threads", "quiet"}:
            raise DataError(
                f"`resume`: goes on with the settings of the run; `{min(others)}` cannot be chosen again, but a new run "
                "can begin where this one ends, with --warm-start"
            )
        out = Path(given["resume"])
        run = resume_run(out, given.get("data"), given.get("threads"), show=not options.quiet)
    else:
        data, config = warm_settings(given) if "warm_start" in options else settings(options)
        folder = Path(given["out"]) if "out" in given else None
        out, run = start_run(data, config, folder, given.get("warm_start"), show=not options.quiet)
    print(describe_run(run.report))
    print(f"written to {out}: {', '.join(name for name in FILES if (out / name).exists())}")
    run_folder, drawn = shlex.quote(str(out)), run.trained.config.model == "atrank"
    print(f"next: python -m atrank_np.evaluate {run_folder}", end="")
    print(*(f", python -m atrank_np.{name} {run_folder} --user U" for name in ("recommend", "explain")[: 1 + drawn]), sep="")
    return 0


if __name__ == "__main__":
    cli.run(main)
