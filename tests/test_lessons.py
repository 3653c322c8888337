"""The course: its scripts run, its exercises tell right from wrong, and its checker speaks plainly."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # `lessons` is no part of the installed package

from lessons.exercises import DRAWS, exercise, judge, names  # noqa: E402

SCRIPTS = sorted((ROOT / "lessons").glob("[0-9][0-9]_*.py"))
SOLUTIONS = ROOT / "lessons" / "solutions"
WRONG = "\nWRONG = "


def run(*command, cwd=ROOT, **environment):
    environment = os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)} | environment
    return subprocess.run([sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_lesson_runs_anywhere(script, tmp_path):
    done = run(str(script), cwd=tmp_path, LESSON_PICTURES=str(tmp_path / "pictures"), PYTHONPATH="")
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"lesson {script.stem[:2]} done" in done.stdout.splitlines()[-1]
    assert "Warning" not in done.stderr
    assert list((tmp_path / "pictures").glob("*.png"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_lesson_has_its_parts_in_order(script):
    text, number = script.read_text(encoding="utf-8"), script.stem[:2]
    cells = re.split(r"^# %%", text, flags=re.M)
    assert cells[0] == "" and cells[1].startswith(" [markdown]\n# # Lesson " + number)
    assert "minutes" in cells[1] and "import" in cells[2]
    for cell in cells[1:]:
        if cell.startswith(" [markdown]"):
            assert all(line.startswith("#") for line in cell.split("\n")[1:] if line), cell
    pointers = re.findall(r"lessons\.exercises check (\d\d)", text)
    assert set(pointers) == {number} and any(name[1:3] == number for name in names())
    assert text.count("\n") >= 60
    assert not re.search(r"(?<![\w.$])/(home|tmp|work|opt|root|usr|mnt)/", text)


def test_lessons_are_numbered_without_a_gap():
    numbers = [int(script.stem[:2]) for script in SCRIPTS]
    assert numbers == list(range(len(numbers)))
    assert {int(name[1:3]) for name in names()} <= set(numbers)


def solution(name):
    """Its source without the list of wrong ones, and that list."""
    path = SOLUTIONS / f"{name}.py"
    if not path.exists():
        pytest.skip("the solutions are not here")
    text, found, wrong = path.read_text(encoding="utf-8").partition(WRONG)
    assert found, "a solution lists what is WRONG"
    scope = {}
    exec(f"WRONG = {wrong}", scope)
    return text, scope["WRONG"]


@pytest.mark.parametrize("name", names())
def test_solution_passes(name):
    for seed in range(3):
        verdict = judge(exercise(name), solution(name)[0], "answer.py", seed)
        assert verdict.passed and not verdict.text.startswith("0 "), verdict.text


@pytest.mark.parametrize("name", names())
def test_wrong_answers_fail(name):
    source, wrong = solution(name)
    assert len(wrong) >= 2
    for old, new, what in wrong:
        assert source.count(old) == 1, f"{what}: {old!r} must stand once in the solution"
        verdict = judge(exercise(name), source.replace(old, new), "answer.py")
        assert not verdict.passed, what
        assert not re.search("SyntaxError|NameError", verdict.text), f"{what} is a typing error: {verdict.text}"


@pytest.mark.parametrize("name", names())
def test_exercise_is_told_well_and_its_stub_fails_readably(name):
    told = exercise(name)
    assert all(getattr(told, part).strip() for part in ("TITLE", "TASK", "EXPLAIN")) and len(told.HINTS) == 2
    verdict = judge(told, told.STUB, "answer.py")
    assert not verdict.passed and 0 < len(verdict.text) < 1500, verdict.text
    assert "Traceback" not in verdict.text and "fit the task" not in verdict.text, verdict.text


GOOD = "def softmax_backward(da, a):\n    return a * (da - (a * da).sum(1, keepdims=True))\n"


@pytest.mark.parametrize(
    "change, words",
    [
        (("(da - (a * da).sum(1, keepdims=True))", "da"), "at [0, "),
        (("(da - (a * da).sum(1, keepdims=True))", "da"), "Likely cause: the second term is missing"),
        (("return", "return 2 *"), "counted twice"),
        (("return ", "return np."), "line 2, in softmax_backward"),
        (("return", "retrun"), "SyntaxError"),
        (("return", "y ="), "returns nothing yet"),
        (("return", "da += 1\n    return"), "changes an array"),
        (("softmax_backward", "softmax"), "asks for `softmax_backward`"),
        (("return", "exit(3)\n    return"), "SystemExit"),
        (("return", "a, da = a[:1], da[:1]\n    return"), "expected the shape [5, 7], got [1, 7]"),
        (("return", "return 0, 0 *"), "expected numbers"),
        (("return", "return float('nan') *"), "not finite"),
    ],
)
def test_verdict_names_what_is_wrong(change, words):
    verdict = judge(exercise("e07_softmax"), GOOD.replace(*change), "answer.py")
    assert not verdict.passed and words in verdict.text, verdict.text
    assert "exercises" not in verdict.text, "only the learner's own lines"


def test_verdict_of_a_right_answer():
    assert judge(exercise("e07_softmax"), GOOD, "answer.py").text.startswith(f"{3 * DRAWS} comparisons")


def test_a_learners_day(tmp_path):
    """From the first look to a pass, a reset and a look at the solution; nothing that they wrote is ever lost."""
    command = lambda *words: run("-m", "lessons.exercises", *words, LESSON_ANSWERS=str(tmp_path))
    first = command()
    assert first.returncode == 0 and f"0 of {len(names())} done" in first.stdout and "check 0" in first.stdout
    begun = command("check", "e07_softmax")
    assert begun.returncode == 1 and "YOUR CODE" in (tmp_path / "e07_softmax.py").read_text() and "Write " in begun.stdout
    assert "hint 1 of 2" in command("hint", "07").stdout
    assert "hint 2 of 2" in command("hint", "7").stdout
    assert "hint 2 of 2" in command("hint", "e07_softmax").stdout
    (tmp_path / "e07_softmax.py").write_text(GOOD)
    passed = command("check", "e07_softmax")
    assert passed.returncode == 0 and "PASSED" in passed.stdout and "Why" in passed.stdout
    assert "[x] e07_softmax" in command().stdout
    assert json.loads((tmp_path / "progress.json").read_text())["e07_softmax"] == {"passed": True, "hints": 2}
    assert "e07_softmax.py.bak" in command("reset", "e07_softmax").stdout
    assert (tmp_path / "e07_softmax.py.bak").read_text() == GOOD
    assert "[ ] e07_softmax" in command().stdout
    (tmp_path / "e07_softmax.py").write_text("another")
    assert "e07_softmax.py.bak2" in command("reset", "e07_softmax").stdout
    assert (tmp_path / "e07_softmax.py.bak").read_text() == GOOD
    shown = command("solution", "e07_softmax").stdout
    assert "def softmax_backward" in shown and "WRONG" not in shown


def test_checker_knows_when_all_is_done(tmp_path):
    (tmp_path / "progress.json").write_text(json.dumps({name: {"passed": True, "hints": 0} for name in names()}))
    for words in ["check"], ["hint"]:
        done = run("-m", "lessons.exercises", *words, LESSON_ANSWERS=str(tmp_path))
        assert done.returncode == 0 and "all exercises are done" in done.stdout
    assert "Next" not in run("-m", "lessons.exercises", LESSON_ANSWERS=str(tmp_path)).stdout


def test_checker_refuses_in_words(tmp_path):
    command = lambda *words: run("-m", "lessons.exercises", *words, LESSON_ANSWERS=str(tmp_path))
    for words, answer in [(["check", "98"], "no exercise '98'"), (["reset"], "reset what?"), (["nonsense"], "invalid choice")]:
        refused = command(*words)
        assert refused.returncode != 0 and answer in refused.stderr and "Traceback" not in refused.stderr
    (tmp_path / "progress.json").write_text("{]")
    damaged = command()
    assert damaged.returncode != 0 and "damaged" in damaged.stderr and "Traceback" not in damaged.stderr


@pytest.mark.parametrize("place, command", [("lessons", ["-m", "exercises"]), (".", ["lessons/exercises"])])
def test_checker_says_where_it_is_started_from(place, command):
    astray = run(*command, cwd=ROOT / place, PYTHONPATH="")
    assert astray.returncode != 0
    assert astray.stderr.startswith("start it from the repository's root") and str(ROOT) in astray.stderr
