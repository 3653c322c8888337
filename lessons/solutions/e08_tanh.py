import numpy as np


def tanh_scores(s, key, w):  # [T,d], [n,d], [d] -> [T,n]
    return np.tanh(s[:, None] + key) @ w


def tanh_scores_backward(dscores, s, key, w):  # [T,n], [T,d], [n,d], [d] -> [T,d], [n,d], [d]
    t = np.tanh(s[:, None] + key)
    dt = dscores[:, :, None] * w
    dz = dt * (1 - t**2)
    dw = (dscores[:, :, None] * t).sum((0, 1))
    return dz.sum(1), dz.sum(0), dw


WRONG = [
    ("np.tanh(s[:, None] + key) @ w", "(np.tanh(s)[:, None] + np.tanh(key)) @ w", "tanh of each"),
    ("dt * (1 - t**2)", "dt", "no slope"),
    ("dt * (1 - t**2)", "dt * (1 - t)", "another slope"),
    ("dt * (1 - t**2)", "dt * t", "the tanh in place of its slope"),
    ("dscores[:, :, None] * w", "dscores[:, :, None] * np.ones_like(w)", "without w"),
    ("dz.sum(1), dz.sum(0)", "dz.mean(1), dz.mean(0)", "means"),
    ("dz.sum(1), dz.sum(0), dw", "dz.sum(1), dw", "dkey is missing"),
    ("(dscores[:, :, None] * t)", "(dscores[:, :, None] * t * w)", "w in its own gradient"),
]
