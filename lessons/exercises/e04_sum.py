import numpy as np

from atrank_np.gradcheck import dense
from atrank_np.layers.embedding import lookup_backward
from lessons.exercises import Case

TITLE = "bug hunt: the sum u = emb + time + action"
TASK = """
u_backward gets du of a group's behaviours [N,E] and of its targets [T,E] and returns the gradients of the three tables.
Two of its lines are wrong, but with many inputs nobody would notice: its three results are right for most batches. Ask of every
line what it takes for granted, make a batch in which that does not hold, and compare with a loop that you trust.
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
    dtable[target_objects] += dtarget
    np.add.at(dtime, bucket, du)
    dtime[bucket.min()] += dtarget.sum(0)
    np.add.at(daction, action, du)
    daction[target_action] += dtarget.sum(0)
    return dtable, dtime, daction
'''
HINTS = (
    "One line takes for granted that all targets are different objects; another that a behaviour of today is in the history.",
    "Repeated targets: np.add.at(dtable, target_objects, dtarget). Targets stand at elapsed time 0: their bucket is 0, "
    "whatever the history holds.",
)
EXPLAIN = """
Why it is so: both lines are right for most batches: few targets repeat, and active users did something today. A fault that
needs a rare input is found by a rare input only, so tests draw batches with every difficulty in them: repeated targets, a
history without a young behaviour, a history of one. One lookup_backward over behaviours and targets together, as in the
package, leaves no room for either fault.
"""


def check(answer, rng):
    for N, T, E in ((7, 3, 2), (11, 5, 3), (4, 2, 1)):
        rows, target_action = (5, 4, 3), int(rng.integers(3))
        for youngest in (0, 1):  # with a behaviour of today, and without
            objects, bucket, action = (rng.integers(r, size=N) for r in rows)
            bucket = np.maximum(bucket, youngest)
            bucket[0], action[0] = youngest, target_action
            target_objects = rng.integers(rows[0], size=T)
            target_objects[1] = target_objects[0]
            du, dtarget = rng.standard_normal((N, E)), rng.standard_normal((T, E))
            given = objects, bucket, action, target_objects, target_action, rows
            yours = answer.u_backward(du, dtarget, *given)
            places = (target_objects, np.zeros(T, int), np.full(T, target_action))
            both = np.concatenate([du, dtarget])
            for name, mine, ids, more, r in zip(("dtable", "dtime", "daction"), yours, given[:3], places, rows):
                behaviours = dense(lookup_backward(du, ids), (r, E))
                lost, mean, shifted = behaviours.copy(), behaviours.copy(), behaviours.copy()
                lost[more] += dtarget
                mean[more[0]] += dtarget.mean(0)
                shifted[ids.min()] += dtarget.sum(0)
                causes = {
                    "the targets are left out": behaviours,
                    "two targets may be the same object: their shares add up": lost,
                    "the targets' sum belongs here, not their mean": mean,
                }
                if name == "dtime":
                    causes["the targets stand in bucket 0, even if no behaviour does"] = shifted
                words = "today" if youngest == 0 else "not today"
                expected = dense(lookup_backward(both, np.concatenate([ids, more])), (r, E))
                yield Case(f"{name} [{r},{E}], last behaviour {words}", mine, expected, causes)
