"""Gradients against numeric derivatives: how an array, a layer and a model are checked."""

from functools import partial
from typing import NamedTuple

import numpy as np

from ..backend import make_backend
from ..layers.ranking import pairs_of, pairwise_forward, pointwise_forward
from ..parameters import has_unknown, kind
from ..randomness import Dropout, stream

STEP, LIMIT, ZERO = 1e-5, 1e-7, 1e-10


class Unclear(Exception):
    """A draw proves nothing: its numeric derivatives are too coarse to tell right from wrong."""


class Kink(Unclear):
    """A relu changed its side between the two ends of a numeric derivative."""


class Check(NamedTuple):
    """The comparison of one array, and its worst entry."""

    name: str
    shape: tuple
    error: float
    index: tuple
    analytic: float
    numeric: float
    cause: str

    @property
    def ok(self):
        return self.error <= LIMIT  # False for NaN

    def __str__(self):
        line = f"{self.name:24} {self.shape!s:12} {self.error:8.1e}  at {list(map(int, self.index))}"
        if self.ok:
            return line
        ratio = self.analytic / self.numeric if self.numeric else np.inf
        return f"{line}  analytic {self.analytic:.6g}, numeric {self.numeric:.6g}, ratio {ratio:.4g}: {self.cause}"


def signs(cache):
    """The signs of all numbers that a forward pass keeps: the sides of its relus are among them. (Another number that
    passes 0 costs a needless redraw, nothing else.) Integers, such as the place of a maximum, are taken as they are."""
    if isinstance(cache, np.ndarray):
        return (np.sign(cache) if cache.dtype.kind == "f" else cache).tobytes()
    return tuple(map(signs, cache)) if isinstance(cache, tuple | list) else None


def derivative(f, x, v, h=STEP):
    """d f(x + t v) / dt at t = 0. x is moved in place and put back; f(x) is a number, or a number and a cache, whose
    signs must then be the same on both sides (else Kink)."""
    kept, ends = x.copy(), []
    for t in (h, -h):
        x[...] = kept + t * v
        value = f(x)
        ends.append((value[0], signs(value[1])) if isinstance(value, tuple) else (value, None))
    x[...] = kept
    if ends[0][1] != ends[1][1]:
        raise Kink
    return (ends[0][0] - ends[1][0]) / (2 * h)


