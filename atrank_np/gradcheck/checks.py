"""Gradients against numeric derivatives: how an array, a layer and a model are checked."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats
from ..backend import loss_and_slope, make_backend
from ..layers.embedding import Gradient
from ..parameters import has_unknown, kind
from ..randomness import Dropout, stream
from .cases import Problem

STEP = 1e-5  # h of the numeric derivatives
LIMIT = 1e-7  # the largest error of a right gradient
NEGLIGIBLE = 1e-10  # two arrays with no larger entry are both zero

Number = float | np.floating[Any]
Function = Callable[[Floats], Number | tuple[Number, object]]  # x -> f(x), or f(x) and the cache of its forward pass
T = TypeVar("T")


class Unclear(Exception):
    """A draw proves nothing: its numeric derivatives are too coarse to tell right from wrong."""


class Kink(Unclear):
    """A relu is on at one end of a numeric derivative and off at the other."""


class Check(NamedTuple):
    """The comparison of one array, and its worst entry."""

    name: str
    shape: tuple[int, ...]
    error: float  # see `relative_error`
    entry: tuple[int, ...]  # the place of the worst one
    analytic: float  # its value
    numeric: float
    cause: str  # a guess, for an error above the limit

    @property
    def ok(self) -> bool:
        return self.error <= LIMIT  # False for NaN

    def __str__(self) -> str:
        line = f"{self.name:24} {self.shape!s:12} {self.error:8.1e}  at {list(self.entry)}"
        if self.ok:
            return line
        ratio = self.analytic / self.numeric if self.numeric else np.inf
        return f"{line}  analytic {self.analytic:.6g}, numeric {self.numeric:.6g}, ratio {ratio:.4g}: {self.cause}"


def signs(cache: object) -> object:
    """The signs of all numbers in a cache. They tell which relus are on.

    Another number that passes 0 costs a needless redraw, nothing else. Integers, such as the place of a maximum, are compared
    as they are.
    """
    if isinstance(cache, np.ndarray):
        return (np.sign(cache) if cache.dtype.kind == "f" else cache).tobytes()
    return tuple(map(signs, cache)) if isinstance(cache, tuple | list) else None


def derivative(f: Function, x: Floats, v: Floats, h: float = STEP) -> float:  # ., [...], [...] -> number
    """d f(x + t v) / dt at t = 0. x is moved in place and put back.

    f(x) is a number, or a number and a cache. Kink if the signs of the cache are not the same on both sides.
    """
    kept = x.copy()
    ends: list[tuple[Number, object]] = []
    for t in (h, -h):
        x[...] = kept + t * v
        value = f(x)
        ends.append((value[0], signs(value[1])) if isinstance(value, tuple) else (value, None))
    x[...] = kept
    if ends[0][1] != ends[1][1]:
        raise Kink
    return float((ends[0][0] - ends[1][0]) / (2 * h))


def numeric_gradient(f: Function, x: Floats, h: float = STEP) -> Floats:  # ., [...] -> [...]
    """The derivative by every entry of x, one after the other."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        v = np.zeros_like(x)
        v[index] = 1
        gradient[index] = derivative(f, x, v, h)
    return gradient


def relative_error(analytic: Floats | float, numeric: Floats | float) -> float:
    """max|analytic - numeric| / max(max|analytic|, max|numeric|); two arrays below 1e-10 are both zero: no error."""
    scale = max(np.abs(analytic).max(initial=0), np.abs(numeric).max(initial=0))
    if scale <= NEGLIGIBLE:
        return 0.0
    return float(np.abs(analytic - numeric).max() / scale)


def compare(name: str, analytic: ArrayLike, measure: Callable[[float], ArrayLike]) -> Check:
    """An analytic gradient against measure(h), its numeric counterpart with step h.

    An array above the limit is measured again, more precisely. The numeric error itself may be above the limit, if the gradient
    is small and f large, or if f has a large curvature. A step ten times as long has a tenth of the rounding error. Its own
    error is c h² + O(h⁴), so (4 measure(h/2) - measure(h)) / 3 has an error of O(h⁴) (Richardson). Unclear if the same with
    half these steps differs from it by a hundredth of the error or more.
    """
    analytic, numeric = np.asarray(analytic, np.float64), np.asarray(measure(STEP))
    if analytic.shape != numeric.shape:
        cause = f"shape {analytic.shape}, expected {numeric.shape}"
        return Check(name, analytic.shape, np.inf, (), np.nan, np.nan, cause)
    error = relative_error(analytic, numeric)
    if not error <= LIMIT:
        long, half, quarter = (np.asarray(measure(n * STEP)) for n in (10, 5, 2.5))
        numeric = (4 * half - long) / 3
        error, blur = relative_error(analytic, numeric), relative_error((4 * quarter - half) / 3, numeric)
        if LIMIT < error < 100 * blur:
            raise Unclear(f"{name}: two numeric gradients differ by {blur:.1e}, the analytic one by {error:.1e}")
    worst = tuple(int(i) for i in np.unravel_index(np.abs(analytic - numeric).argmax(), analytic.shape))
    cause = "" if error <= LIMIT else likely_cause(analytic, numeric)
    return Check(name, analytic.shape, error, worst, float(analytic[worst]), float(numeric[worst]), cause)


