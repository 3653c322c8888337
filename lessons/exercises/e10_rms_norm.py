import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TRANSFER = True
TITLE = "RMS norm: another norm, with two outputs"
TASK = """
RMS norm, used by many language models, divides each row by its size and takes no mean away:
    size_i = sqrt(mean_j x_ij² + ε)        [N,1]     mean over the D numbers of the row, ε = 1e-5
    y_ij = (1 + g_j) x_ij / size_i         [N,D]     g [D] is trained
Here both y and size go on to later layers, so you are given two upstream gradients.
Write rms_norm_backward(dy, dsize, x, g) (about 8 lines).
    dy, x [N,D]; dsize [N,1]; g [D]
    returns dx [N,D], dg [D]
"""
STUB = """\
import numpy as np


def rms_norm_backward(dy, dsize, x, g):  # [N,D], [N,1], [N,D], [D] -> [N,D], [D]
    # YOUR CODE (about 8 lines)
    ...
"""
HINTS = (
    "Compute size and normed = x / size. Who uses size? y does, for the whole row; and the layers after it do: dsize. Then size "
    "uses every x of the row, and x has one more use, in y.",
    "dnormed = dy (1 + g). All of size: dsize − Σ_j dnormed_j x_j / size². The slope of size by x_j is x_j / (D size). So dx = "
    "dnormed / size + (all of size) · x / (D size), and dg is the sum of dy ∘ normed over the rows.",
)
EXPLAIN = """
Why it is so: there is no mean, so the term through the mean is gone, and the rows of dx need not sum to 0. The term through the
size is the third term of the layer norm; the second output adds its own gradient to it before it goes on to x. With
dsize = 0 your dx has no part along x, because a stretched row gives the same y.
"""
EPSILON = 1e-5


def forward(x, g):
    size = np.sqrt((x**2).mean(1, keepdims=True) + EPSILON)
    return (1 + g) * x / size, size


def check(answer, rng):
    for N, D in ((5, 7), (2, 3), (3, 11)):
        x, dy = 1 + 2 * rng.standard_normal((N, D)), rng.standard_normal((N, D))
        g, dsize = 0.5 * rng.standard_normal(D), rng.standard_normal((N, 1))
        yours = answer.rms_norm_backward(dy, dsize, x, g)
        came = len(yours) if isinstance(yours, tuple) else 1
        if came != 2:
            yield Case("two arrays: dx and dg. How many came back", came, 2)
            return

        def loss(_, own=(x, g), dy=dy, dsize=dsize):
            y, size = forward(*own)
            return (dy * y).sum() + (dsize * size).sum()

        _, size = forward(x, g)
        dnormed = dy * (1 + g)
        through_y = -(dnormed * x).sum(1, keepdims=True) / size**2
        slope = x / (D * size)
        without_mean = dnormed / size + (through_y + dsize) * slope
        yield Case(
            f"dx [{N},{D}]",
            yours[0],
            numeric_gradient(loss, x),
            {
                "size goes on as an output: dsize is missing": dnormed / size + through_y * slope,
                "the use of size in y is missing": dnormed / size + dsize * slope,
                "size is no constant: it depends on x": dnormed / size,
                "the factor of y is 1 + g, not g": dy * g / size + (dsize - (dy * g * x).sum(1, keepdims=True) / size**2) * slope,
                "the gain is forgotten": dy / size + (dsize - (dy * x).sum(1, keepdims=True) / size**2) * slope,
                "the mean over the row: its slope has the factor 1/D": dnormed / size + (through_y + dsize) * slope * D,
                "no mean is taken away in this norm": without_mean - without_mean.mean(1, keepdims=True),
            },
        )
        yield Case(
            f"dg [{D}]",
            yours[1],
            numeric_gradient(loss, g),
            {
                "g multiplies x / size: its gradient needs it": dy.sum(0),
                "g multiplies x / size, not x": (dy * x).sum(0),
                "a mean in place of the sum over the rows": (dy * x / size).mean(0),
            },
        )
