"""BPR-MF (Rendle et al., UAI 2009): matrix factorisation, f = u · emb(o) + item bias, trained with the pair-wise loss.

A user is a row of a table, as wide as an object's embedding; his history is what that row is trained on, nothing more. So
there is no elapsed time, no order, and nothing to say of a user who was not in training: row 0, zeros.
"""

import numpy as np

from ..layers.embedding import lookup_backward, lookup_forward
from ..layers.ranking import dot_backward, dot_forward
from ..parameters import initialise
from .common_space import CommonSpace, FeatureColumn, Gradients, GroupSpace


class BPRMF:
    """space: CommonSpace, of which the embeddings of objects are used, and not F_M; users: rows of the users' table."""

    ranking = "dot"

    def __init__(self, space: CommonSpace, users):
        self.space, self.users = space, users

    def user_groups(self):
        """Users as the objects of a group behind each group, as wide as it, for those who see a model as its groups."""
        column = lambda g: FeatureColumn("user", "id", f"user/{g.name}", g.width, np.arange(self.users))
        return [GroupSpace(f"user/{g.name}", (column(g),), g.width, 0, 0, self.users) for g in self.space.groups]

    def shapes(self):
        """Parameter name -> shape. Groups differ in width, so a user has a vector for each."""
        shapes = {}
        for g in self.space.groups:
            shapes |= {f"table.user/{g.name}": (self.users, g.width)} | self.space.object_shapes(g)
            if self.space.item_bias:
                shapes[f"bias.{g.name}"] = (g.objects,)
        return shapes

    def init(self, seed, dense=0.088, table=0.1, gain=0.1, dtype=np.float32):
        """Parameters to start from, by name (see `parameters.initialise`)."""
        return initialise(self.shapes(), seed, dense, table, gain, dtype)

    def forward(self, params, batch, table_scale=1.0, dropout=None):
        """Scores of all targets, [T]; and the cache. Of the batch, only users and targets matter."""
        user = np.repeat(batch.user, np.diff(batch.target_offsets))
        dtype = params[f"table.user/{self.space.groups[0].name}"].dtype
        scores, caches = np.zeros(len(user), dtype), []
        for index, g in enumerate(self.space.groups):
            places = np.flatnonzero(batch.target_group == index)
            objects, scale = batch.target_object[places], dtype.type(table_scale)
            row, user_cache = lookup_forward(params[f"table.user/{g.name}"], user[places])  # F1
            emb, object_caches = self.space.object_forward(params, g, objects, scale)  # F2
            f, dot_cache = dot_forward(scale * row, emb)  # F3
            bias_cache = None
            if self.space.item_bias:
                bias, bias_cache = lookup_forward(params[f"bias.{g.name}"], objects)
                f = f + bias  # F4
            scores[places] = f
            caches.append((places, user_cache, object_caches, dot_cache, bias_cache))
        return scores, caches

    def backward(self, df, cache):
        """Gradients of all parameters by name, Rows or arrays; df [T] is the derivative of the loss by the scores."""
        gradients = Gradients()
        for g, (places, user_cache, object_caches, dot_cache, bias_cache) in zip(self.space.groups, cache):
            if bias_cache is not None:
                gradients.add(f"bias.{g.name}", lookup_backward(df[places], bias_cache))  # B4
            drow, demb = dot_backward(df[places], dot_cache)  # B3
            self.space.object_backward(g, demb, object_caches, gradients)  # B2
            gradients.add(f"table.user/{g.name}", lookup_backward(drow, user_cache))  # B1
        return gradients.total()
