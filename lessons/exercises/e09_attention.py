import numpy as np

from atrank_np.gradcheck import numeric_gradient
from atrank_np.layers.attention import softmax_forward
from lessons.exercises import Case

TITLE = "self-attention in one space: the whole backward pass"
TASK = """
Write self_attention_backward(dc, S, s, key, v, a, P_W, W, Q_W) (about 10 lines) for
    s = relu(S P_W + P_b)    key = S Wᵀ    v = relu(S Q_W + Q_b)    a = softmax(s keyᵀ)    c = a v
    S [n,D]; s, key, v, c, dc [n,d]; a [n,n]; P_W, Q_W [D,d]; W [d,D]; all of them as the forward pass left them
    returns dS [n,D], dP_W [D,d], dW [d,D], dQ_W [D,d]        (the biases are left out: you know them)
Go from c back to S, one line of the forward pass at a time.
"""
STUB = """\
def self_attention_backward(dc, S, s, key, v, a, P_W, W, Q_W):  # -> [n,D], [D,d], [d,D], [D,d]
    # YOUR CODE (about 10 lines)
    ...
"""
HINTS = (
    "In this order: da and dv from dc; the scores' gradient dx from da (lesson 07); ds and dkey from dx; then through the two "
    "relus; then the three matrices; dS last. How many times does S stand in the formulas above?",
    "For Y = A B: dA = dY Bᵀ and dB = Aᵀ dY, three times. A relu lets through where its output is positive. S stands there as "
    "query, as key and as value: dS is the sum of three products, one with P_W, one with W, one with Q_W.",
)
EXPLAIN = """
Why it is so: nothing here is special to attention. Products, a softmax, two relus, and a sum over the uses of S. What makes
attention look hard is only that S is used three times: as the one who asks, as the label by which it is found, and as
what it has to give. What you wrote is what the package does, once for all spaces side by side.
"""


def check(answer, rng):
    for n, D, d in ((5, 7, 3), (1, 5, 2), (7, 3, 2)):
        S, r = rng.standard_normal((n, D)), rng.standard_normal((n, d))
        P_W, Q_W, W = *rng.standard_normal((2, D, d)), 0.5 * rng.standard_normal((d, D))
        P_b, Q_b = 0.5 + rng.standard_normal((2, d))

        def forward(S, P_W, W, Q_W, P_b=P_b, Q_b=Q_b):
            s, key, v = np.maximum(S @ P_W + P_b, 0), S @ W.T, np.maximum(S @ Q_W + Q_b, 0)
            return s, key, v, softmax_forward(s @ key.T)[0]

        def loss(_, own=(S, P_W, W, Q_W), r=r, forward=forward):
            _, _, v, a = forward(*own)
            return (r * (a @ v)).sum()

        s, key, v, a = forward(S, P_W, W, Q_W)
        yours = answer.self_attention_backward(r, S, s, key, v, a, P_W, W, Q_W)
        dS, dP_W, dW, dQ_W = yours
        right = [numeric_gradient(loss, array) for array in (S, P_W, W, Q_W)]
        da = r @ v.T
        dx, plain, down = a * (da - (a * da).sum(1, keepdims=True)), a * da, a * (da - (a * da).sum(0))
        as_query, as_key, as_value = dx @ key * (s > 0) @ P_W.T, dx.T @ s @ W, a.T @ r * (v > 0) @ Q_W.T
        shape = f"(n={n}, D={D}, d={d})"
        yield Case(
            f"dP_W {shape}",
            dP_W,
            right[1],
            {
                "the softmax lacks its second term": S.T @ (plain @ key * (s > 0)),
                "the softmax's mean must run along a row (over the keys), not down": S.T @ (down @ key * (s > 0)),
                "the relu of s is forgotten": S.T @ (dx @ key),
            },
        )
        yield Case(
            f"dW {shape}",
            dW,
            right[2],
            {
                "the softmax lacks its second term": s.T @ plain @ S,
                "dkey needs dx transposed: key j was met by all queries": (dx @ s).T @ S,
            },
        )
        yield Case(
            f"dQ_W {shape}",
            dQ_W,
            right[3],
            {
                "the relu of v is forgotten": S.T @ (a.T @ r),
                "dv needs a transposed: value j went to all who looked at j": S.T @ (a @ r * (v > 0)),
            },
        )
        yield Case(
            f"dS {shape}",
            dS,
            right[0],
            {
                "only as query: S is also key and value": as_query,
                "only as key": as_key,
                "only as value": as_value,
                "the road as query is missing": as_key + as_value,
                "the road as key is missing": as_query + as_value,
                "the road as value is missing": as_query + as_key,
            },
        )
