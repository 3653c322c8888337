import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "bug hunt: back-propagation through time with two faults"
TASK = """
The file holds a stranger's LSTM for several histories, one after another in x [N,D]; history j has the rows
offsets[j]:offsets[j+1]. The forward pass is right. The backward pass has TWO faults, in lines that each look right alone. It
passes its author's test. Find the faults, then repair `backward`. Let numbers find them: draw x, W, U, b, dy for offsets
0, 3, 4, 7 and compare all four gradients with
    from atrank_np.gradcheck import numeric_gradient
    def loss(_): return (dy * forward(x, W, U, b, offsets)[0]).sum()
    numeric_gradient(loss, W)  # it moves W in place
row by row for dx, and for W, U and b. Which rows, which parameters are wrong, and with which offsets are they right?
"""
STUB = """\
import numpy as np


def forward(x, W, U, b, offsets):  # [N,D], [D,4H], [H,4H], [4H], [B+1] -> [N,H]
    H = len(U)
    y, kept = np.zeros((len(x), H)), []
    for start, stop in zip(offsets[:-1], offsets[1:]):
        h, c = np.zeros(H), np.zeros(H)
        for row in range(start, stop):
            z = x[row] @ W + h @ U + b
            i, f, o = (1 / (1 + np.exp(-z[k * H : (k + 1) * H])) for k in (0, 1, 3))
            g = np.tanh(z[2 * H : 3 * H])
            old_h, old_c, c = h, c, f * c + i * g
            s = np.tanh(c)
            h = o * s
            y[row] = h
            kept.append((old_h, old_c, i, f, g, o, s))
    return y, (x, W, U, kept, offsets)


def backward(dy, cache):  # [N,H] -> by x, W, U, b
    x, W, U, kept, offsets = cache
    H = len(U)
    dx, dW, dU, db = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), np.zeros(4 * H)
    dh, dc = np.zeros(H), np.zeros(H)
    for start, stop in reversed(list(zip(offsets[:-1], offsets[1:]))):
        for row in reversed(range(start, stop)):
            old_h, old_c, i, f, g, o, s = kept[row]
            dh = dh + dy[row]
            do = dh * s
            dc = dc + dh * o * (1 - s**2)
            di, df, dg = dc * g, dc * old_c, dc * i
            dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)])
            dx[row] = W @ dz
            dW += np.outer(x[row], dz)
            dU += np.outer(h_of(kept[row]), dz)
            db += dz
            dh, dc = U @ dz, dc * f
    return dx, dW, dU, db


def h_of(step):
    old_h, old_c, i, f, g, o, s = step
    return o * s
"""
HINTS = (
    "The author's test was: one history, the gradient by x. Two kinds of wrong numbers, two faults. U alone is wrong even for "
    "one history. And with several histories the rows of all but the last history are wrong, in dx too. What is still in dh "
    "and dc when a new history begins?",
    "Forward, h and c are set to zero for each history; backward, dh and dc must be as well. And U stood before the state "
    "that step s read, old_h, not before the one that it made.",
)
EXPLAIN = """
Why it is so: a gradient flows back along exactly those paths by which the values came. No value passes from one history to
the next, so no gradient may. And dU pairs each dz with the state that U was multiplied by. Both faults leave the shapes
right, and an author who checks dx for one history sees neither. Check every array, and data with every kind of border.
"""


def check(answer, rng):
    for offsets, D, H in (([0, 1], 2, 3), ([0, 4], 3, 2), ([0, 3, 4, 7], 3, 2), ([0, 2, 2, 5], 2, 3)):
        own = [rng.standard_normal(shape) for shape in ((offsets[-1], D), (D, 4 * H), (H, 4 * H), 4 * H)]
        dy = rng.standard_normal((offsets[-1], H))

        def loss(_, own=own, dy=dy, H=H, offsets=offsets):
            x, W, U, b = own
            total = 0.0
            for s in range(len(x)):
                if s in offsets:
                    h, c = np.zeros(H), np.zeros(H)
                a = (x[s] @ W + h @ U + b).reshape(4, H)
                gate = 1 / (1 + np.exp(-a))
                c = gate[1] * c + gate[0] * np.tanh(a[2])
                h = gate[3] * np.tanh(c)
                total += dy[s] @ h
            return total

        _, cache = answer.forward(*own, offsets)
        right = [numeric_gradient(loss, array) for array in own]
        for name, gradient, expected in zip(("x", "W", "U", "b"), answer.backward(dy, cache), right, strict=True):
            yield Case(f"d{name}, offsets {offsets}", gradient, expected)
