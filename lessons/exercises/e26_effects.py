import numpy as np

from atrank_np.layers.attention import softmax_forward
from lessons.exercises import Case

TITLE = "what each behaviour does: leave it out of an attention"
TASK = """
Write effects(x, v, dc) (about 3 lines).
    x   [n]    the scores of one query, n >= 2      v  [n,d]  the values      dc  [d]  how the logit moves with c
    with a = softmax(x) and c = Σ_j a_j v_j the logit is dc · c
    returns [n]: by how much the logit falls when behaviour i, and nothing else, is left out
No loop over the behaviours: the formula of the lesson, or the gradient of the scores.
"""
STUB = """\
from atrank_np.layers.attention import softmax_backward, softmax_forward


def effects(x, v, dc):  # [n], [n,d], [d] -> [n]
    # YOUR CODE (about 3 lines)
    ...
"""
HINTS = (
    "Only the numbers y_j = dc · v_j matter, v @ dc. Without i the logit is (Σ_j a_j y_j - a_i y_i) / (1 - a_i): the others "
    "share out what i had.",
    "The difference of the two is a_i (y_i - a · y) / (1 - a_i), and its numerator is softmax_backward(y, a). softmax_forward "
    "returns two things, the weights first.",
)
EXPLAIN = """
Why it is so: a weight says how much of a value is taken; what that does depends on how the value differs from what is there
anyway. The gradient of a score says so to first order: it is the better explanation of the two, and a backward pass has it for
nothing. With two attentions on each other, ranking again without the behaviour is what is left: `explain` does it.
"""


def check(answer, rng):
    for n, d in ((2, 3), (5, 4), (11, 1)):
        x, v, dc = 2 * rng.standard_normal(n), rng.standard_normal((n, d)), rng.standard_normal(d)
        logit = lambda kept, x=x, v=v, dc=dc: softmax_forward(x[kept])[0] @ v[kept] @ dc
        expected = np.array([logit(np.arange(n)) - logit(np.delete(np.arange(n), i)) for i in range(n)])
        a, y = softmax_forward(x)[0], v @ dc
        yours = answer.effects(x, v, dc)
        yield Case(
            f"effects ({n} behaviours)",
            yours,
            expected,
            {
                "the weights of the others must sum to 1 again: divide by 1 - a_i": a * (y - a @ y),
                "the others take its place: what is lost is its difference to what there is, y_i - a · y": a * y,
                "the others have a mean too, a · y: take it away from y_i": a / (1 - a) * y,
                "the sign is flipped: a behaviour that helps has a positive effect": -expected,
                "the mean is that under the weights, a · y": a / (1 - a) * (y - y.mean()),
            },
        )
