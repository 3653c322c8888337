"""Models whose user vector is the same for all targets: one matrix product ranks a whole catalogue for many histories."""

from typing import Any

import numpy as np

from ..arrays import Floats
from ..datasets.packing import Batch
from ..parameters import Params
from .bilstm import BiLSTM
from .bpr_mf import BPRMF
from .cnn import CNN


def has_one_vector(model: Any) -> bool:
    """Whether f of all targets is the product of one user vector with them."""
    return isinstance(model, BPRMF | BiLSTM | CNN) and model.ranking == "dot"


def object_vectors(model: Any, params: Params, group: int, table_scale: float) -> Floats:  # -> [M, D+1]
    """h of every object of a group, and its item bias, 0 without one."""
    g, space = model.space.groups[group], model.space
    objects = np.arange(g.objects)
    scale = next(iter(params.values())).dtype.type(table_scale)
    if isinstance(model, BPRMF):
        h, _ = space.object_forward(params, g, objects, scale)
    else:
        bucket, action = np.zeros_like(objects), np.full_like(objects, g.target_action)
        u, _ = space.behaviour_forward(params, g, objects, bucket, action, scale)
        h, _ = space.F_M_forward(u, params[f"F_M.{g.name}.W"], params[f"F_M.{g.name}.b"])
    return np.column_stack([h, params[f"bias.{g.name}"] if space.item_bias else np.zeros(g.objects, h.dtype)])


def user_vectors(model: Any, params: Params, batch: Batch, group: int, table_scale: float) -> Floats:  # -> [B, D+1]
    """The user vector of each history of a batch, and 1."""
    B, g = len(batch.user), model.space.groups[group]
    if isinstance(model, BPRMF):
        table = params[f"table.user/{g.name}"]
        e = table.dtype.type(table_scale) * table[batch.user]
    else:  # `user_forward` gives a vector for each target, so each history gets one: `unknown`
        batch = batch._replace(target_offsets=np.arange(B + 1), target_group=np.full(B, group, np.int8))
        batch = batch._replace(target_object=np.zeros(B, np.int32), label=np.zeros(B, np.float32))
        S, h, _, _ = model.space.forward(params, batch, table_scale)
        e, _ = model.user_forward(params, S, h, batch, None)
    return np.column_stack([e, np.ones(B, e.dtype)])
