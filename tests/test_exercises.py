"""The checker of the exercises: what it says of an answer, its commands, and what it does while an answer is written."""

import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest
from course import ROOT, run

from lessons.exercises import Case, desk, exercise, names, watch
from lessons.exercises.apart import judge_apart
from lessons.exercises.faults import report
from lessons.exercises.judging import DRAWS, judge

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


def test_too_few_arrays_come_back():
    def check(answer, rng):
        dx, dW, db = answer.backward()
        yield Case("dx", dx, dx)

    source = "def backward():\n    return 1, 2\n"
    verdict = judge(types.SimpleNamespace(check=check, STUB="", TASK=""), source, "answer.py")
    assert verdict.text == "what your function returns does not fit the task: fewer arrays than the 3 asked for"
    verdict = judge(types.SimpleNamespace(check=check, STUB="", TASK=""), source.replace("2", "2, 3, 4"), "answer.py")
    assert verdict.text == "what your function returns does not fit the task: more arrays than the 3 asked for"


def test_verdict_of_a_right_answer():
    assert (
        judge(exercise("e07_softmax"), GOOD, "answer.py").text == f"{3 * DRAWS} comparisons on {DRAWS} random inputs, all right"
    )


BORROWS = (
    "from atrank_np.layers.attention import softmax_backward as sb\ndef softmax_backward(da, a):\n    return sb(da, a)\n",
    "import atrank_np.layers.attention as att\ndef softmax_backward(da, a):\n    return att.softmax_backward(da, a)\n",
    "def help(da, a):\n    from atrank_np.layers.attention import softmax_backward as sb\n    return sb(da, a)\n"
    "def softmax_backward(da, a):\n    return help(da, a)\n",
)


@pytest.mark.parametrize("source", BORROWS)
def test_a_borrowed_answer_passes_with_a_remark(source):
    verdict = judge(exercise("e07_softmax"), source, "answer.py")
    assert verdict.passed and "It passes, but it calls `" in verdict.text and "of this package" in verdict.text


def test_what_is_only_used_to_look_is_not_borrowed():
    source = "from atrank_np.gradcheck import numeric_gradient\n" + GOOD + "import numpy as np\nx = np.ones(2)\n"
    source += "numeric_gradient(lambda x: x.sum(), x)\n"
    assert "but" not in judge(exercise("e07_softmax"), source, "answer.py").text
    source = source.replace("    return", "    numeric_gradient(lambda x: x.sum(), a.copy())\n    return")
    assert "calls `numeric_gradient`" in judge(exercise("e07_softmax"), source, "answer.py").text


RIGHT = np.array([[1.0, 2, 4], [3, 5, 7]])


def told(*cases):
    return report([Case(*case) for case in cases])


def test_a_cause_is_told_once_and_fits_all_wrong_cases():
    first, second = {"half": RIGHT / 2, "root": RIGHT**0.5}, {"half": RIGHT, "root": (2 * RIGHT) ** 0.5}
    text = told(("dx [2,3]", RIGHT**0.5, RIGHT, first), ("dx [5,7]", (2 * RIGHT) ** 0.5, 2 * RIGHT, second))
    assert text.count("Likely cause: root") == 1 and "half" not in text and text.endswith("2 of 2 comparisons are wrong")
    text = told(("dx [2,3]", RIGHT**0.5, RIGHT, first), ("dx [5,7]", RIGHT - 1, 2 * RIGHT, second))
    assert "Likely" not in text, "a cause that fits one of two is none"
    unknown = {"root": np.full((2, 3), np.nan)}
    assert "root" in told(("dx [2,3]", RIGHT**0.5, RIGHT, first), ("dx [5,7]", RIGHT - 1, 2 * RIGHT, unknown))


def test_no_cause_from_a_degenerate_case():
    """With one row, one number, many mistakes look the same."""
    row, cause = RIGHT[:1], {"down": RIGHT[:1] - 1}
    assert "down" not in told(("dx [1,3]", row - 1, row, cause), ("dx [2,3]", RIGHT, RIGHT, {}))
    assert "down" in told(*[("loss", np.float64(n), np.float64(n + 1), {"down": n}) for n in (2, 3)])
    assert "Likely" not in told(("loss of 1", 1.0, 2.0), ("loss of 5", 2.0, 7.0)), "each is 'a scale'"
    assert "Likely" not in told(("count", 2, 3), ("count", 2, 3))
    assert "counted twice" in told(("loss of 1", 2.0, 1.0), ("loss of 5", 14.0, 7.0))


