import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from runs import assert_fault, process

from atrank_np.gradcheck import (
    LAYERS,
    Unclear,
    compare,
    derivative,
    layer_cases,
    likely_cause,
    numeric_gradient,
    redrawn,
    relative_error,
)
from atrank_np.gradcheck import __main__ as command


def test_numeric_gradient_of_a_polynomial():
    x = np.array([[1.0, 2], [3, -4]])
    kept = x.copy()
    np.testing.assert_allclose(numeric_gradient(lambda x: (x**3).sum(), x), 3 * kept**2, rtol=1e-9)
    assert (x == kept).all()
    assert abs(derivative(lambda x: x[0, 0] * x[0, 1], x, np.array([[1.0, 2], [0, 0]])) - 4) < 1e-9


def test_every_layer_has_a_case_and_every_case_two_directions():
    names = {name.removesuffix("_forward") for name in LAYERS if name.endswith("_forward")}
    assert names == set(layer_cases(np.random.default_rng(0)))
    assert all(f"{name}_backward" in LAYERS for name in names)


def test_error_is_relative_to_the_largest_entry():
    assert relative_error(np.array([4.0, 0]), np.array([4.0, 1])) == 0.25
    assert relative_error(np.zeros(2), np.array([0, 9e-11])) == 0
    assert relative_error(np.zeros(2), np.array([0, 2e-10])) == 1


def test_a_gradient_of_another_shape_is_wrong():
    """NumPy would broadcast [3] against [1], and see no difference."""
    check = compare("b", np.ones(3), lambda h: np.ones(1))
    assert not check.ok and "shape (3,), expected (1,)" in str(check)


def test_a_nan_gradient_is_wrong():
    check = compare("x", [np.nan, 1], lambda h: [1, 1])
    assert not check.ok and check.cause == "not finite"


def test_a_large_curvature_is_not_blamed_on_the_gradient():
    """f''' = 40,000 f': the plain difference has an error of h² / 6 · 40,000 = 7e-7."""
    x = np.array([0.0])
    check = compare("x", [200.0], lambda h: numeric_gradient(lambda x: np.sin(200 * x[0]), x, h))
    assert check.ok and relative_error(200, derivative(lambda x: np.sin(200 * x[0]), x, np.ones(1))) > 1e-7


def test_a_gradient_hidden_by_rounding_is_unclear():
    """f' is a millionth of f, so the rounding of f exceeds the limit. A gradient twice as large is still found to be wrong."""
    x, f = np.array([0.3, 0.7]), lambda x: 1 + 1e-6 * np.sin(3 * x).sum()
    measure = partial(numeric_gradient, f, x)
    with pytest.raises(Unclear):
        compare("x", 3e-6 * np.cos(3 * x), measure)
    assert not compare("x", 6e-6 * np.cos(3 * x), measure).ok
    with pytest.raises(Unclear, match="100 draws"):
        redrawn(lambda rng: compare("x", 3e-6 * np.cos(3 * x), measure), 0)


right = np.array([[1.0, 2, 3], [4, 5, 7], [6, 8, 9]])
CAUSES = [
    (2 * right, "counted twice"),
    (-right, "sign flipped"),
    (right / 2, "one of two uses missing"),
    (0 * right, "term missing"),
    (right / 5, "mean and sum confused"),
    (right.T, "transposed"),
    (right + [[0], [0], [1]], "only rows [2] are wrong"),
    (right**2, "a term missing or wrong"),
]


@pytest.mark.parametrize("analytic, words", CAUSES)
def test_likely_causes(analytic, words):
    assert words in likely_cause(analytic, right)
    check = compare("W", analytic, lambda h: right)
    assert not check.ok and words in str(check)


def test_command(monkeypatch, capsys):
    for broken, code in ((False, 0), (True, 1)):
        if broken:
            monkeypatch.setitem(LAYERS, "dot_backward", lambda df, cache: (df[:, None] * cache[0], df[:, None] * cache[1]))
        assert command.main(["--layer", "dot", "--seed", "3"]) == code
    assert "a term missing or wrong" in capsys.readouterr().out


def test_every_model_is_checked_with_all_that_it_can_be(monkeypatch, capsys):
    """A dot and a deep f, always with dropout; all losses for a model, one for a variant, which does not change the loss."""
    seen = []
    monkeypatch.setattr(command, "check_model", lambda problem: seen.append(problem.config) or [])
    for name, count in (("atrank", 6), ("bpr_mf", 3), ("no_time", 2)):
        seen.clear()
        assert command.main(["--model", name]) == 0
        assert len({(config.ranking, config.loss) for config in seen}) == len(seen) == count
        assert all(name in (config.model, config.variant) and config.dropout for config in seen)


def test_a_wrong_flag_is_one_line():
    fault = process("gradcheck", "--seed", "-1")
    assert_fault(fault, "argument --seed: expected at least 0, got -1 (see python -m atrank_np.gradcheck --help)")


@pytest.mark.slow
def test_whole_command():
    subprocess.run([sys.executable, "-m", "atrank_np.gradcheck", "--seed", "1"], check=True, stdout=subprocess.DEVNULL)
