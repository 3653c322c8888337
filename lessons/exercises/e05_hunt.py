import numpy as np

from atrank_np.layers.perceptron import perceptron_backward, perceptron_forward
from lessons.exercises import Case

TITLE = "bug hunt: two groups, one space"
TASK = """
Behaviours of two groups (0 and 1, of different widths) enter one space; targets of group 0 use the perceptron of group 0 too.
space_backward sorts the rows by group, so that each group is one block, and returns the gradients of both perceptrons.
One line is wrong. Some results are right and others wrong: say which, ask what the wrong ones have that the right ones do not
need, and mend the line.
    dS [N,D]          the derivative of the loss by S, all behaviours in time order
    dh [T,D]          by h, all targets of group 0
    group [N]         the group of each behaviour; groups alternate in time
    u                 two arrays: the embeddings of the behaviours of group 0 and of group 1, each in time order
    q [T,I0]          the embeddings of the targets
    S [N,D], h [T,D]  the outputs of the relus
    returns [dW0, dW1], [db0, db1]
"""
STUB = '''\
import numpy as np


def space_backward(dS, dh, group, u, q, S, h):
    """One of these lines is wrong. Which?"""
    by_group = np.argsort(-group, kind="stable")[::-1]  # the places of group 0 first, then those of group 1
    dz = (dS * (S > 0))[by_group]
    dz = np.split(dz, [len(u[0])])
    dW = [u[0].T @ dz[0], u[1].T @ dz[1]]
    db = [dz[0].sum(0), dz[1].sum(0)]
    dz_target = dh * (h > 0)
    dW[0] = dW[0] + q.T @ dz_target
    db[0] = db[0] + dz_target.sum(0)
    return dW, db
'''
HINTS = (
    "Both db are right, both dW wrong. db is a sum over rows of dz; dW multiplies rows of u with rows of dz. What could be "
    "wrong with dz so that its sum stays right?",
    "Print by_group for group = [0, 1, 0, 1]. It should be 0, 2, 1, 3: the groups one after the other, each in time order.",
)
EXPLAIN = """
Why it is so: the sort is stable, but it is then read backwards, so each group comes out in reversed time order. A sum over
rows does not see the order, so db is right, and so is everything if a group has one behaviour only. In x.T @ dz row n of the
one must meet row n of the other. Gradients of biases are the weakest test there is: check every array.
"""


def check(answer, rng):
    for N, T, widths, D in ((11, 3, (5, 2), 3), (8, 2, (2, 7), 5)):
        group = np.arange(N) % 2
        rng.shuffle(group[2:])
        u = [rng.standard_normal((int((group == g).sum()), widths[g])) for g in (0, 1)]
        W, b = [rng.standard_normal((w, D)) for w in widths], rng.standard_normal((2, D))
        q, dS, dh, S = (rng.standard_normal(shape) for shape in ((T, widths[0]), (N, D), (T, D), (N, D)))
        h, cache = perceptron_forward(q, W[0], b[0])
        _, target_W, target_b = perceptron_backward(dh, cache)
        history, reversed_W = [], []
        for g in (0, 1):
            S[group == g], cache = perceptron_forward(u[g], W[g], b[g])
            history.append(perceptron_backward(dS[group == g], cache)[1:])
            reversed_W.append(u[g].T @ (dS * (S > 0))[group == g][::-1])
        dW, db = answer.space_backward(dS, dh, group, u, q, S, h)
        order = "as it stood: rows of dz meet the wrong rows of u"
        causes = {
            "only the targets' use is there: history and targets add up": target_W,
            "the targets' use is missing": history[0][0],
            order: reversed_W[0] + target_W,
        }
        yield Case("dW of group 0", dW[0], history[0][0] + target_W, causes)
        yield Case("db of group 0", db[0], history[0][1] + target_b)
        yield Case("dW of group 1", dW[1], history[1][0], {order: reversed_W[1]})
        yield Case("db of group 1", db[1], history[1][1])
