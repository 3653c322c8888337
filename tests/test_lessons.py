"""The course: its scripts run and read plainly, and its exercises tell right from wrong (their checker: test_exercises)."""

import ast
import re
import warnings

import numpy as np
import pytest
from course import ROOT, run

from lessons import index
from lessons._common import scoreboard
from lessons.exercises import exercise, is_transfer, names
from lessons.exercises.judging import judge

SCRIPTS = sorted((ROOT / "lessons").glob("[0-9][0-9]_*.py"))
SOLUTIONS = ROOT / "lessons" / "solutions"
WRONG = "\nWRONG = "


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
    assert index.minutes(number) > 0 and any("import" in cell for cell in cells[2:5])
    for cell in cells[1:]:
        if cell.startswith(" [markdown]"):
            assert all(line.startswith("#") for line in cell.split("\n")[1:] if line), cell
    pointers = re.findall(r"lessons\.exercises check (\d\d)", text)
    assert set(pointers) == {number} and any(name[1:3] == number for name in names())
    assert text.count("\n") >= 60
    assert not re.search(r"(?<![\w.$])/(home|tmp|work|opt|root|usr|mnt)/", text)


def words_and_code(script):
    """How many words of prose, and how many lines of code that are not empty."""
    words = lines = 0
    for cell in re.split(r"^# %%", script.read_text(encoding="utf-8"), flags=re.M)[1:]:
        kind, _, text = cell.partition("\n")
        if "[markdown]" in kind:
            words += len(re.findall(r"[^\W\d_]+", re.sub(r"\$\$?[^$]*\$\$?", "", text)))  # without equations
        else:
            lines += sum(bool(line.strip()) for line in text.splitlines())
    return words, lines


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_prose_leads(script):
    words, lines = words_and_code(script)
    assert words > 300 and lines > 20
    if not 900 <= words <= 1800:
        warnings.warn(f"{script.name}: {words} words of prose beside {lines} lines of code", stacklevel=1)


def crowded(script):
    """Lines of code in which a reader overlooks a step: line number and what is wrong."""
    text = script.read_text(encoding="utf-8")
    comprehensions = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.NamedExpr):
            yield node.lineno, "an assignment inside an expression"
        if isinstance(node, ast.Lambda) and any(isinstance(inner, ast.Lambda) for inner in ast.walk(node.body)):
            yield node.lineno, "a lambda in a lambda"
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Lambda):
            yield node.lineno, "a lambda with a name: write def"
        if isinstance(node, ast.Expr) and isinstance(node.value, comprehensions):
            yield node.lineno, "a comprehension for what it does: write a loop"
    for number, line in enumerate(text.splitlines(), 1):
        if "# fmt: skip" in line and not re.match(r"\s*[\])}]|.*=\s*[\[({]", line):
            yield number, "only a table may have a format of its own"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_code_is_plain(script):
    faults = [f"{script.name}:{line}: {what}" for line, what in sorted(crowded(script))]
    assert not faults, "\n".join(faults)


def test_crowded_code_is_found(tmp_path):
    path = tmp_path / "lesson.py"
    lines = [
        "f = lambda x: x",
        "g(lambda x: lambda y: x)",
        "if (n := 3) > 2: pass",
        "[print(x) for x in y]",
        "z = 1 +  2  # fmt: skip",
    ]
    path.write_text("\n".join([*lines, "TABLE = [1,  2]  # fmt: skip", "sorted(y, key=lambda x: -x)"]))
    assert [line for line, _ in sorted(crowded(path))] == [1, 2, 3, 4, 5]


def test_scoreboard(capsys):
    """It tells the relative error, moves an array in place, and takes plain numbers."""
    x = np.array([3.0, 4])
    assert scoreboard(("x", 2 * x, x, lambda _: (x**2).sum()), ("size", 6, 3, lambda size: size**2))
    assert x.tolist() == [3, 4] and "OK" in capsys.readouterr().out
    assert not scoreboard(("x", np.array([6.0, 10]), x, lambda x: (x**2).sum()), ("size", 12.0, 3.0, lambda size: size**2))
    first, second = capsys.readouterr().out.splitlines()
    assert "relative error 2.0e-01   WRONG at [1]" in first
    assert "relative error 5.0e-01   WRONG: ratio 2" in second


@pytest.mark.parametrize("number", index.LESSONS)
def test_a_task_that_cannot_be_copied(number):
    assert any(is_transfer(name) for name in names() if name[1:3] == number), "an exercise with TRANSFER = True"


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
        assert verdict.passed and not verdict.text.startswith("0 ") and "it calls" not in verdict.text, verdict.text


@pytest.mark.parametrize("name", names())
def test_wrong_answers_fail(name):
    source, wrong = solution(name)
    assert len(wrong) >= 2
    for old, new, what in wrong:
        assert source.count(old) == 1, f"{what}: {old!r} must stand once in the solution"
        verdict = judge(exercise(name), source.replace(old, new), "answer.py")
        assert not verdict.passed, what
        assert not re.search("SyntaxError|NameError", verdict.text), f"{what} is a typing error: {verdict.text}"


def test_one_of_two_slips_in_attention_is_named():
    source = solution("e09_attention")[0]
    for old, new in (("np.where(key > 0, dkey, 0)", "dkey"), ("dS = dy + ds", "dS = ds")):
        assert old in source
        source = source.replace(old, new)
    verdict = judge(exercise("e09_attention"), source, "answer.py")
    assert not verdict.passed and "Likely cause: the relu of the keys is forgotten" in verdict.text, verdict.text


@pytest.mark.parametrize("name", names())
def test_exercise_is_told_well_and_its_stub_fails_readably(name):
    told = exercise(name)
    assert all(getattr(told, part).strip() for part in ("TITLE", "TASK", "EXPLAIN")) and len(told.HINTS) == 2
    verdict = judge(told, told.STUB, "answer.py")
    assert not verdict.passed and 0 < len(verdict.text) < 1500, verdict.text
    assert "Traceback" not in verdict.text and "fit the task" not in verdict.text, verdict.text
