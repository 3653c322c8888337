import numpy as np

from atrank_np.gradcheck import numeric_gradient
from atrank_np.layers.feedforward import feed_forward_forward, layer_norm_backward
from atrank_np.randomness import dropout_mask
from lessons.exercises import Case

TITLE = "F_self: the backward pass through dropout and residual connection"
TASK = """
Write block_backward(dtotal, x, hidden, mask, W1, W2) (about 7 lines) for
    hidden = relu(x W1 + b1)    out = hidden W2 + b2    total = x + mask · out
    x, mask, dtotal [N,D]; hidden [N,H]; W1 [D,H]; W2 [H,D]; dtotal is what the layer norm (exercise 10) hands down
    returns dx [N,D], dW1 [D,H], db1 [H], dW2 [H,D], db2 [D]
"""
STUB = """\
def block_backward(dtotal, x, hidden, mask, W1, W2):  # -> [N,D], [D,H], [H], [H,D], [D]
    # YOUR CODE (about 7 lines)
    ...
"""
HINTS = (
    "From the last line to the first: total is a sum, so dtotal goes to x and to mask · out unchanged. Then the mask, then a "
    "product with W2, the relu, a product with W1.",
    "dout = mask · dtotal feeds dW2, db2 and dhidden. The relu is open where hidden is positive. And x is used twice: at the "
    "start of the block, and in the sum.",
)
EXPLAIN = """
Why it is so: a dropped number had no influence on the loss, so no gradient passes there, and what survived was made larger by
1/(1 − p), so its gradient is too. The residual connection is one term, `+ dtotal`: by this road the gradient reaches x
however closed the block is. That is why deep networks can be trained.
"""


def check(answer, rng):
    for N, D, H in ((5, 7, 3), (1, 3, 5), (3, 5, 11)):
        x, dy = rng.standard_normal((2, N, D))
        W1, W2, b1, b2 = (rng.standard_normal(shape) for shape in ((D, H), (H, D), H, D))
        gain, bias = 1 + 0.5 * rng.standard_normal(D), rng.standard_normal(D)
        mask = dropout_mask(0.4, int(rng.integers(2**60)), 0, (N, D), np.float64)

        def loss(_, own=(x, W1, b1, W2, b2, gain, bias, mask), dy=dy):
            return (dy * feed_forward_forward(*own)[0]).sum()

        _, (hidden_cache, _, _, norm_cache) = feed_forward_forward(x, W1, b1, W2, b2, gain, bias, mask)
        hidden, (dtotal, _, _) = hidden_cache[1], layer_norm_backward(dy, norm_cache)
        dx, dW1, db1, dW2, db2 = answer.block_backward(dtotal, x, hidden, mask, W1, W2)
        gate = hidden > 0
        through = lambda dout, gate=gate, W1=W1, W2=W2: (dout @ W2.T * gate) @ W1.T
        dout, shape = mask * dtotal, f"(N={N}, D={D}, H={H})"
        yield Case(
            f"dx {shape}",
            dx,
            numeric_gradient(loss, x),
            {
                "the residual connection is missing: x stands in `total` itself": through(dout),
                "only the residual connection: x also goes through the block": dtotal,
                "the mask is missing": dtotal + through(dtotal),
                "dropout comes before the residual connection: its mask must not touch x": dout + through(dout),
                "the relu is missing": dtotal + dout @ W2.T @ W1.T,
            },
        )
        without_mask, without_relu = dtotal @ W2.T * gate, dout @ W2.T
        yield Case(
            f"dW1 {shape}",
            dW1,
            numeric_gradient(loss, W1),
            {
                "the mask is missing": x.T @ without_mask,
                "the relu is missing": x.T @ without_relu,
            },
        )
        yield Case(f"db1 {shape}", db1, numeric_gradient(loss, b1), {"the relu is missing": without_relu.sum(0)})
        yield Case(f"dW2 {shape}", dW2, numeric_gradient(loss, W2), {"the mask is missing": hidden.T @ dtotal})
        yield Case(f"db2 {shape}", db2, numeric_gradient(loss, b2), {"the mask is missing": dtotal.sum(0)})