def test_a_line_for_each_quantity():
    row = ("dx [1,3]", RIGHT[:1] - 1, RIGHT[:1])
    first, second, cause, _ = told(row, ("dx [2,3]", 2 * RIGHT, RIGHT), ("db1", 2 * RIGHT[0], RIGHT[0])).split("\n")
    assert first.startswith("dx [2,3] at [1, 2]:") and second.startswith("db1 at [2]:")
    assert cause == "Likely cause: ratio 2 everywhere: counted twice (db1)", "of dx one wrong case is otherwise"


ENDLESS = "import numpy as np\n\ndef softmax_backward(da, a):\n    while True:\n        np.sort(np.zeros(9))\n"


@pytest.mark.parametrize(
    "source, words",
    [
        (GOOD, "all right"),
        (ENDLESS, "had not ended after 0.5 seconds. It was at line"),
        ("def softmax_backward(da, a):\n    while 1: pass\n", "line 2, in softmax_backward:\n    while 1: pass\nIs there"),
        ("import time\ntime.sleep(100)\n", "line 2, in <module>:\n    time.sleep(100)"),
        ("import os\n\ndef softmax_backward(da, a):\n    os._exit(7)\n", "ended Python itself, with exit code 7"),
        ("def softmax_backward(da, a):\n    return softmax_backward(da, a)\n", "RecursionError"),
    ],
)
def test_an_endless_loop_does_not_hang(source, words, tmp_path):
    path = tmp_path / "e07_softmax.py"
    path.write_text(source)
    verdict = judge_apart("e07_softmax", path, "é/e07_softmax.py", seconds=0.5 if "while" in source or "sleep" in source else 60)
    assert words in verdict.text and verdict.passed == (source == GOOD) and len(verdict.text) < 1500, verdict.text


def test_a_learners_day(tmp_path):
    """From the first look to a pass, a reset and a look at the solution; nothing that they wrote is ever lost."""
    command = lambda *words: run("-m", "lessons.exercises", *words, LESSON_ANSWERS=str(tmp_path))
    first = command()
    assert first.returncode == 0 and f"0 of {len(names())} done" in first.stdout and "check 0" in first.stdout
    begun = command("check", "e07_softmax")
    stub = (tmp_path / "e07_softmax.py").read_text()
    assert begun.returncode == 1 and "YOUR CODE" in stub and exercise("e07_softmax").TASK.strip() in begun.stdout
    assert stub.startswith('"""') and exercise("e07_softmax").TASK.strip() in stub, "the task stays in the file"
    assert exercise("e07_softmax").TASK.strip() in command("task", "07_softmax").stdout
    again = command("check", "07_soft").stdout
    assert "unchanged so far" in again and "Edit the file" in again and exercise("e07_softmax").TASK.strip() not in again
    assert "hint 1 of 2" in command("hint", "07").stdout
    second = command("hint", "7").stdout
    assert "hint 2 of 2" in second and "no more hints" not in second
    third = command("hint", "e07_softmax").stdout
    assert "hint 2 of 2" in third and "no more hints" in third
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
    shown = command("solution", "07").stdout
    assert "def softmax_backward" in shown and "WRONG" not in shown


def test_checker_knows_when_all_is_done(tmp_path):
    (tmp_path / "progress.json").write_text(json.dumps({name: {"passed": True, "hints": 0} for name in names()}))
    for words in ["check"], ["hint"]:
        done = run("-m", "lessons.exercises", *words, LESSON_ANSWERS=str(tmp_path))
        assert done.returncode == 0 and "all exercises are done" in done.stdout
    several = run("-m", "lessons.exercises", "hint", "07", LESSON_ANSWERS=str(tmp_path))
    assert several.returncode == 0 and "name one of them: e07_softmax, e07_temperature" in several.stdout
    assert "Next" not in run("-m", "lessons.exercises", LESSON_ANSWERS=str(tmp_path)).stdout


