"""What `from atrank_np import …` gives, to Python and to a type checker."""

import importlib.util
import subprocess
import sys
from importlib import metadata

import pytest

import atrank_np


def test_every_public_name_is_there():
    assert all(hasattr(atrank_np, name) for name in atrank_np.__all__)
    assert dir(atrank_np) == sorted(atrank_np.__all__)
    with pytest.raises(ImportError, match="rnak"):
        from atrank_np import rnak  # noqa: F401


def test_version_is_one(capsys):
    command = [sys.executable, "-m", "atrank_np.departures", "--version"]
    assert subprocess.run(command, capture_output=True, text=True).stdout == f"atrank_np {atrank_np.__version__}\n"
    try:
        assert metadata.version("atrank_np") == atrank_np.__version__
    except metadata.PackageNotFoundError:
        pytest.skip("atrank_np is not installed: it has no version to compare")


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is in the extra [dev]")
def test_a_type_checker_knows_the_names(tmp_path):
    """A wrong name is an error, and so is a wrong type."""
    script = tmp_path / "script.py"
    for text, fault in (
        ("from atrank_np import rnak", 'Module "atrank_np" has no attribute "rnak"'),
        ("from atrank_np import read_log\nread_log(7)", "incompatible type"),
        ("from atrank_np import ATRank\nATRank().fit(7)", "incompatible type"),
    ):
        script.write_text(text)
        checked = subprocess.run([sys.executable, "-m", "mypy", str(script)], capture_output=True, text=True)
        assert checked.returncode == 1 and fault in checked.stdout, checked.stdout + checked.stderr
