import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "an average in place of the maximum, with a stride"
TRANSFER = True
TASK = """
One history x [n,D], patterns W [w,D,F], b [F], n >= w. The window moves t behaviours at a time: place p begins at row p t,
and all places lie inside the history. The output is the average over the P places:
    z_pf = relu(sum over j and k of x[p t + j, k] W[j, k, f] + b_f)        y_f = 1/P · sum over p of z_pf
Write average_backward(dy, x, W, b, t) (about 12 lines).      dy  [F]  the gradient by y
    returns dx [n,D], dW [w,D,F], db [F]
"""
STUB = """\
import numpy as np


def average_backward(dy, x, W, b, t):  # [F], [n,D], [w,D,F], [F], number -> [n,D], [w,D,F], [F]
    # YOUR CODE (about 12 lines)
    ...
"""
HINTS = (
    "First the places: np.arange(0, n - w + 1, t) are their first rows. A mean over P places gives each place 1/P of dy. "
    "After that every place goes through its own relu, and all of them add to dW, db and dx.",
    "rows = starts[:, None] + np.arange(w); s = x[rows].reshape(P, w * D) @ W.reshape(w * D, F) + b; ds = dy / P * (s > 0); "
    "dx by np.add.at(dx, rows, (ds @ flat.T).reshape(P, w, D)).",
)
EXPLAIN = """
Why it is so: an average uses every place, so every place whose relu is open gets its share, and a pattern learns from the whole
history at once. The price: one strong place among many weak ones is averaged away. With a stride some behaviours may stand
in no window at all (at the end, or between windows if t > w): their gradient is 0, and the model does not know them.
"""


def check(answer, rng):
    for n, w, D, F, t in ((3, 3, 2, 1, 1), (7, 3, 2, 4, 2), (11, 2, 3, 2, 3)):
        P = (n - w) // t + 1
        while True:
            x, W, b, dy = (rng.standard_normal(shape) for shape in ((n, D), (w, D, F), F, F))
            s = np.zeros((P, F))
            for p in range(P):
                for f in range(F):
                    s[p, f] = b[f] + sum(x[p * t + j, k] * W[j, k, f] for j in range(w) for k in range(D))
            if np.abs(s).min() > 1e-3 and (s > 0).any() and (P == 1 or (s < 0).any()):
                break

        def loss(_, x=x, W=W, b=b, dy=dy, n=n, w=w, D=D, F=F, t=t):
            total = 0.0
            for f in range(F):
                seen = []
                for start in range(0, n - w + 1, t):
                    s = b[f]
                    for j in range(w):
                        s += x[start + j] @ W[j, :, f]
                    seen.append(max(s, 0.0))
                total += dy[f] * sum(seen) / len(seen)
            return total

        expected = {name: numeric_gradient(loss, array) for name, array in (("dx", x), ("dW", W), ("db", b))}
        rows = np.arange(0, n - w + 1, t)[:, None] + np.arange(w)
        flat = W.reshape(w * D, F)

        def wrong(ds, lose=False, rows=rows, flat=flat, x=x, W=W, P=P, w=w, D=D):
            dx = np.zeros_like(x)
            part = (ds @ flat.T).reshape(P, w, D)
            if lose:
                dx[rows] += part
            else:
                np.add.at(dx, rows, part)
            return dx, (x[rows].reshape(P, w * D).T @ ds).reshape(W.shape), ds.sum(0)

        one = np.zeros((P, F))
        one[s.argmax(0), np.arange(F)] = dy * (s.max(0) > 0)
        causes = {}
        if P > 1:
            causes = {
                "the average gives each place 1/P of dy": wrong(dy * (s > 0)),
                "the relu is forgotten: [s > 0]": wrong(np.tile(dy / P, (P, 1))),
                "that is the maximum's rule: an average uses all places": wrong(one),
                "behaviours stand in several windows, and their gradients add up": wrong(dy / P * (s > 0), lose=True),
            }
        yours = answer.average_backward(dy, x, W, b, t)
        for at, (name, right) in enumerate(expected.items()):
            own = {words: arrays[at] for words, arrays in causes.items()}
            yield Case(f"{name}, n = {n}, w = {w}, t = {t}", yours[at], right, own)
