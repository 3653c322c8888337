import numpy as np


def max_backward(dy, z, offsets):  # [B,F], [P,F], [B+1] -> [P,F]
    dz, maps = np.zeros_like(z), np.arange(z.shape[1])
    for b in range(len(dy)):
        here = z[offsets[b] : offsets[b + 1]]
        if len(here):
            dz[offsets[b] + here.argmax(0), maps] = dy[b]
    return dz


WRONG = [
    (
        "dz[offsets[b] + here.argmax(0), maps] = dy[b]",
        "dz[offsets[b] : offsets[b + 1]] = dy[b] * (here == here.max(0))",
        "all equal maxima",
    ),
    ("dz[offsets[b] + here.argmax(0), maps] = dy[b]", "dz[offsets[b] : offsets[b + 1]] = dy[b]", "everywhere"),
    ("offsets[b] + here.argmax(0)", "here.argmax(0)", "places of the first history"),
    ("here.argmax(0)", "len(here) - 1 - here[::-1].argmax(0)", "the last of equal maxima"),
    ("        if len(here):\n            dz[", "        if True:\n            dz[", "no care for empty histories"),
    ("here.argmax(0), maps]", "here.argmax(0)]", "the whole row of each place"),
]
