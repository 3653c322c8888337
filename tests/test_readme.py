import subprocess

import pytest
from planted_bugs import BUGS
from readme import README, script

TEXT = README.read_text(encoding="utf-8")


def test_the_pasted_blocks_are_a_shell_script_that_ends_with_the_tests():
    pasted = script(TEXT)
    assert subprocess.run(["bash", "-n"], input=pasted, text=True, capture_output=True).stderr == ""
    assert pasted.startswith("python3 -m venv .venv && . .venv/bin/activate") and pasted.rstrip().endswith("pytest -q")


def test_a_mark_without_a_block_is_an_error():
    with pytest.raises(ValueError, match="no block"):
        script("<!-- paste -->\n```text\n1\n```\n")


def test_one_screen_after_another():
    assert TEXT.count("\n") <= 130


def test_it_counts_the_planted_bugs():
    assert f"- {len(BUGS)} deliberate bugs" in TEXT
