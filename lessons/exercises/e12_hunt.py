import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "bug hunt: targets that share histories"
TASK = """
The file scores targets by f = h · c. Here c is what target h gets from the behaviours C of its history (one space, no relu,
several histories), plus the plain mean of these behaviours. Two lines of `backward` are wrong. Both have the right shape, and
both would pass some tests. Let numbers find them. Run this from the repository's root, and mend until all four agree:

    import numpy as np
    from atrank_np.gradcheck import numeric_gradient, relative_error
    from lessons.answers.e12_hunt import backward, forward
    rng = np.random.default_rng(0)
    own = dict(h=rng.standard_normal((5, 3)), C=rng.standard_normal((7, 3)))
    own |= dict(W=rng.standard_normal((3, 3)), Q=rng.standard_normal((3, 3)))
    offsets, target_offsets, r = np.array([0, 3, 7]), np.array([0, 2, 5]), rng.standard_normal(5)

    def loss(_):  # numeric_gradient moves one of the arrays of `own` in place
        f, _ = forward(*own.values(), target_offsets, offsets)
        return (r * f).sum()

    _, cache = forward(*own.values(), target_offsets, offsets)
    for (name, x), gradient in zip(own.items(), backward(r, cache)):
        print(name, "error", relative_error(gradient, numeric_gradient(loss, x)))
"""
STUB = '''\
import numpy as np


def forward(h, C, W, Q, target_offsets, offsets):  # [T,d], [N,d], [d,d], [d,d], [B+1], [B+1] -> [T]
    key, v = C @ W, C @ Q
    c, weights = np.zeros_like(h), []
    for b in range(len(offsets) - 1):
        rows = slice(target_offsets[b], target_offsets[b + 1])
        keys = slice(offsets[b], offsets[b + 1])
        x = h[rows] @ key[keys].T
        e = np.exp(x - x.max(1, keepdims=True))
        weights.append(e / e.sum(1, keepdims=True))
        c[rows] = weights[b] @ v[keys] + C[keys].mean(0)
    return (h * c).sum(1), (h, C, W, Q, target_offsets, offsets, key, v, c, weights)


def backward(df, cache):  # [T] -> by h, C, W, Q
    """Two of these lines are wrong. Which?"""
    h, C, W, Q, target_offsets, offsets, key, v, c, weights = cache
    dc = df[:, None] * h
    dh = df[:, None] * c
    dC, dW, dQ = np.zeros_like(C), np.zeros_like(W), np.zeros_like(Q)
    for b, a in enumerate(weights):
        rows = slice(target_offsets[b], target_offsets[b + 1])
        keys = slice(offsets[b], offsets[b + 1])
        da = dc[rows] @ v[keys].T
        dv = a.T @ dc[rows]
        dx = a * (da - (a * da).sum(1, keepdims=True))
        dh[rows] += dx @ key[keys]
        dkey = dx.T @ h[rows]
        dC[keys] += dkey @ W
        dC[keys] += dv @ Q.T
        dC[keys] += dc[rows].mean(0)
        dW += C[keys].T @ dkey
        dQ += C[keys].T @ dv
    return dh, dC, dW, dQ
'''
HINTS = (
    "h, W and Q are right, so dkey and dv are. C is wrong, and it has three uses: as key, as value, and in the mean. Check each "
    "of the three lines against its own forward line, not against the lesson's. To see one fault at a time, take W symmetric, "
    "or give each history as many targets as behaviours: what changes?",
    "Key: rule 1 for Y = A B says dA = dY Bᵀ. What is B in the forward line here, and what is it in the lesson? Mean: take two "
    "behaviours and three targets on paper. Write c_1, c_2, c_3 with the mean in full. In which of them stands C_1, and with "
    "which factor? Does your sum divide by the number of behaviours, or of targets?",
)
EXPLAIN = """
Why it is so: a square matrix hides a transpose from every shape, and a symmetric one hides it from numbers too. The mean of the
targets looks like the mirror of the mean of the behaviours, but sizes and roles are exchanged: what was a mean over n going
forward is a sum over the readers, divided by n, going back. With as many targets as behaviours nobody would have seen it.
"""


def check(answer, rng):
    offsets, target_offsets = np.array([0, 3, 7]), np.array([0, 2, 5])
    own = [rng.standard_normal(shape) for shape in ((5, 3), (7, 3), (3, 3), (3, 3))]
    r = rng.standard_normal(5)

    def loss(_):
        h, C, W, Q = own
        total = 0
        for b in range(2):
            mine = C[offsets[b] : offsets[b + 1]]
            for t in range(*target_offsets[b : b + 2]):
                e = np.exp(mine @ W @ h[t])
                total += r[t] * (h[t] @ (e / e.sum() @ mine @ Q + mine.mean(0)))
        return total

    f, cache = answer.forward(*own, target_offsets, offsets)
    yield Case("the loss: leave the forward pass as it is", f @ r, loss(None))
    right = [numeric_gradient(loss, array) for array in own]
    for name, gradient, expected in zip("hCWQ", answer.backward(r, cache), right, strict=True):
        yield Case(f"d{name}", gradient, expected)
