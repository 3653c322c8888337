"""The numba backend: what `backend.NumpyBackend` computes, from one compiled call on each thread."""

import time

import numpy as np

from ..layers.embedding import sum_rows
from ..models.atrank import ATRank
from ..models.bilstm import BiLSTM, BiLSTMAttention
from ..models.bpr_mf import BPRMF
from ..models.cnn import CNN
from ..models.common_space import CommonSpace
from ..models.one_vector import has_one_vector, object_vectors, user_vectors
from ..models.variants import NoTime, Residual
from ..optimizer import FOLD
from ..parameters import kind
from ..randomness import Dropout as Masks
from . import atrank, bilstm, bpr_mf, cnn
from .catalogue import object_side, score_catalogue, work_for_history, work_for_objects
from .context import CHUNK, Context, Room, Settings, make_shard
from .embedding import Groups
from .feedforward import Dropout
from .layout import aligned
from .packed import pack
from .parameters import FlatParameters
from .progress import PROGRESS
from .spec import KernelSpec
from .step import begin, gradient_norm, sum_tables, transpose_matrices
from .threads import team

ATRANK = KernelSpec(atrank.step, atrank.parameters_of, atrank.Buffers, functions=81)
SPECS = {
    ATRank: ATRANK,
    Residual: ATRANK,
    BiLSTM: KernelSpec(bilstm.step, bilstm.parameters_of, bilstm.Buffers, bilstm.other_buffers, functions=84),
    BiLSTMAttention: KernelSpec(
        bilstm.attention_step, bilstm.attention_parameters_of, bilstm.Buffers, bilstm.other_buffers, functions=106
    ),
    CNN: KernelSpec(cnn.step, cnn.parameters_of, cnn.Buffers, cnn.other_buffers, functions=67),
    BPRMF: KernelSpec(bpr_mf.step, bpr_mf.parameters_of, bpr_mf.Buffers, functions=38, alone=True),
}
SPACES = (CommonSpace, NoTime)


