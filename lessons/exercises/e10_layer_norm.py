from atrank_np.gradcheck import numeric_gradient
from atrank_np.layers.feedforward import layer_norm_forward
from lessons.exercises import Case

TITLE = "layer norm: the backward pass with its three roads"
TASK = """
Write layer_norm_backward(dy, normed, rstd, gain) (about 5 lines) for y = normed · gain + bias,
normed = (x − mean) · rstd, rstd = 1 / sqrt(variance + ε), row by row.
    dy, normed [N,D]; rstd [N,1]; gain [D]
    returns dx [N,D], dgain [D], dbias [D]
"""
STUB = """\
def layer_norm_backward(dy, normed, rstd, gain):  # [N,D], [N,D], [N,1], [D] -> [N,D], [D], [D]
    # YOUR CODE (about 5 lines)
    ...
"""
HINTS = (
    "First dnormed = dy · gain. Shifting a row of x changes nothing, and stretching it (nearly) nothing: which two parts of "
    "dnormed can therefore not reach x?",
    "Take from dnormed its mean over the row, and normed times the mean of dnormed ∘ normed over the row; then times rstd. "
    "dgain and dbias sum over the rows, for every row used the same gain and bias.",
)
EXPLAIN = """
Why it is so: x reaches its normalised value by three roads: as itself, through the mean and through the deviation. The two
subtracted terms are what the mean and the deviation undo. With an upstream of ones and a gain of 1 the third is zero, so
a check with ones cannot see whether you have it.
"""


def check(answer, rng):
    for N, D in ((5, 7), (1, 3), (3, 11)):
        x, r = 3 + 2 * rng.standard_normal((N, D)), rng.standard_normal((N, D))
        gain, bias = 1 + 0.5 * rng.standard_normal(D), rng.standard_normal(D)

        def loss(_, x=x, gain=gain, bias=bias, r=r):
            return (r * layer_norm_forward(x, gain, bias)[0]).sum()

        _, (normed, rstd, _) = layer_norm_forward(x, gain, bias)
        dx, dgain, dbias = answer.layer_norm_backward(r, normed, rstd, gain)
        own = r * gain
        mean = own.mean(1, keepdims=True)
        deviation = normed * (own * normed).mean(1, keepdims=True)
        flat = r - r.mean(1, keepdims=True) - normed * (r * normed).mean(1, keepdims=True)
        yield Case(
            f"dx [{N},{D}]",
            dx,
            numeric_gradient(loss, x),
            {
                "the third road, through the deviation, is missing": (own - mean) * rstd,
                "the road through the mean is missing": (own - deviation) * rstd,
                "mean and deviation are not constants: two roads are missing": own * rstd,
                "the gain is forgotten: dnormed = dy · gain": flat * rstd,
                "the factor 1/deviation is forgotten": own - mean - deviation,
                "a sum in place of the mean": (own - D * mean - D * deviation) * rstd,
            },
        )
        yield Case(
            f"dgain [{D}]",
            dgain,
            numeric_gradient(loss, gain),
            {
                "gain is multiplied by normed, so its gradient needs it": r.sum(0),
                "a mean in place of the sum over the rows": (r * normed).mean(0),
            },
        )
        yield Case(
            f"dbias [{D}]",
            dbias,
            numeric_gradient(loss, bias),
            {
                "a mean in place of the sum over the rows": r.mean(0),
                "the gain has nothing to do with the bias": own.sum(0),
            },
        )
