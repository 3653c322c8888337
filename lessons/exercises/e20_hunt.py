import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "bug hunt: a forgetful back-propagation through time"
TASK = """
The file holds a stranger's LSTM for one history. The forward pass is right; one line of the backward pass is wrong, and the
loss falls all the same. Let numbers find it: at the end of the file draw x [4,3], W [3,8], U [2,8], b [8] and a random upstream
gradient dy [4,2], and print row by row how far dx is from the numeric derivative:
    from atrank_np.gradcheck import numeric_gradient
    print(abs(dx - numeric_gradient(loss, x)).max(1))    # loss = lambda _: (dy * forward(x, W, U, b)[0]).sum()
In which row is it right, and what does the fault look like as you walk away from there? Then ask once more with n = 1 and n = 2.
"""
STUB = """\
import numpy as np


def forward(x, W, U, b):  # [n,D], [D,4H], [H,4H], [4H] -> [n,H]
    H = len(U)
    h, c, y, kept = np.zeros(H), np.zeros(H), [], []
    for x_t in x:
        z = x_t @ W + h @ U + b
        i, f, o = (1 / (1 + np.exp(-z[k * H : (k + 1) * H])) for k in (0, 1, 3))
        g = np.tanh(z[2 * H : 3 * H])
        old_h, old_c, c = h, c, f * c + i * g
        t = np.tanh(c)
        h = o * t
        y.append(h)
        kept.append((old_h, old_c, i, f, g, o, t))
    return np.array(y), (x, W, U, kept)


def backward(dy, cache):  # [n,H] -> by x, W, U, b
    x, W, U, kept = cache
    dx, dW, dU, db = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), np.zeros(W.shape[1])
    dh = dc = np.zeros(len(U))
    for s in reversed(range(len(x))):
        old_h, old_c, i, f, g, o, t = kept[s]
        dh = dh + dy[s]
        do = dh * t
        dc = dh * o * (1 - t**2)
        di, df, dg = dc * g, dc * old_c, dc * i
        dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)])
        dx[s] = W @ dz
        dW += np.outer(x[s], dz)
        dU += np.outer(old_h, dz)
        db += dz
        dh, dc = U @ dz, dc * f
    return dx, dW, dU, db
"""
HINTS = (
    "The last row of dx is right, all others are wrong: within a step nothing is amiss, but something does not get from one step "
    "to the one before. Two messengers walk: dh and dc. Follow each through one turn of the loop.",
    "dh is added to in its turn (dh + dy[s]). And dc? What the step after has handed over is thrown away before it is used.",
)
EXPLAIN = """
Why it is so: the cell has two uses, it is shown and it is kept, so its gradient is a sum. `dc = …` forgot the second one: the
long road, the one that forget gates guard. Such an LSTM still learns from the short road through h, and so it learns what
is near: nobody notices but the numeric derivative.
"""


def check(answer, rng):
    for n, D, H in ((1, 2, 3), (2, 3, 2), (5, 3, 2)):
        own = [rng.standard_normal(shape) for shape in ((n, D), (D, 4 * H), (H, 4 * H), 4 * H)]
        dy = rng.standard_normal((n, H))

        def loss(_, own=own, dy=dy, H=H):
            x, W, U, b = own
            h = c = np.zeros(H)
            total = 0.0
            for x_t, dy_t in zip(x, dy):
                a = (x_t @ W + h @ U + b).reshape(4, H)
                gate = 1 / (1 + np.exp(-a))
                c = gate[1] * c + gate[0] * np.tanh(a[2])
                h = gate[3] * np.tanh(c)
                total += dy_t @ h
            return total

        _, cache = answer.forward(*own)
        right = [numeric_gradient(loss, array) for array in own]
        for name, gradient, expected in zip(("x", "W", "U", "b"), answer.backward(dy, cache), right, strict=True):
            yield Case(f"d{name}, a history of {n}", gradient, expected)
