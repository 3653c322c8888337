import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TRANSFER = True
TITLE = "a small model whose matrix is used three times"
TASK = """
One matrix W maps a history's behaviours and the target, and the third time it maps back, transposed:
    S = u W          u [n,b], W [b,D]    the history
    h = q W          q [b]               the target
    e = relu(Σ_i S_i)    [D]             the history as one vector
    g = h ∘ e        [D]
    o = W g          [b]                 back in the width of the inputs
    f = Σ_j z_j o_j  a number            z [b]: another input
Write model_gradient(u, q, z, W, df) (about 14 lines).
    df  number     the derivative of the loss by f
    returns a tuple: du [n,b], dq [b], dz [b], dW [b,D]
"""
STUB = """\
import numpy as np


def model_gradient(u, q, z, W, df):  # [n,b], [b], [b], [b,D], number -> [n,b], [b], [b], [b,D]
    # YOUR CODE (about 14 lines)
    ...
"""
HINTS = (
    "Compute S, h, e, g, o first. Then go back, last line first: dz and do from f; dg from o; dh and de from g; the relu; then "
    "S. Every row of dS is the same. How many lines use W?",
    "o_j = Σ_p W_jp g_p: this use gives W the outer product of do and g, and g the gradient Wᵀ do. The history's use gives "
    "u.T @ dS, the target's the outer product of q and dh. dW is the sum of the three.",
)
EXPLAIN = """
Why it is so: a small change of W acts through all three lines at once, and the changes of the loss add up; that the third use is
transposed only decides the shape of its summand. Language models share their first and last matrix in this way. In ATRank
F_M and the tables serve the history and the targets; `Gradients.add` is the one place where they meet.
"""


def forward(u, q, z, W):
    s = (u @ W).sum(0)
    return (z @ W) @ ((q @ W) * np.maximum(s, 0))


def draw(rng, n, b, D):
    while True:  # away from the kink of the relu, some of it open
        u, q, z, W = rng.standard_normal((n, b)), rng.standard_normal(b), rng.standard_normal(b), rng.standard_normal((b, D))
        s = (u @ W).sum(0)
        if np.abs(s).min() > 1e-2 and 0 < (s > 0).sum() < D:
            return u, q, z, W


def check(answer, rng):
    df = 0.7
    for n, b, D in ((2, 2, 5), (4, 3, 2), (7, 5, 3)):
        own = u, q, z, W = draw(rng, n, b, D)
        yours = answer.model_gradient(*own, df)
        came = len(yours) if isinstance(yours, tuple) else 1
        if came != 4:
            yield Case("a tuple of four: du, dq, dz, dW. How many arrays came back", came, 4)
            return

        right = [df * numeric_gradient(lambda _, own=own: forward(*own), x) for x in own]
        s = (u @ W).sum(0)
        h, e, dg = q @ W, np.maximum(s, 0), df * (z @ W)
        ds, dh = dg * h * (s > 0), dg * e
        history, target, back = np.outer(u.sum(0), ds), np.outer(q, dh), df * np.outer(z, h * e)
        causes = (
            {
                "df is missing": np.tile(W @ ds / df, (n, 1)),
                "each behaviour gets the whole gradient of the sum, not a share": np.tile(W @ ds / n, (n, 1)),
                "the relu is forgotten": np.tile(W @ (dg * h), (n, 1)),
            },
            {"df is missing": W @ dh / df, "dh needs e after the relu, not before it": W @ (dg * s)},
            {"df is missing": right[2] / df},
            {
                "the third use of W, in o = W g, is missing": history + target,
                "the target's use of W, in h = q W, is missing": history + back,
                "the history's use of W, in S = u W, is missing": target + back,
                "df is missing": (history + target + back) / df,
                "the relu is forgotten": np.outer(u.sum(0), dg * h) + target + back,
            },
        )
        shape = f"(n={n}, b={b}, D={D})"
        for name, mine, expected, likely in zip(("du", "dq", "dz", "dW"), yours, right, causes, strict=True):
            yield Case(f"{name} {shape}", mine, expected, likely)
