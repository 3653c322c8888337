import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "a learned weight for each group"
TRANSFER = True
TASK = """
Let the model learn how much each group counts. Row i of S belongs to group g = group[i]; the behaviours of history b are the
rows offsets[b] : offsets[b+1]. With one number a_g for each group and s(y) = 1 / (1 + exp(-y)):
    C_i = s(a_g) S_i            e_b = the sum of C_i over the rows of history b (zeros for an empty one)
Write gates_backward(de, S, a, group, offsets) (about 6 lines).
    de  [B,D]  the gradient by e        S  [N,D]        a  [G]        group  [N]        offsets  [B+1]
    returns dS [N,D], da [G]            (a group without behaviours gets 0)
"""
STUB = """\
import numpy as np


def gates_backward(de, S, a, group, offsets):  # [B,D], [N,D], [G], [N], [B+1] -> [N,D], [G]
    # YOUR CODE (about 6 lines)
    ...
"""
HINTS = (
    "Go back in two steps. From e_b to C: a sum hands its gradient to every summand, so dC_i is the row of de of i's own "
    "history (np.repeat with np.diff(offsets)). Then the product s(a_g) S_i, with one number for many rows.",
    "gate = s(a)[group]; dS = gate[:, None] * dC; d_gate of row i is the sum over D of dC_i S_i; add up the rows of each "
    "group with np.add.at, then times s (1 - s).",
)
EXPLAIN = """
Why it is so: the number a_g is used by every behaviour of its group, in all histories, and so it gets a sum over all of
them: groups cut across histories. A model with one number per group is a first answer to "do queries help?". ATRank needs
none, as each F_M can scale its own rows; but the gradient would look like this.
"""


def check(answer, rng):
    for group, offsets, G, D in (
        ([0, 1, 0], [0, 3], 2, 2),
        ([1, 0, 1, 2, 1], [0, 2, 2, 5], 3, 4),
        ([0, 2, 2, 0], [0, 1, 4], 4, 3),
    ):
        group, offsets = np.array(group), np.array(offsets)
        S, a, de = rng.standard_normal((len(group), D)), rng.standard_normal(G), rng.standard_normal((len(offsets) - 1, D))

        def loss(_, S=S, a=a, de=de, group=group, offsets=offsets):
            total = 0.0
            for b in range(len(offsets) - 1):
                for i in range(offsets[b], offsets[b + 1]):
                    total += (de[b] * S[i]).sum() / (1 + np.exp(-a[group[i]]))
            return total

        right_S, right_a = numeric_gradient(loss, S), numeric_gradient(loss, a)
        dC = np.repeat(de, np.diff(offsets), axis=0)
        s = 1 / (1 + np.exp(-a))
        lost, no_slope = np.zeros(G), np.zeros(G)
        lost[group] += (dC * S).sum(1)
        np.add.at(no_slope, group, (dC * S).sum(1))
        dS, da = answer.gates_backward(de, S, a, group, offsets)
        what = f"groups {group.tolist()}, offsets {offsets.tolist()}"
        yield Case(f"dS, {what}", dS, right_S, {"the gate stands before S: times s(a_g)": dC})
        causes = {
            "a group has many rows: `d[group] += …` keeps one of them": lost * s * (1 - s),
            "the slope of s is missing: s (1 - s)": no_slope,
        }
        yield Case(f"da, {what}", da, right_a, causes)
