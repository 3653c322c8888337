import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "another cell: one step of a GRU, backward"
TRANSFER = True
TASK = """
A GRU (Cho et al., 2014) has one state and two gates: r (reset) says how much of the old state is seen, u (update) how much is
kept. p is the state before the step. xr, xu, xg are what the input brings to each (x W + b); take them as given. In NumPy's
signs, * entry by entry and @ the matrix product:
    zr = xr + p @ Ur          r = s(zr)              s(y) = 1 / (1 + exp(-y))
    zu = xu + p @ Uu          u = s(zu)
    zg = xg + (r * p) @ Ug    g = tanh(zg)
    h = u * p + (1 - u) * g
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
    "Give r * p a name, q. Count the uses of p: in zr, in zu, in q, and in u * p. So dp is a sum of four. And h has u twice: in "
    "u * p and in (1 - u) * g. From the last equation to the first: h, then g, then q, then the gates.",
    "du = dh * (p - g), dzg = dh * (1 - u) * (1 - g**2), dq = dzg @ Ug.T, dr = dq * p. "
    "dp = dh * u + dq * r + dzr @ Ur.T + dzu @ Uu.T. dUg = q.T @ dzg.",
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
        dq = dzg @ Ug.T
        causes = {
            "dzu": {
                "u has two uses: also in (1 - u) * g": dh * p * u * (1 - u),
                "the slope of the gate is missing": dh * (p - g),
            },
            "dzr": {
                "r stands before p: times p": dq * r * (1 - r),
                "the slope of the gate is missing": dq * p,
                "what went forward through Ug goes back through Ug.T": (dzg @ Ug) * p * r * (1 - r),
            },
            "dzg": {
                "the slope of tanh is missing": dh * (1 - u),
                "g comes in with 1 - u": dh * u * (1 - g**2),
                "g is a tanh: its slope is 1 - g², not g (1 - g)": dh * (1 - u) * g * (1 - g),
            },
            "dp": {
                "p has four uses; the one in r * p is forgotten": dp - dq * r,
                "p has four uses; the ones in both gates are forgotten": dh * u + dq * r,
                "p has four uses; the one in u * p is forgotten": dp - dh * u,
                "what went forward through Ur goes back through Ur.T": dp + dzr @ Ur - dzr @ Ur.T,
                "what went forward through Uu goes back through Uu.T": dp + dzu @ Uu - dzu @ Uu.T,
            },
            "dUg": {"Ug meets r * p, not p": p.T @ dzg},
        }
        for (name, right), mine in zip(expected.items(), yours):
            yield Case(f"{name}, A = {A}, H = {H}", mine, right, causes[name] if H > 1 else {})
