"""BPR-MF (Rendle et al., UAI 2009): matrix factorisation, f = u · emb(o) + item bias, trained with the pair-wise loss.

A user is a row of a table, as wide as an object's embedding. The user's history only trains this row: elapsed time and order
have no effect. A user who was not in training has row 0, zeros.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ..arrays import Floats, Ints
from ..datasets.packing import Batch
from ..layers.embedding import Gradient, lookup_backward, lookup_forward
from ..layers.ranking import DotCache, dot_backward, dot_forward
from ..parameters import Params, Shapes, initialise
from ..randomness import Dropout
from .common_space import CommonSpace, FeatureColumn, GroupSpace
from .gradients import Gradients


class BPRMFCache(NamedTuple):
    """The cache of one group."""

    places: Ints  # the places of its targets among the T of the batch
    user: Ints
    objects: tuple[Any, ...]  # of `CommonSpace.object_forward`
    dot: DotCache
    bias: Ints | None


class BPRMF:
    """Of the CommonSpace only the embeddings of objects are used, not F_M. users: rows of the users' tables."""

    ranking = "dot"

    def __init__(self, space: CommonSpace, users: int) -> None:
        self.space, self.users = space, users

    def user_groups(self) -> list[GroupSpace]:
        """A second group for each group, with the same width and the users as its objects: `kernels` treat users as objects."""
        groups = []
        for g in self.space.groups:
            column = FeatureColumn("user", "id", f"user/{g.name}", g.width, np.arange(self.users))
            groups.append(GroupSpace(f"user/{g.name}", (column,), g.width, 0, 0, self.users))
        return groups

    def shapes(self) -> Shapes:
        """Parameter name -> shape. Groups differ in width, so a user has a vector for each."""
        shapes = Shapes()
        for g in self.space.groups:
            shapes |= {f"table.user/{g.name}": (self.users, g.width)} | self.space.object_shapes(g)
            if self.space.item_bias:
                shapes[f"bias.{g.name}"] = (g.objects,)
        return shapes

    def init(
        self, seed: int, dense: float = 0.088, table: float = 0.1, gain: float = 0.1, dtype: DTypeLike = np.float32
    ) -> Params:
        """Initial parameters by name (see `parameters.initialise`)."""
        return initialise(self.shapes(), seed, dense, table, gain, dtype)

    def forward(
        self, params: Params, batch: Batch, table_scale: float = 1.0, dropout: Dropout | None = None
    ) -> tuple[Floats, list[BPRMFCache]]:  # -> [T]
        """Scores of all targets. Of the batch, only users and targets are read. Cache: one for each group."""
        user = np.repeat(batch.user, np.diff(batch.target_offsets))
        dtype = params[f"table.user/{self.space.groups[0].name}"].dtype
        scores, caches = np.zeros(len(user), dtype), list[BPRMFCache]()
        for index, g in enumerate(self.space.groups):
            places = np.flatnonzero(batch.target_group == index)
            objects, scale = batch.target_object[places], dtype.type(table_scale)
            row, user_cache = lookup_forward(params[f"table.user/{g.name}"], user[places])  # F1
            emb, object_caches = self.space.object_forward(params, g, objects, scale)  # F2
            f, dot_cache = dot_forward(scale * row, emb)  # F3
            bias_cache: Ints | None = None
            if self.space.item_bias:
                bias, bias_cache = lookup_forward(params[f"bias.{g.name}"], objects)
                f = f + bias  # F4
            scores[places] = f
            caches.append(BPRMFCache(places, user_cache, object_caches, dot_cache, bias_cache))
        return scores, caches

    def backward(self, df: Floats, cache: list[BPRMFCache]) -> dict[str, Gradient]:  # [T]
        """Gradients of all parameters by name, Rows or arrays; df is the derivative of the loss by the scores."""
        gradients = Gradients()
        for g, (places, user_cache, object_caches, dot_cache, bias_cache) in zip(self.space.groups, cache):
            if bias_cache is not None:
                gradients.add(f"bias.{g.name}", lookup_backward(df[places], bias_cache))  # B4
            drow, demb = dot_backward(df[places], dot_cache)  # B3
            self.space.object_backward(g, demb, object_caches, gradients)  # B2
            gradients.add(f"table.user/{g.name}", lookup_backward(drow, user_cache))  # B1
        return gradients.total()
