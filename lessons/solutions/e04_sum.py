import numpy as np


def u_backward(du, dtarget, objects, bucket, action, target_objects, target_action, rows):
    # [N,E], [T,E], [N], [N], [N], [T], number, 3 numbers -> [V,E], [buckets,E], [actions,E]
    dtable, dtime, daction = (np.zeros((r, du.shape[1])) for r in rows)
    np.add.at(dtable, objects, du)
    np.add.at(dtable, target_objects, dtarget)  # two targets may be one object
    np.add.at(dtime, bucket, du)
    dtime[0] += dtarget.sum(0)  # the targets are now, whatever the history holds
    np.add.at(daction, action, du)
    daction[target_action] += dtarget.sum(0)
    return dtable, dtime, daction


WRONG = [
    ("np.add.at(dtable, target_objects, dtarget)", "dtable[target_objects] += dtarget", "the first planted fault"),
    ("dtime[0] +=", "dtime[bucket.min()] +=", "the second planted fault"),
    ("dtime[0] +=", "dtime[0] =", "the behaviours of today overwritten"),
    ("daction[target_action] += dtarget.sum(0)", "daction[target_action] += dtarget.mean(0)", "mean of the targets"),
    ("    dtime[0] += dtarget.sum(0)  # the targets are now, whatever the history holds\n", "", "targets left out"),
]
