import numpy as np


def clipped(gradients, limit):  # dict, number -> dict
    norm = np.sqrt(sum((g * g).sum() for g in gradients.values()))
    factor = min(1, limit / norm)
    return {name: factor * g for name, g in gradients.items()}


WRONG = [
    ("min(1, limit / norm)", "limit / norm", "small gradients made large"),
    ("np.sqrt(sum((g * g).sum() for g in gradients.values()))", "sum((g * g).sum() for g in gradients.values())", "no root"),
    ("sum((g * g).sum() for g", "max((g * g).sum() for g", "the largest array only"),
    ("factor * g for", "g * min(1, limit / np.linalg.norm(g)) for", "array by array"),
    (
        "factor = min(1, limit / norm)",
        "factor = limit / norm if max(np.linalg.norm(g) for g in gradients.values()) > limit else 1",
        "one array must be too large",
    ),
    ("factor * g for", "np.clip(g, -limit, limit) for", "entry by entry"),
    (
        "return {name: factor * g for name, g in gradients.items()}",
        "for g in gradients.values():\n        g *= factor\n    return gradients",
        "changes what it was given",
    ),
]
