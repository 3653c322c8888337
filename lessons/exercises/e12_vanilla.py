import numpy as np

from atrank_np.layers.attention import attend_backward, attend_forward, softmax_forward
from lessons.exercises import Case

TITLE = "vanilla attention: many histories, each with its own targets"
TASK = """
Write attend_backward(dc, s, key, v, target_offsets, offsets) (about 12 lines), one space, rows packed:
    history b has the targets target_offsets[b]:target_offsets[b+1] (rows of s and dc, [T,d])
    and the behaviours offsets[b]:offsets[b+1] (rows of key and v, [N,d]); in it c = softmax(s keyᵀ) v
    returns ds [T,d], dkey [N,d], dv [N,d]
The weights are not given: make them again, history by history. Some histories have no behaviour: their c was 0, whatever s.
You may use softmax_forward(x) -> a, cache and softmax_backward(da, cache) of the package.
"""
STUB = """\
import numpy as np

from atrank_np.layers.attention import softmax_backward, softmax_forward


def attend_backward(dc, s, key, v, target_offsets, offsets):  # -> [T,d], [N,d], [N,d]
    # YOUR CODE (about 12 lines)
    ...
"""
HINTS = (
    "Three arrays of zeros, then a loop over b in range(len(offsets) - 1). Two slices: rows of targets, rows of behaviours. "
    "With those rows it is the backward pass of lesson 09.",
    "If the slice of behaviours is empty, `continue`: the zeros are right. Else a from the rows, da = dc vᵀ, dv = aᵀ dc, dx by "
    "softmax_backward, ds = dx key, dkey = dxᵀ s, each written into its rows.",
)
EXPLAIN = """
Why it is so: histories never meet, so the backward pass is a loop over them, and no mask is needed anywhere. The products
with aᵀ and dxᵀ sum over the targets of a history: that is why encoding a history once for all its targets is not only
cheaper but gives the very same gradient.
"""


def check(answer, rng):
    for lengths, targets, d in (([3, 0, 5, 1], [2, 3, 1, 4], 2), ([7], [5], 3), ([4, 4], [4, 4], 5)):
        offsets, target_offsets = np.append(0, np.cumsum(lengths)), np.append(0, np.cumsum(targets))
        s, dc = rng.standard_normal((2, target_offsets[-1], d))
        key, v = rng.standard_normal((2, offsets[-1], d))
        _, cache = attend_forward(s, key, v, target_offsets, offsets, 1)
        expected = attend_backward(dc, cache)
        yours = answer.attend_backward(dc, s, key, v, target_offsets, offsets)
        mixed, _ = softmax_forward(s @ key.T)
        _, dkey, dv = expected
        causes = [{}, {"dkey and dv are swapped": dv}, {"dkey and dv are swapped": dkey}]
        causes[2]["all histories mixed: a target sees the behaviours of its own history only"] = mixed.T @ dc
        shape = f"(behaviours {lengths}, targets {targets})"
        for name, mine, right, likely in zip(["ds", "dkey", "dv"], yours, expected, causes, strict=True):
            yield Case(f"{name} {shape}", mine, right, likely)