def likely_cause(analytic: Floats, numeric: Floats) -> str:
    """A guess in words, by the difference between the wrong array and the right one."""

    def alike(a: Floats, b: Floats) -> bool:
        return relative_error(a, b) < 1e-4

    if not np.isfinite(analytic).all():
        return "not finite"
    if not analytic.any():
        return "analytic 0: term missing"
    if np.abs(numeric).max() <= NEGLIGIBLE:
        return "numeric 0: this should get no gradient"
    factor = float(np.vdot(numeric, analytic) / np.vdot(numeric, numeric))
    ratios: list[tuple[float, str]] = [(1, "rounding of the numeric gradient?"), (2, "counted twice"), (-1, "sign flipped")]
    ratios += [(0.5, "one of two uses missing"), (factor, "perhaps a scale, or mean and sum confused")]
    for ratio, words in ratios:
        if alike(analytic, ratio * numeric):
            return f"ratio {ratio:.4g} everywhere: {words}"
    if analytic.shape == analytic.T.shape and alike(analytic.T, numeric):
        return "transposed"
    wrong = np.abs(analytic - numeric).reshape(len(analytic), -1).max(1) > 1e-4 * np.abs(numeric).max()
    if 0 < wrong.sum() <= len(wrong) / 2:
        return f"only rows {np.flatnonzero(wrong).tolist()} are wrong: perhaps a repeat lost, or a wrong place"
    return "a term missing or wrong"


def dense(gradient: Gradient | float | None, shape: tuple[int, ...]) -> Floats:
    """A gradient as an array: Rows become a whole table, None (no gradient) becomes zeros, an array stays an array."""
    if isinstance(gradient, np.ndarray | float):
        return np.asarray(gradient)
    whole = np.zeros(shape)
    if gradient is not None:
        whole[gradient.ids] = gradient.values
    return whole


def check_layer(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: dict[str, Any],
    differentiated: Sequence[str],
    rng: np.random.Generator,
) -> list[Check]:
    """Checks every entry of every differentiated input, with a random upstream gradient.

    inputs: name -> value, in the order of the forward's arguments. differentiated: names, in the order of the gradients.
    """
    *outputs, cache = forward(*inputs.values())
    upstream = [rng.standard_normal(np.shape(y)) for y in outputs]
    gradients = backward(*(r if r.ndim else float(r) for r in upstream), cache)
    gradients = gradients if type(gradients) is tuple else (gradients,)
    assert len(gradients) == len(differentiated), f"{len(gradients)} gradients for {differentiated}"

    def f(_: Floats) -> tuple[Number, object]:
        *outputs, cache = forward(*inputs.values())
        return sum((r * y).sum() for r, y in zip(upstream, outputs)), cache

    return [
        compare(name, dense(gradient, inputs[name].shape), partial(numeric_gradient, f, inputs[name]))
        for name, gradient in zip(differentiated, gradients)
    ]


def check_directions(name: str, f: Function, x: Floats, analytic: Floats, rng: np.random.Generator, count: int = 5) -> Check:
    """A few random directions instead of every entry: cheap for a large array, and every entry takes part in each."""
    directions = rng.standard_normal((count, *x.shape))

    def measure(h: float) -> list[float]:
        return [derivative(f, x, v, h) for v in directions]

    return compare(name, [np.vdot(v, analytic) for v in directions], measure)


def redrawn(draw: Callable[[np.random.Generator], T], seed: int) -> tuple[T, int]:
    """The first draw(rng) that is not Unclear, and the number of redraws. Unclear if 100 draws are."""
    for attempt in range(100):
        try:
            return draw(stream(seed, "gradient check", attempt)), attempt
        except Unclear:
            continue
    raise Unclear("100 draws had a relu at its kink, or a gradient that the rounding of f hides")


def check_model(problem: Problem) -> list[Check]:
    """Checks every entry of every parameter, with the gradients of a training step, dropout included."""
    model, params, batch, scale, config = problem
    penalty = getattr(model, "penalty", lambda cache: 0.0)
    _, gradients = make_backend(model, params, config, 0, scale).gradients(batch)
    dropout, checks = Dropout(config.dropout, config.seed, 0) if config.dropout else None, []

    def f(_: Floats) -> tuple[Number, object]:
        scores, cache = model.forward(params, batch, scale, dropout)
        return loss_and_slope(config.loss, scores, batch)[0] + penalty(cache), cache

    for name, w in params.items():
        gradient = dense(gradients.get(name), w.shape)
        if kind(name) == "table":
            gradient = gradient * scale  # the gradient is by the table, w is the table divided by the scale
        if has_unknown(name):
            assert not gradient[0].any(), f"{name}: the row `unknown` is never trained"
            w, gradient = w[1:], gradient[1:]
        checks.append(compare(name, gradient, partial(numeric_gradient, f, w)))
    return checks
