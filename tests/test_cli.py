"""What all commands share: how they end, what they print, what they import, how much memory they have used."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from runs import assert_fault, command_line, environment, process

from atrank_np import cli, train, train_flags
from atrank_np.__main__ import COMMANDS, main
from atrank_np.datasets.reading import read_log
from atrank_np.errors import DataError
from atrank_np.memory import peak_rss_mb
from atrank_np.runs import trained
from atrank_np.text import one_line, quoted

PACKAGE = Path(cli.__file__).parent


def test_peak_memory_is_in_megabytes():
    """Python with NumPy takes some 30; a machine that has 100,000 does not give them to a test."""
    peak = peak_rss_mb()
    assert peak is None or 10 < peak < 100_000


def test_a_system_that_does_not_tell_its_peak(monkeypatch):
    """Some sandboxes have the file without the line."""
    monkeypatch.setattr(Path, "read_text", lambda *_: "VmRSS:\t 5000 kB\n")
    assert peak_rss_mb() is None or 10 < peak_rss_mb() < 100_000


def test_too_little_memory_is_one_line(tiny, tmp_path, monkeypatch, capsys):
    """And leaves no folder."""
    monkeypatch.setattr(trained, "make_backend", lambda *_: np.empty(2**59))  # 4 exabytes
    monkeypatch.setattr(sys, "argv", ["train", "--data", str(tiny), "--out", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as ended:
        cli.run(train.main)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and error.startswith("error: not enough memory: Unable to allocate ")
    assert error.count("\n") == 1 and list(tmp_path.iterdir()) == []


def test_faults_are_one_line(tiny, tmp_path):
    nowhere = process("train", "--data", tmp_path / "nowhere")
    assert_fault(nowhere, f"{tmp_path}/nowhere: expected a folder with events.csv, found none")
    no_number = process("train", "--data", tiny, "--epochs", "x")
    assert_fault(no_number, "argument --epochs: invalid int value: 'x' (see python -m atrank_np.train --help)")
    (tmp_path / "file").write_text("")
    assert_fault(process("train", "--data", tiny, "--out", tmp_path / "file" / "run"), f"{tmp_path}/file/run: Not a directory")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_all_commands_by_name(tiny, tmp_path):
    """The list has every module that is a command; one runs as it does alone, and takes its folder without a flag."""
    files = {path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py") if "run(main)" in path.read_text()}
    names = {".".join(file.parts).removesuffix(".__main__") for file in files} - {"__main__"}
    assert set(COMMANDS) == names
    listed = subprocess.run([sys.executable, "-m", "atrank_np"], capture_output=True, text=True, env=environment())
    assert listed.returncode == 0 and all(f"  {name} " in listed.stdout for name in names)
    ran = subprocess.run(
        [sys.executable, "-m", "atrank_np", "datasets.stats", tiny], capture_output=True, text=True, env=environment()
    )
    assert ran.returncode == 0 and ran.stdout == process("datasets.stats", tiny).stdout
    with pytest.raises(DataError, match="^trian: no command of that name; there are train, evaluate, "):
        main(["trian"])
    assert train_flags.settings(train_flags.parse([str(tiny)]))[0].data == str(tiny)
    with pytest.raises(DataError, match="not allowed with"):
        train_flags.parse([str(tiny), "--data", str(tiny)])


def test_faults_say_the_next_step(trained_run, tmp_path, monkeypatch, capsys):
    """Case 20."""
    monkeypatch.chdir(tmp_path)
    for arguments, fault in {
        ("--out", ""): "argument --out: expected a folder, got nothing (see .* --help)",
        ("--resume", "nowhere"): "nowhere: no such run; train one with python -m atrank_np.train --out nowhere",
    }.items():
        with pytest.raises(DataError, match=fault.replace("(", r"\(").replace(")", r"\)")):
            train.main(list(arguments))
    assert list(tmp_path.iterdir()) == []
    train.main(["--resume", str(trained_run), "--quiet"])
    commands = [f"python -m atrank_np.{name} {trained_run}" for name in ("evaluate", "recommend", "explain")]
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"next: {commands[0]}, {commands[1]} --user U, {commands[2]} --user U"


def test_output_that_nobody_reads(tiny, tmp_path, trained_run):
    """`| head -1`, also with an output that waits in the buffer until the end."""
    for arguments in (["recommend", trained_run, "--user", "u1"], ["train", "--help"], ["evaluate", trained_run, "--json"]):
        reader, writer = os.pipe()
        os.close(reader)
        result = subprocess.run(command_line(*arguments), stdout=writer, stderr=subprocess.PIPE, text=True, env=environment())
        os.close(writer)
        assert (result.returncode, result.stderr) == (0, "")


def test_no_output_at_all(tiny, trained_run):
    """Standard output may be closed, or know fewer letters than a table has."""
    ended = subprocess.run(f"{shlex.join(command_line('departures'))} >&-", shell=True, capture_output=True, env=environment())
    assert (ended.returncode, ended.stderr) == (0, b"")
    ascii_only = environment() | {"PYTHONIOENCODING": "ascii"}
    shown = subprocess.run(command_line("datasets.stats", tiny), capture_output=True, text=True, env=ascii_only)
    assert shown.returncode == 0 and ", ?)" in shown.stdout


def test_progress_without_a_terminal(tiny, tmp_path):
    """No bar, but a line for each evaluation; with --quiet not even that."""
    flags = ["--width", 8, "--spaces", 2, "--epochs", 1, "--evaluations", 3]
    result = process("train", "--data", tiny, *flags, "--out", tmp_path / "run")
    assert result.returncode == 0
    lines = result.stderr.splitlines()
    assert len(lines) == 3 and all(re.fullmatch(r"step \d of 5: loss 0\.\d{4}, AUC 0\.\d{4}", line) for line in lines)
    assert process("train", "--data", tiny, *flags, "--out", tmp_path / "quiet", "--quiet").stderr == ""
    read, *about_times = result.stdout.partition("\ntest")[0].splitlines()
    found = result.stdout.splitlines()[1 + len(about_times) :]
    assert len(about_times) == 2 and all("bucket_unit" in line for line in about_times)  # of the two groups
    words = ["test", "items:", "queries:", "controls", "popularity", "trained", "counted:", "written", "next:"]
    assert read.startswith("read events.csv ") and [line.split()[0] for line in found] == words
    assert re.match(r"test AUC 0\.\d{4} ± 0\.\d{4} \(1 s\.e\., \d+ positives of \d+ users, negatives: 1 per ", found[0])


IMPORTS = """
import sys
try:
    {}
