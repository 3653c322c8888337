"""For the tests of the course: makes the folder `lessons` importable, and runs Python on what is in it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # `lessons` is no part of the installed package


def run(*command, cwd=ROOT, **environment):
    """Runs Python with these arguments."""
    environment = os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)} | environment
    return subprocess.run([sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
