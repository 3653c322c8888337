"""Paired differences, the tables and Figure 2 by hand."""

import numpy as np
import pytest
from runs import cells

from atrank_np import comparison
from atrank_np.errors import DataError
from atrank_np.evaluation import paired
from atrank_np.evaluation.paired import Runs, paired_difference
from atrank_np.evaluation.plots import draw_comparison


def runs(label, each, user, step_auc=((0.5, 0.7),), candidates=None):
    """Runs with these AUC terms [seeds, S]; an evaluation every second."""
    S = len(user)
    candidates = np.zeros((S, 2), int) if candidates is None else candidates
    tested = {"user": np.array(user), "group": np.zeros(S, int), "length": np.arange(S), "candidates": candidates}
    curves = []
    for a in step_auc:
        step = np.arange(len(a))
        curves.append({"step": step, "samples": 10.0 * step, "seconds": 1.0 + step, "test_auc": np.array(a)})
    about = {
        "test_users": 3,
        "negatives": "one",
        "tie_rule": "½",
        "popularity_auc": 0.6,
        "in_history_auc": 0.5,
        "features_shared_auc": 0.5,
        "ceiling_auc": None,
        "swapped_history_auc": 0.5,
        "samples_per_second": 7,
        "seconds": 9,
        "config": {"validate": False},
        "backend": "numba",
    }
    return Runs(label, [about] * len(each), curves, np.array(each, float), tested)


def test_paired_by_hand():
    """Seeds averaged, the differences are ½, 0, 1, ½ (mean ½): deviations 0, -½, ½, 0 around it."""
    one, other = runs("a", [[1, 1, 1, 1], [1, 0, 1, 0]], [4, 5, 6, 7]), runs("b", [[1, 0, 0, 0], [0, 1, 0, 0]], [4, 5, 6, 7])
    assert paired_difference(one, other) == (0.5, pytest.approx(np.sqrt((0.25 + 0.25) / 3 / 4)))
    assert paired_difference(other, one) == (-0.5, paired_difference(one, other)[1])


def test_rankings_of_a_user_vary_together():
    """Users 4, 4, 5, 5 with deviations ½, ½, -½, -½: summed 1 and -1, so √(2/1 · 2) / 4 = ½; taken apart it would be 0.29."""
    one, other = runs("a", [[1, 1, 0, 0]], [4, 4, 5, 5]), runs("b", [[0, 0, 0, 0]], [4, 4, 5, 5])
    assert paired_difference(one, other) == (0.5, pytest.approx(0.5))


def test_one_user_has_no_standard_error():
    assert paired_difference(runs("a", [[1]], [4]), runs("b", [[0]], [4])) == (1.0, None)


def test_only_equal_rankings_are_paired():
    one = runs("a", [[1, 0]], [4, 5])
    for other in (runs("b", [[1, 0]], [4, 6]), runs("b", [[1, 0]], [4, 5], candidates=np.array([[0, 0], [0, 1]]))):
        with pytest.raises(DataError, match="^a and b were judged on different rankings: the data have changed"):
            paired_difference(one, other)


def test_whose_speed_says_nothing():
    """A row that numba does not compute is told, but not where NumPy computes all."""
    one, other = runs("ATRank", [[1, 0]], [4, 5]), runs("a variant", [[1, 0]], [4, 5])

    def text():
        return paired.table({comparison.ATRANK: one, comparison.ONE_CHANGE[0]: other}, one)[0]

    assert "that of NumPy" not in text()
    other.reports[0]["backend"] = "numpy"
    assert f"The speed of {comparison.ONE_CHANGE[0].label} is that of NumPy, so do not compare it with the others." in text()
    one.reports[0]["backend"] = "numpy"
    assert "that of NumPy" not in text()


def test_seconds_to_99_percent():
    """0.99 · 0.80 = 0.792 is first reached at 3 s, though the AUC falls below it again; 0.99 · 0.70 at 1 s."""
    curves = [(0.5, 0.78, 0.795, 0.79, 0.80), (0.7, 0.6, 0.6, 0.6, 0.7)]
    row = comparison.ATRANK
    _, figures = paired.table({row: (own := runs("ATRank", [[1, 0], [1, 1]], [4, 5], curves))}, own)
    assert figures["atrank"]["seconds_to_99"] == 2.0
    assert figures["atrank"]["auc"] == [0.5, 1.0]


def test_figure_2():
    """Two panels; a thin line for each seed, a thick one for their mean, and the controls that are known."""
    one, other = (runs(label, [[1, 0], [1, 1]], [4, 5], [(0.5, 0.7), (0.5, 0.9)]) for label in "ab")
    left, right = draw_comparison.__wrapped__([one, other], one).axes
    for ax, x in ((left, [0, 10]), (right, [1, 2])):
        assert [line.get_label() for line in ax.lines if line.get_linewidth() > 1] == ["a", "b", "popularity alone"]
        assert len(ax.lines) == 2 * (2 + 1) + 1
        mean = next(line for line in ax.lines if line.get_label() == "a")
        assert mean.get_xdata().tolist() == x and mean.get_ydata().tolist() == pytest.approx([0.5, 0.8])


def test_ceilings_stand_beside_table_5():
    """Those of the histories that a task sees, where a simulator knows them."""
    cell = runs("ATRank", [[1, 0]], [4, 5])

    def known(value):
        return {"items": cell._replace(reports=[cell.reports[0] | {"ceiling_auc": value}])}

    text, figures = paired.task_table({"ATRank one2one": known(0.8), "ATRank all2one": known(0.9)})
    assert cells(text.split("\n\n")[0])[3:5] == [["ceiling one2one", "0.8000"], ["ceiling all2one", "0.9000"]]
    assert figures["ceiling all2one"] == {"items": 0.9}
