"""What the tests of the course share: the folder `lessons` can be imported, and a way to start what is in it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # `lessons` is no part of the installed package


def run(*command, cwd=ROOT, **environment):
    """python with these arguments."""
    environment = os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)} | environment
    return subprocess.run([sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
