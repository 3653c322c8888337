import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "the GRU through time"
TRANSFER = True
TASK = """
Now a whole history of the GRU of `e20_gru`, n steps with the same Ur, Uu, Ug. forward(xr, xu, xg, Ur, Uu, Ug) is in the stub.
It returns y [n,H], the states h of all steps, and a list `kept` that holds (p, r, u, g) of each step, [H] each.
Write backward(dy, kept, Ur, Uu, Ug) (about 20 lines). dy [n,H] is the upstream gradient by y. It returns a tuple of six:
    dxr, dxu, dxg [n,H], the gradients by xr, xu, xg;      dUr, dUu, dUg [H,H]
You may take the lines of your gru_backward. Here p, r, u, g are single rows; np.outer(p, dz) is the matrix with the entries
p_k dz_j.
"""
STUB = """\
import numpy as np


def sigmoid(y):
    return 1 / (1 + np.exp(-y))


def forward(xr, xu, xg, Ur, Uu, Ug):  # [n,H] three times, [H,H] three times -> [n,H], list of (p, r, u, g)
    y, kept = np.zeros_like(xr), []
    p = np.zeros(len(Ur))
    for t in range(len(xr)):
        r = sigmoid(xr[t] + p @ Ur)
        u = sigmoid(xu[t] + p @ Uu)
        g = np.tanh(xg[t] + (r * p) @ Ug)
        kept.append((p, r, u, g))
        y[t] = u * p + (1 - u) * g
        p = y[t]
    return y, kept


def backward(dy, kept, Ur, Uu, Ug):  # [n,H], list, [H,H] three times -> [n,H] three times, [H,H] three times
    # YOUR CODE (about 20 lines)
    ...
"""
HINTS = (
    "Start with h_back = 0, for nothing comes after the last step. In each step, from the last to the first: the whole dh is "
    "dy[t] + h_back, then the lines of one step, and its dp is the h_back of the step before. The three dU add up.",
    "for t in reversed(range(len(dy))): p, r, u, g = kept[t]; dh = dy[t] + h_back; …; h_back = dh * u + dq * r + Ur @ dzr + "
    "Uu @ dzu (for a row, dz @ U.T and U @ dz are the same). dUr += np.outer(p, dzr), dUu += np.outer(p, dzu), dUg += "
    "np.outer(r * p, dzg). xr stands beside zr with the factor 1, so dxr[t] = dzr.",
)
EXPLAIN = """
Why it is so: the LSTM has two roads to the left, the GRU one. All else is the same: the gradient of a state is what comes from
above plus what the next step hands back, each step's dp is handed on, and what all steps share gets a sum. So one step,
derived with care, is all that a new cell costs you; the loop around it does not change.
"""


def derived(dy, kept, Ur, Uu, Ug, hand_on=True, gates=True, add_up=True, before=True):
    """The six gradients; each switch turned off makes one of the usual mistakes."""
    n, H = dy.shape
    dx, dU, h_back = np.zeros((3, n, H)), np.zeros((3, H, H)), np.zeros(H)
    for t in reversed(range(n)):
        p, r, u, g = kept[t]
        dh = dy[t] + h_back
        dzg = dh * (1 - u) * (1 - g**2)
        dq = Ug @ dzg
        dz = dq * p * r * (1 - r), dh * (p - g) * u * (1 - u), dzg
        h_back = hand_on * (dh * u + dq * r + gates * (Ur @ dz[0] + Uu @ dz[1]))
        read = p if before else u * p + (1 - u) * g
        dx[:, t] = dz
        here = np.array([np.outer(read, dz[0]), np.outer(read, dz[1]), np.outer(r * read, dzg)])
        dU = dU + here if add_up else here
    return [*dx, *dU]


def check(answer, rng):
    for n, H in ((1, 3), (2, 2), (5, 3)):
        arrays = [*rng.standard_normal((3, n, H)), *rng.standard_normal((3, H, H))]
        dy = rng.standard_normal((n, H))

        def loss(_, arrays=arrays, dy=dy):
            xr, xu, xg, Ur, Uu, Ug = arrays
            h, total = np.zeros(len(Ur)), 0.0
            for t in range(len(dy)):
                r, u = 1 / (1 + np.exp(-(xr[t] + h @ Ur))), 1 / (1 + np.exp(-(xu[t] + h @ Uu)))
                h = u * h + (1 - u) * np.tanh(xg[t] + (r * h) @ Ug)
                total += dy[t] @ h
            return total

        _, kept = answer.forward(*arrays)
        right = [numeric_gradient(loss, array) for array in arrays]
        yours = answer.backward(dy, kept, *arrays[3:])
        came = len(yours) if isinstance(yours, tuple) else 1
        if came != 6:
            yield Case("a tuple of six. How many came back", came, 6)
            return
        faults = {
            "what the next step hands back is lost: dh = dy[t] + h_back": derived(dy, kept, *arrays[3:], hand_on=False),
            "both gates read the state before: h_back is a sum of four": derived(dy, kept, *arrays[3:], gates=False),
            "all steps share a U: its gradient is a sum over them": derived(dy, kept, *arrays[3:], add_up=False),
            "U meets the state before the step, not the new one": derived(dy, kept, *arrays[3:], before=False),
        }
        for k, name in enumerate(("dxr", "dxu", "dxg", "dUr", "dUu", "dUg")):
            causes = {words: values[k] for words, values in faults.items()}
            yield Case(f"{name}, n = {n}, H = {H}", yours[k], right[k], causes)
