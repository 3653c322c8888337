"""What the ranks of a program exchange in a training step, so that each can update all parameters: see `mpi`.

Most of it are the gradients of embeddings. Those of a chunk are final when the chunk is done. So between machines a large batch
goes forward and backward in pieces, and what a piece has left is sent while the next one is computed. Ranks on one machine do
not: there, sending is copying, which takes a core from those that compute.
"""

import functools

import numpy as np

from ..mpi import PIECE, PIECES, ranks
from .jit import entry
from .threads import Team


@functools.cache
def pair():
    """One thread computes, the other one sends."""
    return Team(2)


@entry
def count_rows(context, counts):  # -> [shards, 2]
    """The rows that each shard here will have, and the numbers in their embeddings. Not for BPR-MF, which has other rows."""
    batch, groups = context.batch, context.groups
    for s in range(len(context.chunks)):
        chunk, rows, numbers = context.chunks[s], 0, 0
        for h in range(chunk.count):
            b = chunk.histories[h]
            for i in range(batch.offsets[b], batch.offsets[b + 1]):
                rows += 1
                numbers += groups[np.int64(batch.group[i])].width
            for t in range(batch.target_offsets[b], batch.target_offsets[b + 1]):
                rows += 1
                numbers += groups[np.int64(batch.target_group[t])].width
        counts[s, 0], counts[s, 1] = rows, numbers


class Exchange:
    """Computes the shards of this rank, and gets what other ranks have computed.

    Then the Chunk `finished` of the Context has the rows of all shards, in their order, as if one shard had made them. df has all
    slopes, and dP[0] the sum of all dense gradients.
    """

    def __init__(self, context, dP, whole):
        """dP: [shards, numbers]. whole: nothing is cut into pieces."""
        self.context, self.dP, self.whole, self.df = context, dP, whole, context.keep["df"]
        self.settings, (self.shards, _) = context.keep["settings"], context.keep["shards"]
        self.chunks, ((self.finished,), _) = [shard.keep["chunk"] for shard in self.shards], context.keep["finished"]
        self.width = max(group.width for group in context.keep["groups"][0])

    def run(self, step, batch):
        """Computes with step(), and exchanges -> the loss of each shard of all ranks."""
        N, T = len(batch.object), len(batch.label)
        self.settings.pieces = pieces = self._pieces(N + T)
        if pieces > 1:
            self._place(self.count())
        step()
        for piece in range(1, pieces):
            self.settings.piece, made = piece, self._made()
            pair().run(lambda who, _, made=made: self._send(made, patient=True) if who else step())
        self.settings.piece, self.settings.pieces = 0, 1
        return self.finish(N, T, pieces)

    def count(self):  # -> [shards here, 2]
        """The rows and numbers that each shard here will have."""
        counts = np.empty((len(self.chunks), 2), np.int64)
        count_rows(self.context, counts)
        return counts

    def _pieces(self, rows):
        """In how many pieces a batch is computed; the same number on all ranks."""
        sent = rows * self.width * self.df.itemsize / ranks().size
        return min(max(int(sent // PIECE), 1), PIECES) if ranks().apart and not self.whole else 1

    def finish(self, N, T, pieces):
        """Sends the last piece, and what is complete only now."""
        if pieces == 1:
            self._place(self._made())
        self._send(self._made())
        targets = lambda order: order[(order >= N) & (order < N + T)] - N
        order, first = self.finished.keep["order"], [*self.first[:: len(self.chunks), 0], self.finished.rows]
        of_rank = [targets(order[first[r] : first[r + 1]]) for r in range(ranks().size)]
        ends = np.cumsum([len(some) for some in of_rank])
        self.df[np.concatenate(of_rank)] = ranks().join(self.df[of_rank[ranks().rank]], np.empty(T, self.df.dtype), ends)
        ranks().add(self.dP)
        return ranks().table(*(shard.loss for shard in self.shards)).reshape(-1).tolist()

    def _made(self):
        """Those that it has so far."""
        return [[chunk.rows, chunk.next_u] for chunk in self.chunks]

    def _place(self, counts):
        """Decides where in `finished` each shard begins. counts: the rows and numbers that each shard here will have."""
        counts = self._of_all(counts)
        self.first, self.there = counts.cumsum(0) - counts, np.zeros_like(counts)
        self.finished.rows = counts[:, 0].sum()

    def _of_all(self, counts, patient=False):  # [shards here, 2] -> [shards, 2]
        """The same of all ranks."""
        return ranks().table(*np.ravel(counts), patient=patient).astype(np.int64).reshape(-1, 2)

    def _send(self, made, patient=False):
        """Sends what is new in the shards. made: the rows and numbers that each shard here has now."""
        made, here = self._of_all(made, patient), len(self.chunks)
        places, counts, parts = self.first + self.there, made - self.there, []
        for i, chunk in enumerate(self.chunks):
            s = ranks().rank * here + i
            for column, name in enumerate(("order", "du")):
                own = chunk.keep[name][self.there[s, column] : made[s, column]]
                parts.append((own, self.finished.keep[name], places[i::here, column], counts[i::here, column]))
        ranks().spread(parts, patient)
        self.there = made
