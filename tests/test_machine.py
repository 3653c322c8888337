"""Faults of the machine: places that cannot be written, a full disk, two processes, odd surroundings. Nothing is lost."""

import errno
import multiprocessing
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from runs import command_line, environment, outcome, process, report, run_train

from atrank_np import evaluate, explain, recommend, train
from atrank_np.datasets.reading import read_log
from atrank_np.errors import DataError
from atrank_np.runs import files
from atrank_np.runs.checkpoint import load
from atrank_np.runs.folder import FILES
from atrank_np.training import fit

SMALL = ["--width", "8", "--spaces", "2", "--epochs", "2", "--evaluations", "3", "--batch-size", "8", "--backend", "numpy"]


@pytest.fixture(scope="module")
def undisturbed(tiny, tmp_path_factory):
    return run_train(tiny, tmp_path_factory.mktemp("runs") / "run", *SMALL)


@pytest.mark.parametrize(
    "odd",
    [
        {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
        {"MPLBACKEND": "module://nowhere", "DISPLAY": ":99"},
        {"MPLBACKEND": "QtAgg", "DISPLAY": "", "COLUMNS": "0", "LINES": "0"},
        {"MPLBACKEND": "no backend", "COLUMNS": "-3", "LANG": "xx_YY.latin-9", "LC_ALL": "xx"},
        {"COLUMNS": "many", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"},
        {"COLUMNS": "1", "PYTHONIOENCODING": "utf-16", "TERM": "", "TZ": "nowhere"},
    ],
    ids=str,
)
def test_odd_surroundings(odd, undisturbed, tiny, tmp_path):
    """A run ends as it does elsewhere, with its picture (case 02)."""
    for name in ("train", "compare"):
        assert subprocess.run(command_line(name, "--help"), env=environment() | odd, capture_output=True).returncode == 0
    arguments = command_line("train", "--data", tiny, "--out", tmp_path / "run", *SMALL)
    ended = subprocess.run(arguments, env=environment() | odd, capture_output=True)
    assert ended.returncode == 0, ended.stderr
    assert b"Traceback" not in ended.stderr and (tmp_path / "run" / "curve.png").exists()
    assert outcome(tmp_path / "run") == outcome(undisturbed)


NOWHERE = """
import sys, tempfile
if sys.argv[1] == "no temporary folder":
    tempfile.tempdir = sys.argv[2]
from atrank_np import cli, train
sys.argv[1:] = sys.argv[3:]
cli.run(train.main)
"""


@pytest.mark.parametrize("temporary", ["a temporary folder", "no temporary folder"])
def test_where_little_can_be_written(temporary, undisturbed, tiny, tmp_path):
    """Case 01: no home, no cache, at worst not even a temporary folder, only the run folder. All places are below a file.

    Where the kernels are kept then: test_kernel_cache.
    """
    (tmp_path / "file").write_text("")
    (tmp_path / "free").mkdir()
    nowhere = str(tmp_path / "file" / "below")
    names = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR")
    closed = environment() | dict.fromkeys(names, nowhere) | {"TMPDIR": str(tmp_path / "free"), "PYTHONDONTWRITEBYTECODE": "1"}
    flags = ["--data", str(tiny), *SMALL, "--quiet", "--out"]
    start = [sys.executable, "-c", NOWHERE, temporary, nowhere, *flags]
    ended = subprocess.run([*start, str(tmp_path / "run")], env=closed, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert outcome(tmp_path / "run") == outcome(undisturbed)
    expected = set(FILES) - ({"curve.png"} if temporary.startswith("no") else set())
    assert {path.name for path in (tmp_path / "run").iterdir()} == expected
    assert len(ended.stderr.splitlines()) == len(FILES) - len(expected)  # one line for the picture
    ended = subprocess.run([*start, nowhere], env=closed, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (2, f"error: {nowhere}: Not a directory\n")


def test_a_picture_that_fails_costs_no_result(tiny, tmp_path, monkeypatch, undisturbed, capsys):
    """Such as where matplotlib finds no folder for its own files."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: 1 / 0)
    out = run_train(tiny, tmp_path / "run", *SMALL)
    assert outcome(out) == outcome(undisturbed) and report(out)["test_auc"] == report(undisturbed)["test_auc"]
    heard = capsys.readouterr()
    assert heard.err == f"{out / 'curve.png'}: not drawn: division by zero\n"
    assert heard.out.splitlines()[-2].endswith("model.npz, metrics.csv, test_scores.npz, report.json, config.json")
    assert sorted(path.name for path in out.iterdir()) == sorted(set(FILES) - {"curve.png"})


def test_a_disk_that_is_full_at_each_write(tiny, tmp_path, monkeypatch, undisturbed, no_picture):
    """One line that names the file; then the run goes on, or begins again, and ends with the same bits."""
    fsync, writes = os.fsync, 0
    for n in range(99):
        out, count = tmp_path / str(n), [0]

        def full(number, count=count, n=n):
            count[0] += 1
            if count[0] == n + 1:
                raise OSError(errno.ENOSPC, "No space left on device")
            fsync(number)

        with monkeypatch.context() as patch:
            patch.setattr(files.os, "fsync", full)
            try:
                run_train(tiny, out, *SMALL)
                break
            except (OSError, DataError) as fault:
                writes += 1
                file = fault.filename if isinstance(fault, OSError) else str(fault).split(":")[0]
                assert Path(file).name in FILES and "No space left on device" in str(fault)
                if (out / "model.npz").exists():
                    assert str(fault).endswith(f"; then go on with --resume {out}")
        assert not list(tmp_path.rglob("*.part"))
        if out.exists():
            train.main(["--resume", str(out), "--quiet"])
        else:
            run_train(tiny, out, *SMALL)
        assert outcome(out) == outcome(undisturbed)
    assert writes == 1 + 3 * 2 + 2  # config.json; model.npz and metrics.csv at each evaluation; scores and report


@pytest.mark.parametrize("most", [0, 100, 20_000])
def test_a_limit_of_the_size_of_files(most, tiny, tmp_path):
    """The system's own refusal, in the middle of an archive."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    ended = process("train", "--data", tiny, "--out", tmp_path / "run", *SMALL, "--quiet", preexec_fn=limit)
    assert ended.returncode == 2 and re.fullmatch(rf"error: {tmp_path}/run/[\w.]+: File too large(; then .*)?\n", ended.stderr)
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_on_a_full_disk(trained_run):
    for redirected in ("> /dev/full", "> /dev/full 2>&1"):
        command = f"{' '.join(command_line('recommend', trained_run, '--user', 'u1'))} {redirected}"
        ended = subprocess.run(command, shell=True, capture_output=True, text=True, env=environment())
        assert ended.returncode == 2
        assert ended.stderr == ("" if "2>" in redirected else "error: the output: No space left on device\n")


def test_one_process_at_a_time(tiny, tmp_path):
    """Of several that go on with one run, one does; the others are told so, and readers find whole files (case 18)."""
    long = [*SMALL, "--epochs", "20", "--evaluations", "100", "--quiet"]
    whole, out = run_train(tiny, tmp_path / "whole", *long), tmp_path / "run"
    running = subprocess.Popen(command_line("train", "--data", tiny, "--out", out, *long), env=environment())
    while not (out / "model.npz").exists():
        assert running.poll() is None
        time.sleep(0.01)
    text = f"{out}: another process is writing to it; wait until it has ended, or choose another --out"
    with pytest.raises(DataError, match=f"^{text}$"):
        train.main(["--resume", str(out), "--quiet"])
    load(out)
    assert running.poll() is None
    running.send_signal(signal.SIGKILL)
    running.wait()
    others = [subprocess.Popen(command_line("train", "--resume", out, "--quiet"), env=environment(), stderr=-1) for _ in "abc"]
    errors = [other.communicate()[1].decode() for other in others]
    assert sorted(other.returncode for other in others) in ([0, 2, 2], [0, 0, 2], [0, 0, 0])  # a late one finds it finished
    assert {error for error in errors if error} <= {f"error: {text}\n"}
    assert outcome(out) == outcome(whole)


def test_threads_of_one_process_do_not_share_a_folder(tiny, tmp_path):
    log, faults = read_log(tiny), []

    def train_there():
        try:
            fit(log, epochs=1, width=8, spaces=2, batch_size=8, backend="numpy", out=tmp_path / "run")
        except DataError as fault:
            faults.append(str(fault))

    with files.held(tmp_path / "run"):
        thread = threading.Thread(target=train_there)
        thread.start()
        thread.join()
        train_there()  # the thread that holds it may
    assert faults == [f"{tmp_path}/run: another process is writing to it; wait until it has ended, or choose another --out"]
    assert load(tmp_path / "run").step > 0


def _fit(tiny, out):
    fit(read_log(tiny), epochs=2, evaluations=3, width=8, spaces=2, batch_size=8, out=out)


@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver"])
def test_in_a_process_of_ones_own(how, trained_run, tiny, tmp_path):
    """A child that has been forked or spawned trains to the same bits, also after its parent has."""
    child = multiprocessing.get_context(how).Process(target=_fit, args=(tiny, tmp_path / "run"))
    child.start()
    child.join(120)
    assert child.exitcode == 0
    assert outcome(tmp_path / "run") == outcome(trained_run)


def test_a_clock_that_goes_back(tiny, tmp_path, monkeypatch, undisturbed, no_picture):
    past = iter(range(10**9, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: next(past))
    assert outcome(run_train(tiny, tmp_path / "run", *SMALL)) == outcome(undisturbed)


def test_a_run_that_never_came_to_a_checkpoint_begins_again(undisturbed, tiny, tmp_path, no_picture):
    (tmp_path / "config.json").write_bytes((undisturbed / "config.json").read_bytes())
    assert train.main(["--resume", str(tmp_path), "--quiet"]) == 0
    assert outcome(tmp_path) == outcome(undisturbed)


def test_data_that_have_moved(undisturbed, tmp_path):
    text = (undisturbed / "config.json").read_text().replace("tiny", "moved")
    for name in FILES:
        (tmp_path / name).write_bytes((undisturbed / name).read_bytes())
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(DataError, match=r"moved: the data folder of .* is not there; give its new place with --data$"):
        recommend.main([str(tmp_path), "--user", "u1"])


def test_ctrl_c_while_a_command_is_imported(tmp_path):
    """No traceback of imports; here it comes while NumPy is imported."""
    (tmp_path / "numpy.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    surroundings = environment() | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{environment()['PYTHONPATH']}"}
    ended = subprocess.run(command_line("train"), env=surroundings, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


def killed_at_random(kills, seed, seconds, command, done):
    """Starts a command again and again, each time killed with -9 at a random moment, until it has done so or is done.

    command() -> the arguments. -> how often it was killed.
    """
    rng, count = random.Random(seed), 0
    while count < kills and not done.exists():
        pipes = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        running = subprocess.Popen(command_line(*command()), env=environment(), **pipes)
        try:
            assert running.wait(rng.uniform(0.1, seconds)) == 0
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
            count += 1
    return count


SOME = pytest.param(3, id="some")
MANY = pytest.param(50, id="many", marks=pytest.mark.slow)
LONG = [*SMALL, "--epochs", "8", "--evaluations", "30", "--quiet"]


@pytest.mark.parametrize("kills", [SOME, MANY])
def test_training_is_killed_at_random_moments(kills, tiny, tmp_path, no_picture):
    """kill -9, also while it imports, reads, or writes a checkpoint: nothing is lost, and the bits are the same."""
    begin = time.monotonic()
    arguments = ["train", "--data", tiny, *LONG, "--out"]
    assert process(*arguments, tmp_path / "whole").returncode == 0
    seconds, total, n = time.monotonic() - begin, 0, 0
    while total < kills:
        out, n = tmp_path / str(n), n + 1

        def command(out=out, n=n):
            begun = (out / "model.npz").exists() or ((out / "config.json").exists() and n % 2)
            return ["train", "--resume", out] if begun else [*arguments, out]

        total += killed_at_random(min(10, kills - total), n, seconds, command, out / "report.json")
        train.main(["--resume", str(out), "--quiet"]) if out.exists() else run_train(tiny, out, *LONG)
        assert outcome(out) == outcome(tmp_path / "whole")
        # Half a picture may be left by a kill: here, without pictures, nothing replaces it.
        assert {path.name for path in out.iterdir()} <= {*FILES, "curve.png.part"}


@pytest.mark.parametrize("kills", [SOME, MANY])
def test_a_comparison_is_killed_at_random_moments(kills, tiny, tmp_path):
    arguments = ["compare", "--data", tiny, "--models", "bpr_mf", "--seeds", 1, *SMALL, "--quiet", "--out"]
    begin = time.monotonic()
    whole = process(*arguments, tmp_path / "whole")
    seconds, total, n = time.monotonic() - begin, 0, 0
    assert whole.returncode == 0
    while total < kills:
        out, n = tmp_path / str(n), n + 1
        total += killed_at_random(min(10, kills - total), n, seconds, lambda out=out: [*arguments, out], out / "table3.json")
        ended = process(*arguments, out)
        assert ended.returncode == 0, ended.stderr
        for run in ("atrank-0", "bpr_mf-0"):
            assert outcome(out / run) == outcome(tmp_path / "whole" / run)


def test_a_run_that_was_stopped_says_so(undisturbed, tmp_path, capsys):
    """Case 07: whoever uses its model is told."""
    for name in FILES:
        (tmp_path / name).write_bytes((undisturbed / name).read_bytes())
    step = load(tmp_path).step
    go_on = f"go on with python -m atrank_np.train --resume {tmp_path}"
    note = f"note: {tmp_path}: its training was stopped after step {step}; {go_on}\n"
    for command in (recommend, evaluate, explain):
        flags = [] if command is evaluate else ["--user", "u1"]
        for stopped in (False, True):
            (tmp_path / "report.json").unlink() if stopped else (tmp_path / "report.json").write_text("{}")
            assert command.main([str(tmp_path), *flags]) == 0
            assert (note in capsys.readouterr().err) == stopped
