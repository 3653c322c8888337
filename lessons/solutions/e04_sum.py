import numpy as np


def u_backward(du, dtarget, objects, bucket, action, target_objects, target_action, rows):
    # [N,E], [T,E], [N], [N], [N], [T], number, 3 numbers -> [V,E], [buckets,E], [actions,E]
    dtable, dtime, daction = (np.zeros((r, du.shape[1])) for r in rows)
    np.add.at(dtable, objects, du)
    np.add.at(dtable, target_objects, dtarget)
    np.add.at(dtime, bucket, du)
    dtime[0] += dtarget.sum(0)  # row 0 holds what the young behaviours brought
    np.add.at(daction, action, du)
    daction[target_action] += dtarget.sum(0)  # every target is a use of this row
    return dtable, dtime, daction


WRONG = [
    ("dtime[0] +=", "dtime[0] =", "the first planted fault"),
    ("daction[target_action] += dtarget.sum(0)", "daction[target_action] += dtarget.mean(0)", "the second planted fault"),
    ("np.add.at(dtable, target_objects, dtarget)", "dtable[target_objects] += dtarget", "repeats lost"),
    ("dtime[0] +=", "dtime[-1] +=", "the wrong bucket"),
    ("    np.add.at(dtable, target_objects, dtarget)\n", "", "targets left out"),
]
