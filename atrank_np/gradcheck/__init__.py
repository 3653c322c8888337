"""Proof of every backward pass: its gradients against numeric derivatives, in float64.

    python -m atrank_np.gradcheck [--seed S] [--layer NAME] [--model NAME]

The derivative of a number f(x) along v is (f(x + h v) - f(x - h v)) / 2h, wrong by O(h²), and by the rounding of f, about
1e-16 / h. h = 1e-5 makes both small enough for the limit of 1e-7 wherever f bends little (else see `compare`). It is not
smooth where a relu turns on or off between x - h v and x + h v: such a draw proves nothing and is redrawn (`Kink`). So
is one whose f is so much larger than a gradient that rounding hides it (`Unclear`).

A layer's output is an array; it becomes a number as <r, y>, with a random r as the upstream gradient. Ones would be
blind: a layer norm whose rows always sum to the same number passes with a term of its backward missing. A model is
checked with its loss, which is a number.
"""

from .cases import LAYERS, Problem, layer_cases, random_batch, toy_problem
from .checks import (
    LIMIT,
    STEP,
    Check,
    Kink,
    Unclear,
    check_directions,
    check_layer,
    check_model,
    compare,
    dense,
    derivative,
    likely_cause,
    numeric_gradient,
    redrawn,
    relative_error,
)

__all__ = [
    "Check",
    "Kink",
    "LAYERS",
    "LIMIT",
    "Problem",
    "STEP",
    "Unclear",
    "check_directions",
    "check_layer",
    "check_model",
    "compare",
    "dense",
    "derivative",
    "layer_cases",
    "likely_cause",
    "numeric_gradient",
    "random_batch",
    "redrawn",
    "relative_error",
    "toy_problem",
]
