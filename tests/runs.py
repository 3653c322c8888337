"""What the tests of the commands need: a tiny data folder, ways to run a command, and what a run must end with."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from atrank_np import train
from atrank_np.config import Config
from atrank_np.datasets.batches import Batches
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.runs import trained
from atrank_np.runs.checkpoint import load

HERE = Path(__file__).parent
TIMES = ("seconds", "compile_seconds", "samples_per_second", "peak_rss_mb")  # of a report: they differ from run to run

SCHEMA = """
targets = ["items", "queries"]
[groups.items]
buckets = 6
bucket_unit = 10
target_actions = ["click", "buy"]
[groups.items.features]
object = {kind = "id", size = 4}
category = {kind = "categorical", table = "words", size = 4}
price = {kind = "number", size = 2}
[groups.queries]
buckets = 5
bucket_unit = 10
[groups.queries.features]
object = {kind = "id", size = 4}
words = {kind = "tokens", size = 4}
"""


def write_tiny(folder, users=30, seed=0):
    """30 users, 20 items and 8 queries; items of the user's own category are five times as likely as others."""
    rng = np.random.default_rng(seed)
    category = np.arange(20) % 4
    events = ["user,group,action,object,time"]
    for u in range(users):
        time, chance = 1000, np.where(category == u % 4, 5.0, 1.0)
        for _ in range(rng.integers(1, 14)):
            time += int(rng.integers(0, 300))
            if rng.random() < 0.3:
                events.append(f"u{u},queries,search,q{rng.integers(8)},{time}")
            else:
                action = rng.choice(["click", "click", "buy", "show"])
                events.append(f"u{u},items,{action},i{rng.choice(20, p=chance / chance.sum())},{time}")
    events.append("u0,items,click,gone,1500")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "events.csv").write_text("\n".join(events) + "\n")
    items = [f"i{i},{'' if i == 7 else f'c{c}'},{'' if i == 3 else rng.integers(100)}" for i, c in enumerate(category)]
    (folder / "items.csv").write_text("\n".join(["object,category,price", *items]) + "\n")
    queries = [f"q{i},c{i % 4} {'' if i < 4 else 'cheap'}" for i in range(8)]
    (folder / "queries.csv").write_text("\n".join(["object,words", *queries]) + "\n")
    (folder / "schema.toml").write_text(SCHEMA)
    return folder


def run_train(data, out, *flags):
    """Runs `train` in this process, with a small model. -> the run folder."""
    small = ["--width", "8", "--spaces", "2", "--epochs", "2", "--evaluations", "3", "--batch-size", "8", "--quiet"]
    assert train.main(["--data", str(data), "--out", str(out), *small, *flags]) == 0
    return Path(out)


def process(module, *arguments, **options):
    """Runs the command of that name in a process of its own."""
    return subprocess.run(command_line(module, *arguments), capture_output=True, text=True, env=environment(), **options)


def command_line(module, *arguments):
    return [sys.executable, "-m", f"atrank_np.{module}", *map(str, arguments)]


def environment():
    return {**os.environ, "PYTHONPATH": str(HERE.parent)}


def assert_fault(result, text, code=2):
    """One line on stderr, nothing on stdout, and the exit code of a user's fault."""
    assert result.stderr.splitlines() == [f"error: {text}"]
    assert (result.returncode, result.stdout) == (code, "")


def outcome(out):
    """What must have the same bits in runs that should be equal: parameters, optimiser state and metrics."""
    model = load(out)
    rows = [row[:-1] for row in model.state.rows]  # without the seconds
    counters = {name: getattr(model.state, name) for name in ("loss_sum", "targets")}
    written = [line.rsplit(",", 1)[0] for line in (Path(out) / "metrics.csv").read_text().splitlines()]
    state = {"": model.params} | model.moments
    arrays = {(part, name): w.tobytes() for part in state for name, w in state[part].items()}
    return arrays, model.step, model.table_scale, rows, counters, written


def report(out):
    def no_constant(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads((out / "report.json").read_text(), parse_constant=no_constant)


def terms(folder):
    """Whether the positive wins, ½ for a tie, [S]; and the rest of test_scores.npz."""
    with np.load(folder / "test_scores.npz") as file:
        tested = dict(file)
    positive, negative = tested.pop("scores").T
    return (positive > negative) + 0.5 * (positive == negative), tested


def batches_of(tiny, **settings):
    log, config = read_log(tiny), Config(batch_size=8, **settings)
    return Batches(Protocol(log, config))


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


def killed():
    raise Killed


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def at_step(monkeypatch, step, act):
    """Calls `act` in the middle of a run, before training step number `step`."""
    make = trained.make_backend

    def make_and_watch(*arguments):
        backend = make(*arguments)
        train_step = backend.train_step

        def watched(batch, rate):
            if backend.step == step:
                act()
            return train_step(batch, rate)

        backend.train_step = watched
        return backend

    monkeypatch.setattr(trained, "make_backend", make_and_watch)


def cells(markdown):
    """Rows of cells of a Markdown table."""
    return [line.strip("| ").split(" | ") for line in markdown.splitlines() if not line.startswith("| ---")]
