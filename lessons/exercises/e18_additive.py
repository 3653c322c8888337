import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "a third score: additive attention, backward"
TRANSFER = True
TASK = """
The first attention of all (Bahdanau et al., 2015) adds query and key, where ATRank multiplies them:
    z_ij = sum over p of w_p tanh(s_ip + t_jp)          s [n,d] queries, t [m,d] keys, w [d]
Write additive_backward(dz, s, t, w) (about 5 lines).       dz  [n,m]  the derivative of the loss by z
    returns a tuple: ds [n,d], dt [m,d], dw [d]
"""
STUB = """\
import numpy as np


def additive_backward(dz, s, t, w):  # [n,m], [n,d], [m,d], [d] -> [n,d], [m,d], [d]
    # YOUR CODE (about 5 lines)
    ...
"""
HINTS = (
    "There is a value for each i, j AND p: h = tanh(s_i + t_j) is [n,m,d]; s[:, None] + t[None] makes the sum. "
    "Differentiate by h first, then by its inside; query i was used for all j, key j for all i.",
    "dh = dz[:, :, None] * w; da = dh * (1 - h**2); ds = da.sum(1); dt = da.sum(0); dw = (dz[:, :, None] * h).sum((0, 1)).",
)
EXPLAIN = """
Why it is so: in a sum both terms have the slope 1, so query and key get the same numbers da, summed over different indices. No
matrix product appears, as tanh stands between sum and score: [n,m,d] numbers must be made, d times as many as the scores.
That is why products won.
"""


def check(answer, rng):
    for n, m, d in ((1, 2, 3), (4, 3, 2), (5, 7, 3)):
        s, t, w = rng.standard_normal((n, d)), rng.standard_normal((m, d)), rng.standard_normal(d)
        dz = rng.standard_normal((n, m))

        def loss(_, s=s, t=t, w=w, dz=dz, n=n, m=m, d=d):
            total = 0.0
            for i in range(n):
                for j in range(m):
                    total += dz[i, j] * sum(w[p] * np.tanh(s[i, p] + t[j, p]) for p in range(d))
            return total

        yours = answer.additive_backward(dz, s, t, w)
        came = len(yours) if isinstance(yours, tuple) else 1
        if came != 3:
            yield Case("a tuple of three: ds, dt, dw. How many came back", came, 3)
            return
        h = np.tanh(s[:, None] + t[None])
        flat = dz[:, :, None] * w
        no_w = dz[:, :, None] * (1 - h**2)
        causes = (
            {"the slope of tanh is missing: 1 - h²": flat.sum(1), "w stands before the tanh: times w": no_w.sum(1)},
            {"the slope of tanh is missing: 1 - h²": flat.sum(0), "w stands before the tanh: times w": no_w.sum(0)},
            {"by w the derivative is h, not its slope": no_w.sum((0, 1))},
        )
        for name, array, mine, own in zip(("ds", "dt", "dw"), (s, t, w), yours, causes):
            yield Case(f"{name}, n = {n}, m = {m}, d = {d}", mine, numeric_gradient(loss, array), own)
