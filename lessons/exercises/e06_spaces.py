import numpy as np

from atrank_np.gradcheck import numeric_gradient
from atrank_np.layers.attention import split_spaces
from lessons.exercises import Case

TITLE = "latent spaces: the backward pass of all K at once"
TASK = """
Write spaces_grad(dS_k, S_k, S, P) (about 4 lines), without a loop over the spaces (though no check can see it). The forward
pass of (2) was one product,
z = S P + b [n,D], whose columns k·d … (k+1)·d - 1 are space k; S_k [K,n,d] holds the spaces of relu(z).
    dS_k [K,n,d]  the derivative of the loss by S_k
    S_k  [K,n,d]  the output of the forward pass
    S    [n,D], P [D,D]
    returns dS [n,D], dP [D,D], db [D]
"""
STUB = """\
import numpy as np


def spaces_grad(dS_k, S_k, S, P):  # [K,n,d], [K,n,d], [n,D], [D,D] -> [n,D], [D,D], [D]
    # YOUR CODE (about 4 lines)
    ...
"""
HINTS = (
    "Bring the gated upstream into the layout of z, [n,D], each behaviour's spaces side by side. Then it is the perceptron "
    "of lesson 05.",
    "From [K,n,d] the axis of the behaviours must come first, then that of the spaces, then d; only then may the last two "
    "be reshaped into one of length D. The sum over spaces happens inside the product with the transposed P.",
)
EXPLAIN = """
Why it is so: side by side, the K small matrices are one large one, and so are their gradients. S is read by all spaces, so
their roads back add up; the inner index of dz Pᵀ runs over all K·d columns, and that is this sum.
"""


def check(answer, rng):
    for n, K, d in ((5, 3, 2), (7, 2, 3), (1, 1, 5), (3, 3, 3)):
        D = K * d
        S, P, b, r = (rng.standard_normal(shape) for shape in ((n, D), (D, D), D, (K, n, d)))
        S_k = np.maximum(split_spaces(S @ P + b, K), 0)

        # The oracle reads S, P and b while one of them is moved. It holds the relu's sides fixed: no number is near a kink.
        def f(_, S=S, P=P, b=b, r=r, K=K, on=S_k > 0):
            return (r * on * split_spaces(S @ P + b, K)).sum()

        expected = [numeric_gradient(f, array) for array in (S, P, b)]
        causes = [{}, {}, {}]
        for words, dz in {
            "reshape alone scrambles: put the axis of the behaviours first": (r * (S_k > 0)).reshape(n, D),
            "d and K are swapped: a space's columns stand next to each other": (r * (S_k > 0)).transpose(1, 2, 0).reshape(n, D),
            "the gate of the relu is missing": r.transpose(1, 0, 2).reshape(n, D),
        }.items():
            for i, value in enumerate((dz @ P.T, S.T @ dz, dz.sum(0))):
                causes[i][words] = value
        dS, dP, db = answer.spaces_grad(r, S_k, S, P)
        for name, yours, right, why in zip(("dS", "dP", "db"), (dS, dP, db), expected, causes, strict=True):
            yield Case(f"{name}, {n} behaviours, K = {K}, d = {d}", yours, right, why)
