import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TRANSFER = True
TITLE = "differential attention: two query rows for each target"
TASK = """
Each target t asks with two query rows, s_t and r_t. Both look at the same keys; the second weights are subtracted, λ times:
    a = softmax(s keyᵀ)     b = softmax(r keyᵀ)     c = (a − λ b) v        in each history
Write differential_backward(dc, s, r, key, v, lam, target_offsets, offsets) (about 20 lines), one space, rows packed:
    history i has the targets target_offsets[i]:target_offsets[i+1] (rows of s, r and dc, [T,d])
    and the behaviours offsets[i]:offsets[i+1] (rows of key and v, [N,d]); lam is the number λ
    returns ds [T,d], dr [T,d], dkey [N,d], dv [N,d], dλ (a number)
The weights are not given: make them again, history by history. Some histories have no behaviour: their c was 0, whatever s and r.
You may use softmax_forward(x) -> a, cache and softmax_backward(da, cache) of the package.
"""
STUB = """\
import numpy as np

from atrank_np.layers.attention import softmax_backward, softmax_forward


def differential_backward(dc, s, r, key, v, lam, target_offsets, offsets):  # -> [T,d], [T,d], [N,d], [N,d], number
    # YOUR CODE (about 20 lines)
    ...
"""
HINTS = (
    "Call the weights that are used w = a − λ b. From c = w v you get dw and dv. Then da, db and dλ from w: λ stands in every "
    "entry of w. Which arrays does a target own, and which do s and r share?",
    "dw = dc vᵀ, dv = wᵀ dc; da = dw, db = −λ dw, dλ = −Σ dw ∘ b over all targets and behaviours. softmax_backward twice, with "
    "the two weights; dkey is the sum of two products. dλ is a sum over the histories; an empty one adds nothing: `continue`.",
)
EXPLAIN = """
Why it is so: keys are used by every target and by both of its queries, so dkey is a sum over the targets and over the two.
λ is used everywhere, so dλ is one sum over everything. Nothing else had to be learned: ask who uses it, and add up. The
Differential Transformer (2024) works like this: what both queries look at alike cancels.
"""


def weights(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def loss_of(s, r, key, v, lam, dc, target_offsets, offsets):
    total = 0.0
    for i in range(len(offsets) - 1):
        k, values = key[offsets[i] : offsets[i + 1]], v[offsets[i] : offsets[i + 1]]
        for t in range(target_offsets[i], target_offsets[i + 1]) if len(k) else ():
            total += dc[t] @ ((weights(k @ s[t]) - lam[0] * weights(k @ r[t])) @ values)
    return total


def wrong_ones(s, r, key, v, lam, dc):
    """Of one history: by its place in the answer, what typical mistakes give."""
    a, b = (np.array([weights(key @ row) for row in rows]) for rows in (s, r))
    dw = dc @ v.T
    dx = a * (dw - (a * dw).sum(1, keepdims=True))
    dy = b * (dw - (b * dw).sum(1, keepdims=True))
    dkey, dv = dx.T @ s - lam[0] * dy.T @ r, (a - lam[0] * b).T @ dc
    return (
        {"the softmax lacks its second term": a * dw @ key},
        {"b stands in c with the factor −λ: so does its gradient": dy @ key, "the sign: b is subtracted": lam[0] * dy @ key},
        {
            "r looks at the keys too: its share is missing": dx.T @ s,
            "s looks at the keys too: its share is missing": -lam[0] * dy.T @ r,
            "dkey and dv are swapped": dv,
        },
        {
            "v is weighted with a − λ b, not with a": a.T @ dc,
            "the sign: b is subtracted": (a + lam[0] * b).T @ dc,
            "dkey and dv are swapped": dkey,
        },
        {"the sign: b is subtracted": (dw * b).sum(), "a mean for the sum: λ stands in every entry": -(dw * b).mean()},
    )


def check(answer, rng):
    for lengths, targets, d in (([3, 0, 5, 1], [2, 3, 1, 4], 2), ([7], [5], 3), ([4, 4], [4, 4], 5)):
        offsets, target_offsets = np.append(0, np.cumsum(lengths)), np.append(0, np.cumsum(targets))
        s, r, dc = rng.standard_normal((3, target_offsets[-1], d))
        key, v = rng.standard_normal((2, offsets[-1], d))
        lam = rng.uniform(0.3, 0.9, 1)
        own = s, r, key, v, lam
        yours = answer.differential_backward(dc, s, r, key, v, float(lam[0]), target_offsets, offsets)
        came = len(yours) if isinstance(yours, tuple) else 1
        if came != 5:
            yield Case("five results: ds, dr, dkey, dv, dλ. How many came back", came, 5)
            return

        def loss(_, rest=(dc, target_offsets, offsets), own=own):
            return loss_of(*own, *rest)

        if len(lengths) == 1:
            causes = wrong_ones(*own, dc)
        else:
            rest = dc, target_offsets[-2:], offsets[-2:]  # of the last history
            last = numeric_gradient(lambda _, rest=rest, own=own: loss_of(*own, *rest), lam)[0]
            causes = *({},) * 4, {"only the last history's share is left: `=` in place of `+=`": last}
        shape = f"(behaviours {lengths}, targets {targets})"
        for name, mine, array, likely in zip(["ds", "dr", "dkey", "dv"], yours, own, causes):
            yield Case(f"{name} {shape}", mine, numeric_gradient(loss, array), likely)
        yield Case(f"dλ {shape}", yours[4], numeric_gradient(loss, lam)[0], causes[4])
