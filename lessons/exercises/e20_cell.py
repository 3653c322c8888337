import numpy as np

from atrank_np.gradcheck import numeric_gradient
from atrank_np.layers.lstm import cell_forward
from lessons.exercises import Case

TITLE = "the LSTM cell, backward"
TASK = """
Write cell_backward(dh, dnew, c, i, f, g, o, t) (about 8 lines), for the step
    i, f, o = σ(zi), σ(zf), σ(zo)    g = tanh(zg)    new = f c + i g    t = tanh(new)    h = o t
    dh    [A,H]  the gradient by h, the state that is shown
    dnew  [A,H]  the gradient by the new cell, from the step after
    c     [A,H]  the cell before the step; i, f, g, o, t [A,H] as above
    returns dz [A,4H], the gradient by zi, zf, zg, zo side by side in that order, and dc [A,H], by the old cell
"""
STUB = """\
import numpy as np


def cell_backward(dh, dnew, c, i, f, g, o, t):  # [A,H] each -> [A,4H], [A,H]
    # YOUR CODE (about 8 lines)
    ...
"""
HINTS = (
    "From the last equation to the first, one at a time. The new cell has two uses: h is made of it, and the next step "
    "gets it. Two gradients of the same number add up.",
    "by the new cell: dnew + dh o (1 - t²). Then new = f c + i g hands it to f, c, i, g, times the other factor each. "
    "Last, σ' = σ (1 - σ) for three gates and tanh' = 1 - tanh² for g; np.concatenate([…], axis=1).",
)
EXPLAIN = """
Why it is so: c goes on by a product with f alone, so its gradient comes back by a product with f alone. All else that the cell
does, its four gates, gives gradients to the side. That road is what the LSTM was invented for.
"""


def check(answer, rng):
    for A, H in ((1, 1), (3, 2), (2, 5)):
        z, c = rng.standard_normal((A, 4 * H)), rng.standard_normal((A, H))
        dh, dnew = rng.standard_normal((2, A, H))

        def loss(_, z=z, c=c, dh=dh, dnew=dnew):
            h, new, _ = cell_forward(z, c)
            return (dh * h + dnew * new).sum()

        expected = numeric_gradient(loss, z), numeric_gradient(loss, c)
        i, f, g, o, t = cell_forward(z, c)[2][1:]

        def wrong(by_new, i=i, f=f, g=g, o=o, t=t, c=c, dh=dh, gates=True):
            d = by_new * g, by_new * c, by_new * i, dh * t
            slopes = (i * (1 - i), f * (1 - f), 1 - g**2, o * (1 - o)) if gates else (1, 1, 1, 1)
            return np.concatenate([a * b for a, b in zip(d, slopes)], axis=1), by_new * f

        shown = dh * o * (1 - t**2)
        faults = {
            "the new cell has two uses, and dnew is forgotten": wrong(shown),
            "the new cell has two uses, and what comes by h is forgotten": wrong(dnew),
            "between h and the cell stands a tanh: times 1 - t²": wrong(dnew + dh * o),
            "h = o t: what comes by h to the cell goes through the gate o": wrong(dnew + dh * (1 - t**2)),
            "the slopes of σ and tanh are missing": wrong(dnew + shown, gates=False),
        }
        dz, dc = answer.cell_backward(dh, dnew, c, i, f, g, o, t)
        yield Case(f"dz [{A},{4 * H}]", dz, expected[0], {words: values[0] for words, values in faults.items()})
        yield Case(f"dc [{A},{H}]", dc, expected[1], {words: values[1] for words, values in faults.items()})
