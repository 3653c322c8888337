import numpy as np

from atrank_np.layers.perceptron import perceptron_backward, perceptron_forward
from lessons.exercises import Case

TITLE = "bug hunt: two groups, one space"
TASK = """
Behaviours of two groups (0 and 1, of different widths) enter one space; a target of group 0 uses the perceptron of group 0
as well.
space_backward returns the gradients of both perceptrons. Two of its lines are wrong: find and mend them.
    dS [N,D]          the derivative of the loss by S, all behaviours in time order
    dh [T,D]          by h, all targets of group 0
    group [N]         the group of each behaviour
    u                 two arrays: the embeddings of the behaviours of group 0 and of group 1
    q [T,I0]          the embeddings of the targets
    S [N,D], h [T,D]  the outputs of the relus
    returns [dW0, dW1], [db0, db1]
Check with atrank_np.gradcheck: draw the inputs at random, let the groups alternate in time, and let dS be random.
"""
STUB = '''\
import numpy as np


def space_backward(dS, dh, group, u, q, S, h):
    """Two of these lines are wrong. Which?"""
    dW, db, start = [], [], 0
    for g in (0, 1):
        rows = np.arange(start, start + len(u[g]))
        start += len(u[g])
        dz = dS[rows] * (S[rows] > 0)
        dW.append(u[g].T @ dz)
        db.append(dz.sum(0))
    dz = dh * (h > 0)
    dW[0] = q.T @ dz
    db[0] = db[0] + dz.sum(0)
    return dW, db
'''
HINTS = (
    "Where in S are the behaviours of group 1, if the groups alternate in time? And look at the two last lines that "
    "treat W and b: why are they different?",
    "The rows of a group are where `group` says so. The weight matrix of group 0 has two uses, by history and targets.",
)
EXPLAIN = """
Why it is so: (1) writes "concat over groups", but the behaviours stand in time order, for time order decides what
belongs to which history. So each group reads and writes its own places. A log in which every user acts on one group
first, then on the other, would never show the first fault; one without targets would never show the second. Test
inputs must have every difficulty in them.
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
        history = []
        for g in (0, 1):
            S[group == g], cache = perceptron_forward(u[g], W[g], b[g])
            history.append(perceptron_backward(dS[group == g], cache)[1:])
        dW, db = answer.space_backward(dS, dh, group, u, q, S, h)
        target = {"only the targets' use is there: history and targets add up": target_W}
        yield Case("dW of group 0", dW[0], history[0][0] + target_W, target)
        yield Case("db of group 0", db[0], history[0][1] + target_b)
        yield Case("dW of group 1", dW[1], history[1][0])
        yield Case("db of group 1", db[1], history[1][1])
