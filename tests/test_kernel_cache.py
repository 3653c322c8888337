"""Where compiled kernels are kept, on machines where little can be written."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from atrank_np.kernels.cache import cache_folder

# Uses a kernel that numba is asked to cache.
PROGRAM = """
import numpy as np
from atrank_np.kernels.packed import ready
from atrank_np.kernels.ranking import dot_forward
h, f = np.ones((2, 3)), np.zeros(2)
ready(dot_forward, h, h, f)()
print(f)
"""


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A path below a regular file, where not even root can write; all that names a place points there."""
    path = tmp_path / "file"
    path.write_text("")
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(path / "below"))
    monkeypatch.setattr(tempfile, "tempdir", str(path / "below"))
    return path / "below"


def test_the_first_place_that_can_be_written(nowhere, tmp_path, monkeypatch):
    assert cache_folder() is None
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    own = tmp_path / f"atrank_np-{os.getuid()}"
    assert Path(cache_folder()).is_relative_to(own) and own.stat().st_mode & 0o777 == 0o700
    for name, place in (("HOME", ".cache"), ("XDG_CACHE_HOME", ""), ("NUMBA_CACHE_DIR", "")):
        base = tmp_path / name
        base.mkdir()
        monkeypatch.setenv(name, str(base))
        assert Path(cache_folder()).is_relative_to(base / place / "atrank_np")


def test_without_a_home(nowhere, tmp_path, monkeypatch):
    """A user without an entry: there `~` stands for nothing."""
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert "~" not in cache_folder() and not Path("~").exists()


@pytest.mark.parametrize("fault", ["open to all", "a link", "of another user"])
def test_code_is_loaded_from_no_folder_of_others(nowhere, tmp_path, monkeypatch, fault):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    own = tmp_path / f"atrank_np-{os.getuid()}"
    if fault == "a link":
        (tmp_path / "elsewhere").mkdir()
        own.symlink_to(tmp_path / "elsewhere")
    else:
        own.mkdir()
        own.chmod(0o777 if fault == "open to all" else 0o700)
    if fault == "of another user":
        other = os.getuid() + 1
        own.rename(tmp_path / f"atrank_np-{other}")
        monkeypatch.setattr("os.getuid", lambda: other)
    assert cache_folder() is None


@pytest.mark.parametrize("temporary", [False, True])
def test_kernels_compile_all_the_same(nowhere, tmp_path, temporary):
    environment = os.environ | ({"TMPDIR": str(tmp_path)} if temporary else {})
    if not temporary:  # TMPDIR is only one of several places that Python tries
        program = f"import tempfile; tempfile.tempdir = {str(nowhere)!r}\n" + PROGRAM
    else:
        program = PROGRAM
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "[3. 3.]\n"), ran.stderr
    assert ran.stderr == ""
    assert any(tmp_path.rglob("*.nbi")) == temporary
