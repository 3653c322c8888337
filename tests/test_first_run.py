"""What a terminal sees while kernels compile, and what `bench --only compile` reports."""

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from atrank_np.bench import compiling
from atrank_np.config import MODELS
from atrank_np.kernels.backend import SPECS

EXPECTED = {model.__name__.lower().replace("_", ""): spec.functions for model, spec in SPECS.items()}
COMPILED = [name for name in MODELS if EXPECTED.get(name.replace("_", ""), 0)]


@pytest.mark.parametrize("model", COMPILED)
def test_a_terminal_sees_what_and_how_far(model, tmp_path):
    """The first time; and the expected number is about right. The second time, with all in the cache, nothing."""
    pty = pytest.importorskip("pty")
    for first in (True, False):
        ours, theirs = pty.openpty()
        command = [sys.executable, "-c", compiling.PROGRAM, model]
        ran = subprocess.Popen(
            command, env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}, stdout=subprocess.PIPE, stderr=theirs
        )
        os.close(theirs)
        text = b""
        try:
            while block := os.read(ours, 4096):
                text += block
        except OSError:  # the other end was closed
            pass
        assert ran.wait() == 0, text.decode()
        numbers = [int(number) for number in re.findall(rb"\rcompiling (\d+)", text)]
        if not first:
            assert text == b""
            return
        expected = EXPECTED[model.replace("_", "")]
        assert numbers == list(range(1, len(numbers) + 1)) and abs(len(numbers) - expected) <= 0.1 * expected
        assert b"compiling 2 of about %d: " % expected in text and b"\n" not in text
        assert text.endswith(b"\r" + b" " * 78 + b"\r")


def test_a_file_sees_nothing(tmp_path):
    command = [
        sys.executable,
        "-c",
        "from atrank_np.kernels.packed import ready\n"
        "from atrank_np.kernels.ranking import dot_forward\n"
        "import numpy as np\nready(dot_forward, np.ones((2, 3)), np.ones((2, 3)), np.ones(2))()",
    ]
    ran = subprocess.run(command, env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_report_of_compiling(monkeypatch):
    monkeypatch.setattr(compiling, "seconds", lambda model, folder: [len(os.listdir(folder)) + 1.25, 2.0])
    report = {}
    _, shown = compiling.part_compile(report, SimpleNamespace())
    assert list(report["compile"]) == list(MODELS) and report["compile"]["atrank"]["load"] == [1.25, 2.0]
    assert re.search(r"\| atrank +\| 1.2 +\| 2.0 +\| 1.2 +\| 2.0 +\|", shown)
