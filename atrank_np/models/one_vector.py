"""Models whose user vector is the same for all targets: one matrix product ranks a catalogue for many histories.

backend: a Backend of such a model. The columns of its h and e have the same order, which the backend chooses.
"""

from typing import Any

import numpy as np

from ..arrays import Floats
from ..datasets.packing import Batch
from .bilstm import BiLSTM
from .bpr_mf import BPRMF
from .cnn import CNN

TARGETS = 256  # objects that are computed at a time, as targets of one empty history


def has_one_vector(model: Any) -> bool:
    """Whether f is the product of h and a user vector that is the same for all targets: one matrix product ranks them all."""
    return isinstance(model, BPRMF | BiLSTM | CNN) and model.ranking == "dot"


def user_vectors(backend: Any, batch: Batch, group: int) -> Floats:  # -> [B, D+1]
    """The user vector of each history of a batch without targets, and 1."""
    B, model = len(batch.user), backend.model
    if isinstance(model, BPRMF):
        table = backend.params[f"table.user/{model.space.groups[group].name}"]
        e = table[batch.user] * table.dtype.type(backend.table_scale)
    else:
        batch = batch._replace(target_offsets=np.arange(B + 1), target_group=np.full(B, group, np.int8))
        batch = batch._replace(target_object=np.zeros(B, np.int32), label=np.zeros(B, np.float32))
        _, e, _ = backend.vectors(batch)
    return np.column_stack([e, np.ones(B, e.dtype)])


def object_vectors(backend: Any, batch: Batch, group: int) -> Floats:  # -> [M, D+1]
    """h of every object of a group, and its item bias."""
    model, g = backend.model, backend.model.space.groups[group]
    objects = np.arange(g.objects)
    if isinstance(model, BPRMF):
        params = backend.params
        h, _ = model.space.object_forward(params, g, objects, params[f"table.user/{g.name}"].dtype.type(backend.table_scale))
        return np.column_stack([h, params[f"bias.{g.name}"] if model.space.item_bias else np.zeros(g.objects, h.dtype)])
    nobody = next(batch.cut(1)).with_behaviours(np.arange(0))
    blocks = [
        backend.vectors(nobody.with_targets(group, block)) for block in np.split(objects, range(TARGETS, g.objects, TARGETS))
    ]
    h, _, bias = map(np.concatenate, zip(*blocks))
    return np.column_stack([h, bias])
