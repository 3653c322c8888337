import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TRANSFER = True
TITLE = "another attention: relu keys, a mask, an output matrix, a residual connection"
TASK = """
Write backward(dy, S, allowed, P, R, Q, O, s, key, v, a, c) (about 15 lines) for this attention, which is not the lesson's:
    s = S P        key = relu(S R)        v = S Q        x = s keyᵀ
    a: softmax of each row i of x, taken only over those j for which allowed[i, j] is True; its other weights are 0.
       In a row with nothing allowed all weights are 0
    c = a v        y = S + c O
    S, dy [n,D]; allowed [n,n]; s, key, v, c [n,d]; a [n,n]; P, R, Q [D,d]; O [d,D]
    dy is the derivative of the loss by y. All other arrays are as the forward pass left them
    returns dS [n,D], dP, dR, dQ [D,d], dO [d,D]
Derive it on paper first: for every name, which lines use it?
"""
STUB = """\
import numpy as np


def backward(dy, S, allowed, P, R, Q, O, s, key, v, a, c):  # -> [n,D], [D,d], [D,d], [D,d], [d,D]
    # YOUR CODE (about 15 lines)
    ...
"""
HINTS = (
    "The lines from the last to the first: y gives dc, dO and a first summand of dS; c gives da and dv; the softmax dx; x gives "
    "ds and dkey; then the relu of key, and three products with S. The lesson's forward lines have their relus elsewhere: mark "
    "where yours stands. Does any line need the mask? What does rule 2 say for a_j = 0?",
    "y = S + c O: dc = dy Oᵀ and dO = cᵀ dy. The rest down to ds, dkey and dv is as in the lesson: where a is 0, "
    "a ∘ (da − ⟨a, da⟩) is 0 by itself. S has four uses: in y, and in the lines of s, key and v, with P, R (behind the relu) "
    "and Q.",
)
EXPLAIN = """
Why it is so: each line keeps its rule, whatever stands around it. The residual connection is one summand more, `dy`. The mask
needs no line at all: a softmax over some of the j has the same derivative among those j, and a weight that is always 0 passes
nothing on. So `allowed` is not needed to go back. This is how padding and causal masks work in other libraries.
"""


def forward(S, allowed, P, R, Q, O):
    s, key, v = S @ P, np.maximum(S @ R, 0), S @ Q
    a = np.zeros(allowed.shape)
    for i, row in enumerate(allowed):
        if row.any():
            e = np.exp((s[i] * key[row]).sum(1))
            a[i, row] = e / e.sum()
    c = a @ v
    return s, key, v, a, c, S + c @ O


def uses(dy, S, allowed, P, R, Q, O, s, key, v, a, c, dx=None, gate=None):
    """dS in its four parts, then dP, dR, dQ, dO; dx and gate to put in wrong ones."""
    dc = dy @ O.T
    dx = a * (dc @ v.T - (dc * c).sum(1, keepdims=True)) if dx is None else dx
    gate = key > 0 if gate is None else gate
    ds, dzkey, dv = dx @ key, dx.T @ s * gate, a.T @ dc
    return dy, ds @ P.T, dzkey @ R.T, dv @ Q.T, S.T @ ds, S.T @ dzkey, S.T @ dv, c.T @ dy


def draw(rng, n, D, d):
    while True:  # away from the kink of the relu
        S = rng.standard_normal((n, D))
        P, R, Q = rng.standard_normal((3, D, d))
        if np.abs(S @ R).min() > 1e-3:
            break
    allowed = rng.random((n, n)) < 0.6
    allowed[0] = False  # looks at nothing
    allowed[1] = True
    return S, allowed, 0.5 * P, 0.5 * R, Q, rng.standard_normal((d, D))


def check(answer, rng):
    for n, D, d in ((5, 7, 3), (7, 5, 2), (4, 11, 5)):
        own = draw(rng, n, D, d)
        S, allowed, P, R, Q, O = own
        *arrays, y = forward(*own)
        s, key, v, a, c = arrays
        dy = rng.standard_normal(y.shape)
        yours = answer.backward(dy, *own, *arrays)
        came = len(yours) if isinstance(yours, tuple) else 1
        if came != 5:
            yield Case("five arrays: dS, dP, dR, dQ, dO. How many came back", came, 5)
            return

        def loss(_, own=own, dy=dy):
            return (dy * forward(*own)[-1]).sum()

        given = dy, *own, *arrays
        da = dy @ O.T @ v.T
        plain, down = a * da, a * (da - (a * da).sum(0))
        residual, query, as_key, value, *_ = uses(*given)
        causes = {
            "the residual connection is missing: y holds S itself": query + as_key + value,
            "S as query is missing": residual + as_key + value,
            "S as key is missing": residual + query + value,
            "S as value is missing": residual + query + as_key,
            "only the residual connection": residual,
        }
        shape = f"(n={n}, D={D}, d={d})"
        yield Case(f"dS {shape}", yours[0], numeric_gradient(loss, S), causes)
        causes = {  # named by dP alone, and the relu by dR alone: so each is told even if there is another slip further on
            "the softmax lacks its second term": uses(*given, dx=plain)[4],
            "the softmax's mean must run along a row (over the keys), not down": uses(*given, dx=down)[4],
        }
        yield Case(f"dP {shape}", yours[1], numeric_gradient(loss, P), causes)
        dx = a * (da - (a * da).sum(1, keepdims=True))
        causes = {
            "the relu of the keys is forgotten": uses(*given, gate=1)[5],
            "dkey needs dx transposed: key j meets all queries": S.T @ (dx @ s * (key > 0)),
        }
        yield Case(f"dR {shape}", yours[2], numeric_gradient(loss, R), causes)
        causes = {"dv needs a transposed: value j goes to all queries": S.T @ (a @ dy @ O.T)}
        yield Case(f"dQ {shape}", yours[3], numeric_gradient(loss, Q), causes)
        causes = {"the values are weighted before O: dO needs c, not v": v.T @ dy}
        yield Case(f"dO {shape}", yours[4], numeric_gradient(loss, O), causes)
