import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "another cell: one step of a GRU, backward"
TRANSFER = True
TASK = """
A GRU (Cho et al., 2014) has one state and two gates. From the state p before the step:
    zr = xr + p Ur            zu = xu + p Uu             r = s(zr)    u = s(zu)         s(y) = 1 / (1 + exp(-y))
    zg = xg + (r * p) Ug      g = tanh(zg)               h = u * p + (1 - u) * g
Write gru_backward(dh, p, r, u, g, Ur, Uu, Ug) (about 12 lines). All but the U are [A,H]; Ur, Uu, Ug are [H,H]. The values r,
u, g are those of the forward pass, dh is the gradient by h. It returns a tuple of five:
    dzr, dzu, dzg [A,H], the gradients by zr, zu, zg;      dp [A,H], by the state before;      dUg [H,H], by Ug
"""
STUB = """\
import numpy as np


def gru_backward(dh, p, r, u, g, Ur, Uu, Ug):  # [A,H] five times, [H,H] three times -> [A,H] four times, [H,H]
    # YOUR CODE (about 12 lines)
    ...
"""
HINTS = (
    "Count the uses of p: in zr, in zu, in r * p, and in u * p. So dp is a sum of four. And h has u twice: in u * p and in "
    "(1 - u) * g. From the last equation to the first: h, then g, then r * p, then the gates.",
    "du = dh (p - g), dzg = dh (1 - u)(1 - g²), q = dzg Ugᵀ is the gradient by r * p. So dr = q p. "
    "dp = dh u + q r + dzr Urᵀ + dzu Uuᵀ. dUg = (r * p)ᵀ dzg.",
)
EXPLAIN = """
Why it is so: the rules are those of the LSTM, product, slope, and the sum over uses; only the drawing is another one. The
path that lets gradients live is dh * u: where u is near 1 the state is passed on as it is, in both directions. One state
does here what cell and shown state do in the LSTM, so there is one gradient that walks back, not two.
"""


def sigmoid(y):
    return 1 / (1 + np.exp(-y))


def check(answer, rng):
    for A, H in ((1, 1), (3, 2), (2, 5)):
        xr, xu, xg, p, dh = rng.standard_normal((5, A, H))
        Ur, Uu, Ug = rng.standard_normal((3, H, H))
        r, u = sigmoid(xr + p @ Ur), sigmoid(xu + p @ Uu)
        g = np.tanh(xg + (r * p) @ Ug)

        def loss(_, xr=xr, xu=xu, xg=xg, p=p, Ur=Ur, Uu=Uu, Ug=Ug, dh=dh):
            total = 0.0
            for a in range(len(p)):
                r, u = sigmoid(xr[a] + p[a] @ Ur), sigmoid(xu[a] + p[a] @ Uu)
                g = np.tanh(xg[a] + (r * p[a]) @ Ug)
                total += (dh[a] * (u * p[a] + (1 - u) * g)).sum()
            return total

        # x stands beside each z with the factor 1: the same derivative
        expected = {name: numeric_gradient(loss, array) for name, array in zip(("dzr", "dzu", "dzg"), (xr, xu, xg))}
        expected |= {"dp": numeric_gradient(loss, p), "dUg": numeric_gradient(loss, Ug)}
        yours = answer.gru_backward(dh, p, r, u, g, Ur, Uu, Ug)
        came = len(yours) if isinstance(yours, tuple) else 1
        if came != 5:
            yield Case("a tuple of five. How many came back", came, 5)
            return
        dzr, dzu, dzg, dp, dUg = expected.values()
        q = dzg @ Ug.T
        causes = {
            "dzu": {
                "u has two uses: also in (1 - u) * g": dh * p * u * (1 - u),
                "the slope of the gate is missing": dh * (p - g),
            },
            "dzr": {"r stands before p: times p": q * r * (1 - r), "the slope of the gate is missing": q * p},
            "dzg": {"the slope of tanh is missing": dh * (1 - u), "g comes in with 1 - u": dh * u * (1 - g**2)},
            "dp": {
                "p has four uses; the one in r * p is forgotten": dp - q * r,
                "p has four uses; the ones in both gates are forgotten": dh * u + q * r,
                "p has four uses; the one in u * p is forgotten": dp - dh * u,
            },
            "dUg": {"Ug meets r * p, not p": p.T @ dzg},
        }
        for (name, right), mine in zip(expected.items(), yours):
            yield Case(f"{name}, A = {A}, H = {H}", mine, right, causes[name] if H > 1 else {})
