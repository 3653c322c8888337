def lazy_step(v, s, ids, g, rate, l2):  # [V,E], number, [R], [R,E], number, number -> [V,E], number
    s = (1 - rate * l2) * s
    v = v.copy()
    v[ids] -= rate / s * g
    return v, s


WRONG = [
    ("rate / s * g", "rate * g", "not divided by the scale"),
    (
        "    s = (1 - rate * l2) * s\n    v = v.copy()\n    v[ids] -= rate / s * g\n",
        "    v = v.copy()\n    v[ids] -= rate / s * g\n    s = (1 - rate * l2) * s\n",
        "divided by the old scale",
    ),
    ("    s = (1 - rate * l2) * s\n", "", "no decay"),
    ("v[ids] -= rate / s * g", "v[ids] = (1 - rate * l2) * v[ids] - rate / s * g", "decayed twice"),
    ("s = (1 - rate * l2) * s", "s = s - rate * l2", "subtracted"),
    ("    v = v.copy()\n", "", "writes into its input"),
    ("    s = (1 - rate * l2) * s\n    v = v.copy()\n", "    v = v * (1 - rate * l2)\n", "the dense way"),
]
