from atrank_np.gradcheck import numeric_gradient
from atrank_np.layers.attention import softmax_forward
from lessons.exercises import Case

TITLE = "softmax: the backward pass"
TASK = """
Write softmax_backward(da, a) (about 2 lines), from memory: the lesson closed, a pencil at hand.
    a   [rows,n]  the output of the forward pass: every row is a softmax
    da  [rows,n]  the derivative of the loss by a
    returns dx [rows,n], the derivative of the loss by the scores x
Do not form any n × n matrix (though no check can see it): two products and one sum along a row are enough.
"""
STUB = """\
def softmax_backward(da, a):  # [rows,n], [rows,n] -> [rows,n]
    # YOUR CODE (about 2 lines)
    ...
"""
HINTS = (
    "Every score moves every weight of its row, through the sum in the denominator. So dx_j = Σ_i da_i ∂a_i/∂x_j: write the "
    "derivative ∂a_i/∂x_j once for i = j and once for i ≠ j, and look for a sum that is the same for all j.",
    "The sum that all j share is the number <a, da> of the row: one number a row, so sum over the last axis with keepdims. "
    "Each dx_j is a_j times the difference of da_j and that number.",
)
EXPLAIN = """
Why it is so: raising one score multiplies its e^x, and through the denominator takes something away from everybody. The
weights of a row sum to 1 whatever the scores, so the gradients of its scores sum to 0: weight can only be moved around. <a,
da> is the mean of da under the weights; the gradient of a score is positive exactly if its da is above that mean.
"""


def check(answer, rng):
    for n, m in ((1, 3), (5, 7), (11, 2)):
        x, r = rng.standard_normal((n, m)), rng.standard_normal((n, m))
        a, _ = softmax_forward(x)
        expected = numeric_gradient(lambda x, r=r: (r * softmax_forward(x)[0]).sum(), x)
        yours = answer.softmax_backward(r, a)
        inner = (a * r).sum(1, keepdims=True)
        causes = {
            "the second term is missing: the denominator holds every score of the row": a * r,
            "the sum lacks the weights: it is Σ a da, not Σ da": a * (r - r.sum(1, keepdims=True)),
            "the mean is not weighted: it is Σ a da, not the plain mean of da": a * (r - r.mean(1, keepdims=True)),
            "the factor a stands before both terms: a (da - Σ a da), not a da - Σ a da": a * r - inner,
            "the outer factor a is missing": r - inner,
            "the sign is flipped": a * (inner - r),
        }
        if n > 1:  # in a single row, the diagonal and a sum down the columns give the same numbers
            causes |= {
                "only the diagonal of the Jacobian, a (1 - a): each score also moves the other weights": a * (1 - a) * r,
                "the sum must be taken row by row (over the last axis), not over the whole array": a * (r - (a * r).sum()),
                "the sum runs down the columns: a softmax is along a row": a * (r - (a * r).sum(0)),
            }
        yield Case(f"dx [{n},{m}]", yours, expected, causes)