except SystemExit as end:
    assert end.code == 0
print([name for name in ("numba", "matplotlib", "scipy") if name in sys.modules])
"""


@pytest.mark.parametrize("what", ["train", "evaluate", "recommend", "package"])
def test_what_is_imported(what):
    """Neither the package nor --help loads what only a run needs."""
    code = "import atrank_np" if what == "package" else f"from atrank_np.{what} import main; main(['--help'])"
    result = subprocess.run([sys.executable, "-c", IMPORTS.format(code)], capture_output=True, text=True, env=environment())
    assert result.stdout.splitlines()[-1] == "[]", result.stderr


BLAS = """
import ctypes, pathlib, atrank_np.train, numpy
for path in pathlib.Path(numpy.__file__).parent.parent.glob("numpy.libs/*openblas*"):
    print(ctypes.CDLL(path).scipy_openblas_get_num_threads64_())
"""


def test_one_blas_thread():
    """The matrices of a step are small, and the last bits may depend on how many threads share a product."""
    free = {name: value for name, value in environment().items() if name != "OPENBLAS_NUM_THREADS"}
    result = subprocess.run([sys.executable, "-c", BLAS], capture_output=True, text=True, env=free)
    if not result.stdout:
        pytest.skip("numpy has another BLAS here")
    assert result.stdout == "1\n"


def test_names_that_a_terminal_would_obey():
    """Case 19: they are shown escaped, also in messages, which have at most 300 letters and keep the next step."""
    hostile, shown = "\x1b[31mred\x9b2J\u202egnp\x07", r"\x1b[31mred\x9b2J\u202egnp\x07"
    assert one_line(f"a\n b{hostile}") == f"a b{shown}"
    assert quoted(hostile) == '"' + shown.replace(r"\x1b", r"\u001b").replace(r"\x07", r"\u0007") + '"'
    for name in ("سلام\u200cها", "👩\u200d🚀", "名前", "ñandú"):
        assert one_line(name) == quoted(name) == name
    assert str(DataError(f"{hostile}: none")) == f"{shown}: none"
    long = str(DataError(f"file.csv: {'a' * 1000}; say with --data where it is"))
    assert len(long) <= 300 and long.startswith("file.csv: aaa") and long.endswith("aaa; say with --data where it is")


def test_arguments_are_flags_on_the_command_line(tiny, tmp_path):
    """What Python calls `allow_unknown` is --allow-unknown there."""
    (shutil.copytree(tiny, tmp_path / "data") / "items.csv").write_text("object,category,price\nnew,c1,3\n")
    ended = process("datasets.stats", tmp_path / "data")
    assert ended.stderr.endswith("make the names equal, or go on with --allow-unknown\n") and ended.returncode == 2
    with pytest.raises(DataError, match="or go on with `allow_unknown`$"):
        read_log(tmp_path / "data")


def test_a_pipe_is_no_table(tmp_path):
    """Reading it would wait for ever."""
    os.mkfifo(tmp_path / "events.csv")
    with pytest.raises(DataError, match="events.csv: expected a file, not a pipe; save the data in a file first$"):
        read_log(tmp_path)
