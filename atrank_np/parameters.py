"""Parameters are a dict of name -> ndarray. What a parameter is can be read off its name, here and nowhere else."""

import numpy as np

from .randomness import stream


def kind(name):
    """ "table": embedding, time or action table. "item bias": a number per object. "weight", "bias", "gain": of a layer."""
    if name.startswith(("table.", "time.", "action.")):
        return "table"
    if name.startswith("bias."):
        return "item bias"
    last = name.rsplit(".", 1)[1]
    return "gain" if last == "gain" else "bias" if last.startswith("b") else "weight"


def has_unknown(name):
    """Row 0 of this parameter belongs to `unknown`: it is zero and never trained."""
    return name.startswith(("table.", "bias."))


def is_decayed(name):
    """Weight matrices and whole tables are decayed; biases, gains and the item bias are not."""
    return kind(name) in ("weight", "table")


def normal(rng, shape, deviation, dtype):
    """Normal numbers, a thousand rows at a time: float64 numbers for a whole table would take twice its room."""
    drawn = np.empty(shape, dtype)
    for i in range(0, len(drawn), 1000):
        drawn[i : i + 1000] = deviation * rng.standard_normal(drawn[i : i + 1000].shape)
    return drawn


def initialise(shapes, seed, dense, table, gain, dtype):  # name -> shape; to name -> array
    """Normal numbers, by the kind of parameter; biases 0, the row `unknown` 0, gains 1 but in F_vanilla.

    There the gain is small: f = h · e, so with e held fixed the loss bends along a shift of all h by up to |e|²/4, and
    |e|² is D times the squared gain. In a bowl, descent is stable at rates below 2/bend: at gain 1 and D = 128 that is
    1/16, at gain 0.1 it is 6. The gain is trained and grows, so this limits the first steps only (lesson 15).
    """
    rng, params = stream(seed, "initialisation"), {}
    for name, shape in shapes.items():
        deviation = {"weight": dense, "table": table}.get(kind(name))
        if deviation is None:
            value = {"gain": gain if name.startswith("vanilla.F.") else 1}.get(kind(name), 0)
            params[name] = np.full(shape, value, dtype)
        else:
            params[name] = normal(rng, shape, deviation, dtype)
        if has_unknown(name):
            params[name][0] = 0
    return params
