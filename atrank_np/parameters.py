"""Parameters are a dict of name -> array. The name of a parameter says its kind; only the functions here interpret names."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike

from .arrays import Floats
from .randomness import stream

Params = dict[str, Floats]
Shapes = dict[str, tuple[int, ...]]
Kind = Literal["table", "item bias", "weight", "bias", "gain"]


def kind(name: str) -> Kind:
    """ "table": embedding, time or action table. "item bias": a number per object. "weight", "bias", "gain": of a layer."""
    if name.startswith(("table.", "time.", "action.")):
        return "table"
    if name.startswith("bias."):
        return "item bias"
    last = name.rsplit(".", 1)[1]
    return "gain" if last == "gain" else "bias" if last.startswith("b") else "weight"


def has_unknown(name: str) -> bool:
    """Row 0 of this parameter belongs to `unknown`: it is zero and never trained."""
    return name.startswith(("table.", "bias."))


def is_decayed(name: str) -> bool:
    """Weight matrices and whole tables are decayed; biases, gains and the item bias are not."""
    return kind(name) in ("weight", "table")


def normal(rng: np.random.Generator, shape: tuple[int, ...], deviation: float, dtype: DTypeLike) -> Floats:
    """Normal numbers with mean 0, drawn a thousand rows at a time: a whole table in float64 would take twice its memory."""
    drawn: Floats = np.empty(shape, dtype)
    for i in range(0, len(drawn), 1000):
        drawn[i : i + 1000] = deviation * rng.standard_normal(drawn[i : i + 1000].shape)
    return drawn


def initialise(
    shapes: Mapping[str, tuple[int, ...]], seed: int, dense: float, table: float, gain: float, dtype: DTypeLike
) -> Params:
    """Initial parameters, by kind: name -> shape to name -> array.

    Weights and tables are normal, with the standard deviations `dense` and `table`. Biases and the row `unknown` are 0.
    Gains are 1, except the one of F_vanilla, which is `gain`.

    That gain is small because f = h · e. With e fixed, the loss has a curvature of up to |e|²/4 along a shift of all h, and
    |e|² is D times the squared gain. On a quadratic function, gradient descent is stable at rates below 2/curvature. With
    D = 128 this limit is 1/16 for gain 1, and 6 for gain 0.1. The gain is trained and grows, so this limits the first steps
    only (lesson 15).
    """
    rng, params = stream(seed, "initialisation"), Params()
    deviations = {"weight": dense, "table": table}
    for name, shape in shapes.items():
        deviation = deviations.get(kind(name))
        if deviation is None:
            value = {"gain": gain if name.startswith("vanilla.F.") else 1}.get(kind(name), 0)
            params[name] = np.full(shape, value, dtype)
        else:
            params[name] = normal(rng, shape, deviation, dtype)
        if has_unknown(name):
            params[name][0] = 0
    return params
