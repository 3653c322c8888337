import numpy as np


def space_backward(dS, dh, group, u, q, S, h):
    by_group = np.argsort(group, kind="stable")  # each group's places in time order
    dz = (dS * (S > 0))[by_group]
    dz = np.split(dz, [len(u[0])])
    dW = [u[0].T @ dz[0], u[1].T @ dz[1]]
    db = [dz[0].sum(0), dz[1].sum(0)]
    dz_target = dh * (h > 0)
    dW[0] = dW[0] + q.T @ dz_target
    db[0] = db[0] + dz_target.sum(0)
    return dW, db


WRONG = [
    ('np.argsort(group, kind="stable")', 'np.argsort(-group, kind="stable")[::-1]', "the planted fault"),
    ('np.argsort(group, kind="stable")', "np.arange(len(group))", "not sorted"),
    ('np.argsort(group, kind="stable")', 'np.argsort(-group, kind="stable")', "group 1 first"),
    ("dW[0] + q.T @ dz_target", "q.T @ dz_target", "the history's use overwritten"),
    ("dW[0] + q.T", "dW[0] - q.T", "sign"),
    ("dz_target = dh * (h > 0)", "dz_target = dh", "no gate for the targets"),
    ("    db[0] = db[0] + dz_target.sum(0)\n", "", "the targets' use of the bias"),
]