def numeric_gradient(f, x, h=STEP):
    """The derivative by every entry of x, one after the other."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        v = np.zeros_like(x)
        v[index] = 1
        gradient[index] = derivative(f, x, v, h)
    return gradient


def relative_error(analytic, numeric):
    """max|analytic - numeric| / max(max|analytic|, max|numeric|); two arrays below 1e-10 are both zero: no error."""
    scale = max(np.abs(analytic).max(initial=0), np.abs(numeric).max(initial=0))
    if scale <= ZERO:
        return 0.0
    return float(np.abs(analytic - numeric).max() / scale)


def compare(name, analytic, measure):
    """measure(h) -> the numeric counterpart. An array over the limit gets a second, sharper look before it is blamed, for a
    small gradient of a large f, or of one that bends much, has a numeric error above the limit. A step ten times as long
    rounds a tenth as much; its own error is c h² + O(h⁴), so (4 measure(h/2) - measure(h)) / 3 is O(h⁴) (Richardson).
    Unclear if half of these steps give a result that differs as much as a hundredth of the error."""
    analytic, numeric = np.asarray(analytic, np.float64), np.asarray(measure(STEP))
    error = relative_error(analytic, numeric)
    if not error <= LIMIT:
        long, half, quarter = (np.asarray(measure(n * STEP)) for n in (10, 5, 2.5))
        numeric = (4 * half - long) / 3
        error, blur = relative_error(analytic, numeric), relative_error((4 * quarter - half) / 3, numeric)
        if LIMIT < error < 100 * blur:
            raise Unclear(f"{name}: two numeric gradients differ by {blur:.1e}, the analytic one by {error:.1e}")
    worst = np.unravel_index(np.abs(analytic - numeric).argmax(), analytic.shape)
    cause = "" if error <= LIMIT else likely_cause(analytic, numeric)
    return Check(name, analytic.shape, error, worst, float(analytic[worst]), float(numeric[worst]), cause)


def likely_cause(analytic, numeric):
    """A guess in words, from how the wrong array looks beside the right one."""
    alike = lambda a, b: relative_error(a, b) < 1e-4
    if not np.isfinite(analytic).all():
        return "not finite"
    if not analytic.any():
        return "analytic 0: term missing"
    if np.abs(numeric).max() <= ZERO:
        return "numeric 0: this should get no gradient"
    known = {1: "the numeric side's rounding?", 2: "counted twice", -1: "sign flipped", 0.5: "one of two uses missing"}
    factor = np.vdot(numeric, analytic) / np.vdot(numeric, numeric)
    for ratio, words in [*known.items(), (factor, "a scale, or mean and sum confused")]:
        if alike(analytic, ratio * numeric):
            return f"ratio {ratio:.4g} everywhere: {words}"
    if analytic.shape == analytic.T.shape and alike(analytic.T, numeric):
        return "transposed"
    wrong = np.abs(analytic - numeric).reshape(len(analytic), -1).max(1) > 1e-4 * np.abs(numeric).max()
    if 0 < wrong.sum() <= len(wrong) / 2:
        return f"only rows {np.flatnonzero(wrong).tolist()} are wrong: a repeat lost, or a wrong place"
    return "a term missing or wrong"


def dense(gradient, shape):
    """Rows as the whole array that they stand for; an array as it is, and None (nothing came) as zeros."""
    if isinstance(gradient, np.ndarray | float):
        return np.asarray(gradient)
    whole = np.zeros(shape)
    if gradient is not None:
        whole[gradient.ids] = gradient.values
    return whole


def check_layer(forward, backward, inputs, differentiated, rng):
    """Every entry of every differentiated input. inputs: name -> value, in the order of the forward's arguments."""
    *outputs, cache = forward(*inputs.values())
    upstream = [rng.standard_normal(np.shape(y)) for y in outputs]
    gradients = backward(*(r if r.ndim else float(r) for r in upstream), cache)
    gradients = gradients if type(gradients) is tuple else (gradients,)
    assert len(gradients) == len(differentiated), f"{len(gradients)} gradients for {differentiated}"

    def f(_):
        *outputs, cache = forward(*inputs.values())
        return sum((r * y).sum() for r, y in zip(upstream, outputs)), cache

    return [
        compare(name, dense(gradient, inputs[name].shape), partial(numeric_gradient, f, inputs[name]))
        for name, gradient in zip(differentiated, gradients)
    ]


def check_directions(name, f, x, analytic, rng, count=5):
    """A few random directions in place of every entry: cheap for a large array, and blind to nothing in it."""
    directions = rng.standard_normal((count, *x.shape))
    measure = lambda h: [derivative(f, x, v, h) for v in directions]
    return compare(name, [np.vdot(v, analytic) for v in directions], measure)


def redrawn(draw, seed):
    """draw(rng) at the first rng that is not Unclear -> its result, the number of redraws."""
    for attempt in range(100):
        try:
            return draw(stream(seed, "gradient check", attempt)), attempt
        except Unclear:
            continue
    raise Unclear("100 draws had a relu at its kink, or a gradient below what rounding leaves of f")


def check_model(problem):
    """Every entry of every parameter, by the gradients of the loss that a training step would use, its dropout included."""
    model, params, batch, scale, config = problem
    penalty = getattr(model, "penalty", lambda cache: 0.0)
    _, gradients = make_backend(model, params, config, 0, scale).gradients(batch)
    dropout, checks = Dropout(config.dropout, config.seed, 0) if config.dropout else None, []

    def f(_):
        scores, cache = model.forward(params, batch, scale, dropout)
        if config.loss == "pair":
            return pairwise_forward(scores, *pairs_of(batch.label, batch.target_offsets))[0] + penalty(cache), cache
        return pointwise_forward(scores, batch.label)[0] + penalty(cache), cache

    for name, w in params.items():
        gradient = dense(gradients.get(name), w.shape)
        if kind(name) == "table":
            gradient = gradient * scale  # the gradient is by the table, w is the table divided by the scale
        if has_unknown(name):
            assert not gradient[0].any(), f"{name}: the row `unknown` is never trained"
            w, gradient = w[1:], gradient[1:]
        checks.append(compare(name, gradient, partial(numeric_gradient, f, w)))
    return checks