class NumbaBackend:
    """The same numbers as backend.NumpyBackend."""

    name = "numba"

    def __init__(self, model, params, config, step=0, table_scale=1.0):
        if type(model) not in SPECS or type(model.space) not in SPACES:
            raise ValueError(f"{type(model).__name__} with {type(model.space).__name__}: has no kernels, NumPy computes it")
        self.model, self.config, self.step, self.table_scale = model, config, step, table_scale
        self.spec, self.dtype = SPECS[type(model)], next(iter(params.values())).dtype
        PROGRESS.expected = self.spec.functions
        self.threads = 1 if self.spec.alone else min(config.threads, config.shards)
        self.team = team(self.threads)
        self.parameters = FlatParameters(model, self.spec, self.dtype, self.threads)
        self.parameters.take(params)
        # What all workspaces share, packed once.
        groups = self.parameters.groups(self.parameters.tables, self.parameters.biases)
        self.packed_groups = [pack(group) for group in groups]
        self.packed_threads = [pack(self.parameters.thread(t)) for t in range(self.threads)]
        self.context, self.dtypes, self.room, self.objects, self.summed = None, None, Room(*[0] * 6), None, None

    @property
    def params(self):
        """name -> array in the shapes of the model; big tables are views of the live ones."""
        return self.parameters.by_name()

    def warm_up(self, batch):
        """Compiles what training needs, or loads it from the cache, without changing a parameter: seconds taken."""
        start = time.perf_counter()
        self.scores(batch)
        before, scale = self.step, self.table_scale
        self._train(batch, rate=0.0, l2=0.0)
        self.step, self.table_scale = before, scale
        return time.perf_counter() - start

    def train_step(self, batch, rate):
        """One step of gradient descent; the loss before it."""
        loss = self._train(batch, rate, self.config.l2)
        self.step += 1
        if self.step % FOLD == 0:
            self.parameters.scale_tables(self.table_scale)
            self.table_scale = 1.0
        return loss

    def gradients(self, batch):
        """-> loss, gradients by name, of the next training step: what the compiled step would use."""
        norm, gradients = self._run(batch, train=1), {}
        flats = [self.parameters.zeros(start) for start in ("table.", "bias.")]
        sum_tables(self.context, pack(Groups(self.parameters.groups(*flats))))
        found = self.parameters.dense_by_name(self.dP.sum(0)) | {name: flat[name] for flat in flats for name in flat.shapes}
        for name, gradient in found.items():
            if kind(name) in ("table", "bias"):
                used = np.flatnonzero(np.any(gradient.reshape(len(gradient), -1) != 0, axis=1))
                gradient = sum_rows(used, gradient[used])
            gradients[name] = gradient
        return self._loss(norm), gradients

    def scores(self, batch):
        """Logits of all targets [T], without dropout."""
        self._run(batch)
        return self.f[: len(batch.label)].copy()

    def catalogue_scores(self, batch, group):
        """Logits [B, M] of every object of a group (its index), row 0 too, for each history of a batch without targets."""
        if not has_one_vector(self.model):
            return np.array([self._scores_of_catalogue(one, group) for one in batch.cut(1)])
        params, state = self.params, (group, self.step, self.table_scale)
        if self.objects is None or self.objects[0] != state:  # kept until the parameters change
            self.objects = state, object_vectors(self.model, params, group, self.table_scale)
        return user_vectors(self.model, params, batch, group, self.table_scale) @ self.objects[1].T

    def _scores_of_catalogue(self, batch, group):
        objects, state = self.model.space.groups[group].objects, (group, self.step, self.table_scale)
        if not isinstance(self.model, ATRank):  # the history is encoded again for every block of objects
            blocks = [np.arange(first, min(first + CHUNK, objects)) for first in range(0, objects, CHUNK)]
            return np.concatenate([self.scores(batch.with_targets(group, block)) for block in blocks])
        self._run(batch)
        own = self.packed_threads[0]
        new = self.objects is None or self.objects[0] != state
        if new:  # kept until the parameters change
            self.objects = state, work_for_objects(objects, self.parameters)
        buffers = next(buffers for buffers, chunk in zip(self.buffers, self.chunks) if chunk.count)
        f, n = np.empty(objects, self.dtype), int(batch.offsets[-1])
        width = self.model.space.groups[group].width

        def job(thread, _):
            work = pack(work_for_history(self.objects[1], buffers.key_C[:n], buffers.value_C[:n], f, width, self.parameters))
            part = [objects * t // self.threads for t in (thread, thread + 1)]
            if new:
                object_side(self.context, own, work, group, *part)
            score_catalogue(self.context, own, work, group, *part)

        self.team.run(job)
        return f

    # A step

    def _train(self, batch, rate, l2):
        keep = 1 - rate * l2
        if self.config.clip:  # the norm of all gradients is needed before the update
            norm = self._run(batch, train=1)
            self._set(shards=0, update=1, rate=rate * self._clipping(), keep=keep)
            self._step()
        else:
            norm = self._run(batch, train=1, update=1, rate=rate, keep=keep)
        self.table_scale *= keep
        return self._loss(norm)

    def _loss(self, norm):
        return sum(shard.loss for shard in self.shards) * norm

    def _clipping(self):
        """What the gradients of the step are multiplied by: `optimizer.clip`."""
        if self.summed is None:
            self.summed = pack(Groups(self.parameters.groups(*map(self.parameters.zeros, ("table.", "bias.")))))
        limit, norm = self.config.clip, gradient_norm(self.context, self.summed)
        return limit / norm if norm > limit else 1.0

    def _run(self, batch, **settings):
        """All shards forward, with `train` also backward -> what makes the summed loss a mean."""
        batch = self.model.space.seen(batch)
        dtypes = [array.dtype for array in batch]
        pairs = begin(self.context, batch) if dtypes == self.dtypes else -1
        if pairs < 0:
            self.dtypes = dtypes
            self._make_room(batch)
            pairs = begin(self.context, batch)
        norm = 1.0 / max(pairs if self.config.loss == "pair" else len(batch.label), 1)
        self._set(**dict(shards=self.config.shards, train=0, update=0, scale=self.table_scale, norm=norm) | settings)
        self._step()
        return norm

    def _set(self, **values):
        for name, value in values.items():
            setattr(self.settings, name, value)
        if self.config.dropout and "train" in values:
            masks = Masks(self.config.dropout, self.config.seed, self.step) if values["train"] else None
            self.dropout.rate, self.dropout.key = (masks.rate, masks.key) if masks else (0.0, 0)

    def _step(self):
        self.team.run(lambda thread, arrived: self.spec.step(self.context, thread, arrived))

    def _make_room(self, batch):
        """Workspace for a batch; it grows and is kept."""
        n, q = (int(np.diff(o).max(initial=0)) for o in (batch.offsets, batch.target_offsets))
        need = Room(len(batch.offsets) - 1, len(batch.object) + len(batch.label), len(batch.label), n, q, n + q)
        room = self.room = Room(*map(max, need, self.room))
        self.context = self.shards = self.chunks = self.buffers = self.dP = None  # the old one goes before the new one comes
        config, flat = self.config, self.parameters
        self.dP = aligned((config.shards, len(flat.dense.array)), self.dtype)
        made = [make_shard(room, flat, self.dP[s]) for s in range(config.shards)]
        self.chunks, self.buffers = [shard.chunk for shard in made], [shard.buffers for shard in made]
        self.shards, self.f = [pack(shard) for shard in made], aligned(room.targets, self.dtype)
        column = np.ascontiguousarray(flat.order.columns)
        self.dropout = pack(Dropout(0.0, 0, column, aligned((1, flat.D), self.dtype))) if config.dropout else None
        self.settings = pack(
            Settings(
                residual=int(isinstance(self.model, Residual)),
                pairs=1 if config.loss == "pair" else None,
                dropout=self.dropout,
            )
        )
        self.context = pack(
            Context(
                batch=batch,
                settings=self.settings,
                groups=self.packed_groups,
                threads=self.packed_threads,
                shards=self.shards,
                chunks=self.chunks,
                pieces=self.parameters.pieces(),
                dP=self.dP.reshape(-1),
                f=self.f,
                df=aligned(room.targets, self.dtype),
                histories_by_cost=np.zeros(room.histories, np.int64),
                cost=np.zeros(room.histories),
                room=room,
            )
        )
        transpose_matrices(self.context)