def test_checker_refuses_in_words(tmp_path):
    command = lambda *words: run("-m", "lessons.exercises", *words, LESSON_ANSWERS=str(tmp_path))
    for words, answer in [
        (["check", "98"], "no exercise '98'; lessons go from 00 to"),
        (["check", "tempratur"], "no exercise 'tempratur'; did you mean e07_temperature?"),
        (["check", "hunt"], "which one? e02_hunt, e05_hunt"),
        (["reset"], "reset what?"),
        (["nonsense"], "invalid choice"),
    ]:
        refused = command(*words)
        assert refused.returncode != 0 and answer in refused.stderr and "Traceback" not in refused.stderr
        assert len(refused.stderr) < 500
    (tmp_path / "progress.json").write_text("{]")
    damaged = command()
    assert damaged.returncode != 0 and "damaged" in damaged.stderr and "Traceback" not in damaged.stderr


@pytest.mark.parametrize("place, command", [("lessons", ["-m", "exercises"]), (".", ["lessons/exercises"])])
def test_checker_says_where_it_is_started_from(place, command):
    astray = run(*command, cwd=ROOT / place, PYTHONPATH="")
    assert astray.returncode != 0
    assert astray.stderr.startswith("start it from the repository's root") and str(ROOT) in astray.stderr


def test_transfer_tasks_are_marked(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(desk, "ANSWERS", tmp_path)
    monkeypatch.setattr(exercise("e07_softmax"), "TRANSFER", True, raising=False)
    desk.show()
    assert f"[ ] e07_softmax            transfer: {exercise('e07_softmax').TITLE}" in capsys.readouterr().out


@pytest.mark.parametrize("name", names())
def test_the_file_that_a_learner_starts_from(name):
    """It is Python, says the task as it is printed, and its stub is unchanged."""
    scope = {}
    exec(desk.start(name), scope)
    assert exercise(name).TASK.strip() in scope["__doc__"] and desk.start(name).endswith(exercise(name).STUB)


def test_watching(tmp_path):
    """Checked at each save; h, t, n and q do what is said; what is left at the end is what the learner wrote."""
    path = tmp_path / "e07_softmax.py"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LESSON_ANSWERS": str(tmp_path)}
    command = [sys.executable, "-m", "lessons.exercises", "watch", "07"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, env=environment, **pipes) as process:
        seen = lambda until: next(line for line in process.stdout if until in line)

        def press(key):
            process.stdin.write(key)
            process.stdin.flush()

        seen("== e07_softmax"), seen("0 of "), seen("waiting for")
        press("h"), seen("hint 1 of 2")
        path.write_text(GOOD.replace("return", "return 2 *"))
        seen("Likely cause: ratio 2 everywhere: counted twice"), seen("not yet")
        press("t"), seen("Write softmax_backward")
        path.write_text(GOOD)
        seen("PASSED"), seen(f"1 of {len(names())} done"), seen("waiting for")
        press("n")
        for name in names():
            if name > "e07_softmax" and name[:3] == "e07":
                seen(f"== {name}"), seen("waiting for"), press("n")
        assert "the end" in process.stdout.read()
    assert process.returncode == 0 and path.read_text() == GOOD


def test_keys_of_a_terminal():
    """Each key at once, without Enter, and the terminal is as before afterwards."""
    pty = pytest.importorskip("pty", reason="terminals of this kind are not on Windows")
    import termios

    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    script = "from lessons.exercises.watch import keyboard\nwith keyboard() as key:\n    print('ready', flush=True)\n"
    script += "    print(key(60), flush=True)\n    print(key(60), key(0))"
    pipes = {"stdin": theirs, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, **pipes) as process:
        assert process.stdout.readline() == "ready\n"
        os.write(ours, b"\x1b[H")  # Home is no h
        assert process.stdout.readline() == "\n"
        os.write(ours, b"q")
        assert process.stdout.readline() == "q \n"
    assert termios.tcgetattr(theirs) == before


def test_keys_on_windows(monkeypatch):
    pressed = ["\xe0", "H", "h"]  # the arrow up, and a key
    fake = types.SimpleNamespace(kbhit=lambda: bool(pressed), getwch=lambda: pressed.pop(0))
    monkeypatch.setitem(sys.modules, "msvcrt", fake)
    with watch.keyboard() as key:
        assert key(60) == "h" and key(0.01) == ""


def test_a_closed_pipe_gives_no_keys(monkeypatch):
    pytest.importorskip("termios")
    read, write = os.pipe()
    os.close(write)
    monkeypatch.setattr(sys, "stdin", os.fdopen(read))
    with watch.keyboard() as key:
        assert key(60) == "" and key(0.01) == "" and key(0.01) == ""
