import numpy as np

from atrank_np.gradcheck import dense
from atrank_np.layers.embedding import lookup_backward
from lessons.exercises import Case

TITLE = "bug hunt: the sum u = emb + time + action"
TASK = """
u_backward gets du of a group's behaviours [N,E] and of its targets [T,E] and returns the gradients of the three tables.
Two of its lines are wrong. Find and mend them: give its three results to a scoreboard (lesson 02;
`from lessons._common import scoreboard`), or with numeric derivatives to atrank_np.gradcheck.compare.
    objects [N], bucket [N], action [N]   of the behaviours: rows of the three tables
    target_objects [T]                    of the targets; they stand at elapsed time 0, with the action `target_action`
    rows                                  the numbers of rows of the three tables
    returns dtable, dtime, daction
"""
STUB = '''\
import numpy as np


def u_backward(du, dtarget, objects, bucket, action, target_objects, target_action, rows):
    # [N,E], [T,E], [N], [N], [N], [T], number, 3 numbers -> [V,E], [buckets,E], [actions,E]
    """Two of these lines are wrong. Which?"""
    dtable, dtime, daction = (np.zeros((r, du.shape[1])) for r in rows)
    np.add.at(dtable, objects, du)
    np.add.at(dtable, target_objects, dtarget)
    np.add.at(dtime, bucket, du)
    dtime[0] = dtarget.sum(0)
    np.add.at(daction, action, du)
    daction[target_action] += dtarget.mean(0)
    return dtable, dtime, daction
'''
HINTS = (
    "Compare the three results one by one: which are wrong, and in which of their rows?",
    "A history may hold behaviours of the last day too: what has row 0 of the time table collected before the targets come? And "
    "what does a row get that was looked up by all T targets?",
)
EXPLAIN = """
Why it is so: targets and young behaviours share bucket 0, and targets share the target action with most behaviours.
All of them are uses of the same row, and uses add up: += of the sum, neither = nor the mean. One lookup_backward over
behaviours and targets together, as in the package, leaves no room for either fault.
"""


def check(answer, rng):
    for N, T, E in ((7, 3, 2), (11, 5, 3), (4, 2, 1)):
        rows, target_action = (5, 4, 3), int(rng.integers(3))
        objects, bucket, action = (rng.integers(r, size=N) for r in rows)
        bucket[0], action[0], target_objects = 0, target_action, rng.integers(rows[0], size=T)
        du, dtarget = rng.standard_normal((N, E)), rng.standard_normal((T, E))
        both = np.concatenate([du, dtarget])
        given = objects, bucket, action, target_objects, target_action, rows
        dtable, dtime, daction = answer.u_backward(du, dtarget, *given)
        places = (target_objects, np.zeros(T, int), np.full(T, target_action))
        for name, yours, ids, more, r in zip(
            ("dtable", "dtime", "daction"), (dtable, dtime, daction), (objects, bucket, action), places, rows
        ):
            expected = dense(lookup_backward(both, np.concatenate([ids, more])), (r, E))
            behaviours = dense(lookup_backward(du, ids), (r, E))
            overwritten, mean = behaviours.copy(), behaviours.copy()
            overwritten[more[0]] = dtarget.sum(0)
            mean[more[0]] += dtarget.mean(0)
            yield Case(
                f"{name} [{r},{E}]",
                yours,
                expected,
                {
                    "what the behaviours brought to this row is overwritten by the targets": overwritten,
                    "the targets' sum belongs here, not their mean": mean,
                    "the targets are left out": behaviours,
                },
            )
