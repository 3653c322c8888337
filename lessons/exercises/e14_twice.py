import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "a small model whose matrix is used twice"
TASK = """
One matrix maps a history's behaviours and the target, as F_M does in (1):
    S = u W        u [n,b], W [b,D]    the history
    h = q W        q [b]               the target
    e = Σ_i S_i    [D]                 the history as one vector
    f = h · e      a number
Write model_gradient(u, q, W, df) (about 7 lines).
    df  number     the derivative of the loss by f
    returns a tuple: du [n,b], dq [b], dW [b,D]
"""
STUB = """\
import numpy as np


def model_gradient(u, q, W, df):  # [n,b], [b], [b,D], number -> [n,b], [b], [b,D]
    # YOUR CODE (about 7 lines)
    ...
"""
HINTS = (
    "Compute S, h and e first. Then go back, last line first: dh and de from f, dS from e, and then what W and the inputs get.",
    "Every row of dS is de. W has two uses: the history's gives u.T @ dS (as in lesson 05), the target's gives the outer product "
    "of q and dh. dW is their sum.",
)
EXPLAIN = """
Why it is so: the loss changes by W along two roads, and a small change of W takes both at once. In the real model they are the
whole history and all targets of a batch; `Gradients.add` is the one place where they meet.
"""


def f_of(u, q, W):
    return float((q @ W) @ (u @ W).sum(0))


def check(answer, rng):
    for n, b, D in ((1, 2, 3), (4, 3, 2), (7, 5, 3)):
        u, q, W, df = rng.standard_normal((n, b)), rng.standard_normal(b), rng.standard_normal((b, D)), 0.7
        yours = answer.model_gradient(u, q, W, df)
        came = len(yours) if isinstance(yours, tuple) else 1
        if came != 3:
            yield Case("a tuple of three: du, dq, dW. How many arrays came back", came, 3)
            return
        h, e = q @ W, (u @ W).sum(0)
        history, target = df * np.outer(u.sum(0), h), df * np.outer(q, e)
        numeric = lambda x, f, df=df: df * numeric_gradient(f, x.copy())
        yield Case(
            f"du [{n},{b}]",
            yours[0],
            numeric(u, lambda u, q=q, W=W: f_of(u, q, W)),
            {
                "df is missing": np.tile(W @ h, (n, 1)),
                "each behaviour gets the whole de, not a share of it": np.tile(df * W @ h / n, (n, 1)),
            },
        )
        yield Case(f"dq [{b}]", yours[1], numeric(q, lambda q, u=u, W=W: f_of(u, q, W)), {"df is missing": W @ e})
        yield Case(
            f"dW [{b},{D}]",
            yours[2],
            numeric(W, lambda W, u=u, q=q: f_of(u, q, W)),
            {
                "the target's road is missing: h = q W uses W as well": history,
                "the history's road is missing: S = u W uses W as well": target,
                "df is missing": (history + target) / df,
            },
        )
