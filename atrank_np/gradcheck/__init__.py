"""Proof of every backward pass: its gradients against numeric derivatives, in float64.

    python -m atrank_np.gradcheck [--seed S] [--layer NAME] [--model NAME]

The derivative of a number f(x) along v is (f(x + h v) - f(x - h v)) / 2h. Its error is O(h²), and the rounding of f adds
about 1e-16 / h. With h = 1e-5 both are below the limit of 1e-7 wherever the curvature of f is small (else see `compare`).

A relu may turn on or off between x - h v and x + h v, and there f is not smooth. Such a draw proves nothing and is redrawn
(`Kink`). So is a draw in which f is so much larger than a gradient that rounding hides it (`Unclear`).

A layer's output y is an array. It becomes the number <r, y>, with a random r as the upstream gradient. Ones are not enough:
the rows of a layer norm always have the same sum, so a missing term of its backward pass would not show. A model is checked
with its loss, which is a number.
"""

from .cases import LAYERS, layer_cases, random_batch, toy_problem
from .checks import (
    LIMIT,
    STEP,
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
    "Kink",
    "LAYERS",
    "LIMIT",
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
