"""The index of the course says what is there, and all of it."""

import sys

import pytest
from course import ROOT

from atrank_np.gradcheck import LAYERS
from lessons import index, parts


def test_the_index_is_right_and_up_to_date():
    assert index.problems() == []


def test_every_pass_of_the_layers_is_in_it():
    named = " ".join(row.forward + " " + row.backward for row in index.ROWS)
    passes = [name for name in LAYERS if name.endswith(("_forward", "_backward"))]
    assert len(passes) > 20
    for name in passes:
        assert f"::{name} " in named + " ", name


def test_every_lesson_is_in_it():
    text = index.PAGE.read_text(encoding="utf-8")
    for script in (ROOT / "lessons").glob("[0-9][0-9]_*.py"):
        assert text.count(f"]({script.name})") >= 2, "in the table of equations and in that of lessons"


def test_each_lesson_is_in_one_part_and_routes_lead_through_lessons(monkeypatch):
    there = [number for _, numbers in parts.parts(index.LESSONS) for number in numbers]
    assert sorted(there) == list(index.LESSONS)
    assert all(index.total(way) == sum(map(index.minutes, way)) > 60 for _, way in parts.routes(index.LESSONS))
    monkeypatch.setitem(parts.PARTS, "Speed", "00 17")
    assert "lesson 00 is not in one part of the course" in index.problems()


def test_the_legend_is_that_of_the_layers():
    legend = dict(index.letters())
    assert legend["T"] == "targets to be ranked in it" and legend["d"] == "width of one space, s_k = D / K"
    assert set("BNTMDVEKdnq") <= set(legend)


def test_tables_have_as_many_cells_in_each_row():
    for block in index.page().split("\n\n"):
        if block.startswith("|"):
            assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1, block


def changed(row, **values):
    return [r if r is not row else r._replace(**values) for r in index.ROWS]


@pytest.mark.parametrize(
    "values, words",
    [
        ({"forward": "layers/attention.py::softmax_forwards"}, "there is no layers/attention.py::softmax_forwards"),
        ({"backward": "layers/attentions.py::softmax_backward"}, "there is no layers/attentions.py"),
        ({"kernel": "kernels/attention.py::softmax"}, "there is no kernels/attention.py::softmax"),
        ({"tests": "test_attention.py::test_softmax"}, "there is no test_attention.py::test_softmax"),
        ({"tests": "test_metrics.py::test_tiny_values"}, "no test file speaks of softmax"),
        ({"lessons": "77"}, "there is no lesson 77"),
        ({"lessons": "10"}, "lesson 10 speaks of none of softmax"),
        ({"equation": "(9)"}, "names it"),
        ({"equation": "softmax"}, "equation (3) is not in the index"),
        ({"backward": ""}, "layers/attention.py::softmax_backward is not in the index"),
        ({"formula": "softmax"}, "out of date"),
    ],
)
def test_what_rots_is_noticed(values, words, monkeypatch):
    softmax = next(row for row in index.ROWS if row.equation == "(3)")
    monkeypatch.setattr(index, "ROWS", changed(softmax, **values))
    assert words in "\n".join(index.problems())


def test_the_command(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(index, "PAGE", tmp_path / "INDEX.md")
    monkeypatch.setattr(sys, "argv", ["index", "--check"])
    assert index.main() == 1 and "out of date" in capsys.readouterr().err and not index.PAGE.exists()
    monkeypatch.setattr(sys, "argv", ["index"])
    assert index.main() == 0 and index.PAGE.read_text(encoding="utf-8") == index.page()
