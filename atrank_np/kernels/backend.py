"""The numba backend: what `backend.NumpyBackend` computes, from one compiled call on each thread."""

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..layers.embedding import sum_rows
from ..models.atrank import ATRank
from ..models.bilstm import BiLSTM, BiLSTMAttention
from ..models.bpr_mf import BPRMF
from ..models.cnn import CNN
from ..models.common_space import CommonSpace
from ..models.one_vector import has_one_vector, object_vectors, user_vectors
from ..models.spaces import NoTime
from ..models.variants import Printed
from ..mpi import ranks
from ..optimizer import FOLD, RULES
from ..parameters import kind
from ..randomness import Dropout as Masks
from . import atrank, bilstm, bpr_mf, cnn
from .catalogue import object_side, room_for_objects, score_catalogue, work_for_history, work_for_objects
from .context import CHUNK, Assignment, Context, Room, Rule, Settings, Task, Vectors, make_chunk, make_shard
from .embedding import Groups
from .exchange import Exchange
from .feedforward import Dropout
from .layout import aligned, rows
from .packed import pack
from .parameters import FlatParameters
from .progress import PROGRESS
from .ranking import PAIR, SOFTMAX
from .step import begin, gradient_norm, sum_tables, transpose_matrices
from .threads import team


class KernelSpec(NamedTuple):
    """What the backend must know of a model's kernels."""

    step: Any  # the entry
    parameters: type  # the NamedTuple of its parameters
    make_buffers: Callable[..., Any]  # (model, R, dtype) -> its rows of a chunk of up to R
    functions: int  # that are compiled for the defaults, about
    alone: bool = False  # a step is so short (50 microseconds) that one thread is quicker than waking a second


ATRANK = KernelSpec(atrank.step, atrank.Parameters, atrank.make_buffers, 95)
SPECS = {
    ATRank: ATRANK,
    Printed: ATRANK,
    BiLSTM: KernelSpec(bilstm.step, bilstm.Parameters, bilstm.make_buffers, 96),
    BiLSTMAttention: KernelSpec(bilstm.attention_step, bilstm.AttentionParameters, bilstm.make_buffers, 120),
    CNN: KernelSpec(cnn.step, cnn.Parameters, cnn.make_buffers, 79),
    BPRMF: KernelSpec(bpr_mf.step, bpr_mf.Parameters, bpr_mf.make_buffers, 46, alone=True),
}
SPACES = (CommonSpace, NoTime)


class NumbaBackend:
    """The same numbers as backend.NumpyBackend."""

    name = "numba"

    def __init__(self, model, params, config, step=0, table_scale=1.0, moments=None):
        if type(model) not in SPECS or type(model.space) not in SPACES:
            raise ValueError(f"{type(model).__name__} with {type(model.space).__name__}: has no kernels, NumPy computes it")
        self.model, self.config, self.step, self.table_scale = model, config, step, table_scale
        self.spec, self.dtype = SPECS[type(model)], next(iter(params.values())).dtype
        PROGRESS.expected = self.spec.functions
        self.ranks = ranks()
        self.shards_here = max(1, config.parts // self.ranks.size)
        self.threads = 1 if self.spec.alone else min(config.threads, self.shards_here)
        self.team = team(self.threads)
        self.parameters, rule = self._flat(params), RULES[config.optimizer]
        self.flat_moments = {moment: self._flat((moments or {}).get(moment, {})) for moment in (rule.moments if rule else ())}
        # What all workspaces share, packed once.
        self.packed_groups = self._packed_groups(self.parameters)
        self.sums = self._flat({}) if rule or config.clip else None
        self.packed_sums = self._packed_groups(self.sums) if self.sums else None
        mean, square = self.flat_moments.get("mean", rule and self.sums), self.flat_moments.get("square")
        self.packed_threads = [pack(self.parameters.thread(t, mean, square)) for t in range(self.threads)]
        groups = [self.packed_sums, *map(self._packed_groups, (mean, square))] if rule else []
        self.rule = pack(Rule(*groups, *rule)) if rule else None
        self.context, self.dtypes, self.room, self.objects = None, None, Room(*[0] * 6), None

    @property
    def params(self):
        """name -> array in the shapes of the model; big tables are views of the live ones."""
        return self.parameters.by_name()

    @property
    def moments(self):
        """The same for each moment of the optimiser."""
        return {moment: flat.by_name() for moment, flat in self.flat_moments.items()}

    def _flat(self, params):
        """FlatParameters with those that are given, zeros for others."""
        flat = FlatParameters(self.model, self.spec, self.dtype, self.threads)
        flat.take(params)
        return flat

    def _packed_groups(self, flat):
        return [pack(group) for group in self.parameters.groups(flat.tables, flat.biases)]

    def warm_up(self, batch):
        """Compiles what training needs, or loads it from the cache, without changing a parameter: seconds taken."""
        start = time.perf_counter()
        self.scores(batch)
        self._begin(batch, train=1)
        self._step()
        if self.exchange:  # nothing is exchanged: ranks warm up one after another
            self.exchange.count()
        if self.config.clip:
            self._clipping()
        return time.perf_counter() - start

    def train_step(self, batch, rate):
        """One step of the optimiser; the loss before it."""
        keep = 1 - rate * self.config.l2
        later = bool(self.config.clip) or self.ranks.size > 1
        loss = self._run(batch, train=1, update=0 if later else 1, keep=keep, **self._rates(rate))
        if later:  # the gradients of all ranks, and their norm, are needed before the update
            rates = self._rates(rate, self._clipping() if self.config.clip else 1.0)
            for name, value in {"shards": 0, "update": 1, **rates}.items():
                setattr(self.settings, name, value)
            self._step()
        self.table_scale *= keep
        self.step += 1
        if self.step % FOLD == 0:
            self.parameters.scale_tables(self.table_scale)
            self.table_scale = 1.0
        return loss

    def gradients(self, batch):
        """-> loss, gradients by name, of the next training step: what the compiled step would use."""
        loss, gradients = self._run(batch, train=1), {}
        flats = [self.parameters.zeros(start) for start in ("table.", "bias.")]
        sum_tables(self.context, pack(Groups(self.parameters.groups(*flats))))
        found = self.parameters.dense_by_name(self.dP[: self.settings.sums].sum(0))
        found |= {name: flat[name] for flat in flats for name in flat.shapes}
        for name, gradient in found.items():
            if kind(name) in ("table", "bias"):
                used = np.flatnonzero(np.any(gradient.reshape(len(gradient), -1) != 0, axis=1))
                gradient = sum_rows(used, gradient[used])
            gradients[name] = gradient
        return loss, gradients

    def scores(self, batch):
        """Logits of all targets [T], without dropout."""
        self._run(batch)
        return self.f[: len(batch.label)].copy()

    def vectors(self, batch):
        """h [T,D], e [T,D] and item bias [T] of all targets; h and e have their columns in the kernels' order."""
        self._run(batch)
        return tuple(side[: len(batch.label)].copy() for side in self.sides)

    def catalogue_scores(self, batch, group):
        """Logits [B, M] of every object of a group (its index), row 0 too, for each history of a batch without targets."""
        state = (group, self.step, self.table_scale)
        if not has_one_vector(self.model):
            return np.array([self._scores_of_catalogue(one, group, state) for one in batch.cut(1)])
        if self.objects is None or self.objects[0] != state:  # kept until the parameters change
            self.objects = state, object_vectors(self, batch, group)
        return user_vectors(self, batch, group) @ self.objects[1].T

    def _scores_of_catalogue(self, batch, group, state):
        objects = self.model.space.groups[group].objects
        if not isinstance(self.model, ATRank):  # the history is encoded again for every block of objects
            blocks = [np.arange(first, min(first + CHUNK, objects)) for first in range(0, objects, CHUNK)]
            return np.concatenate([self.scores(batch.with_targets(group, block)) for block in blocks])
        self._run(batch)
        own = self.packed_threads[0]
        new = self.objects is None or self.objects[0] != state
        if new:  # kept until the parameters change
            width = self.model.space.groups[group].width
            rooms = [pack(room_for_objects(width, self.parameters)) for _ in range(self.threads)]
            self.objects = state, pack(work_for_objects(objects, self.parameters)), rooms
        buffers = next(buffers for buffers, chunk in zip(self.buffers, self.chunks) if chunk.count)
        (_, sides, rooms), f, n = self.objects, np.empty(objects, self.dtype), int(batch.offsets[-1])

        def job(thread, _):
            key, value = buffers.key_C[:n], buffers.value_C[:n]
            work = pack(work_for_history(sides, key, value, f, rooms[thread], self.parameters))
            part = [objects * t // self.threads for t in (thread, thread + 1)]
            if new:
                object_side(self.context, own, work, group, *part)
            score_catalogue(self.context, own, work, group, *part)

        self.team.run(job)
        return f

    # A step

    def _rates(self, rate, clipping=1.0):
        """The rates of a step whose gradients are multiplied by `clipping`; what changes from step to step of a rule is set."""
        if self.rule is None:
            rate *= clipping
        else:
            c1, c2 = RULES[self.config.optimizer].corrections(self.step + 1)
            rate /= c1
            self.rule.correction, self.rule.clipping = 1 / math.sqrt(c2), clipping
        return {"rate": rate, "row_rate": rate * self.config.table_rate}

    def _clipping(self):
        """What the gradients of the step are multiplied by: `optimizer.clip`."""
        limit, norm = self.config.clip, gradient_norm(self.context, pack(Groups(self.packed_sums)))
        return limit / norm if norm > limit else 1.0

    def _run(self, batch, **task):
        """All shards forward, with `train` also backward -> the mean loss.

        What is trained is divided among all ranks, which exchange gradients; what is only scored is this rank's own.
        """
        norm = self._begin(batch, **task)
        if self.settings.train and self.exchange:
            return sum(self.exchange.run(self._step, batch)) * norm
        self._step()
        return sum([shard.loss for shard in self.shards]) * norm

    def _begin(self, batch, train=0, update=0, keep=1.0, rate=0.0, row_rate=0.0):
        """Takes over a batch, and what is to be done with it -> what makes the summed loss a mean."""
        self.batch = batch = self.model.space.seen(batch)  # kept: compiled code reads its arrays
        own = (self.config.parts, self.ranks.rank * self.shards_here) if train else (self.shards_here, 0)
        task = Task(self.shards_here, train, update, *map(float, (self.table_scale, keep, rate, row_rate)))
        dtypes = [array.dtype for array in batch]
        norm = begin(self.context, batch, task, *own) if dtypes == self.dtypes else 0.0
        if norm == 0:
            self.dtypes = dtypes
            self._make_room(batch)
            norm = begin(self.context, batch, task, *own)
        if self.config.dropout:
            masks = Masks(self.config.dropout, self.config.seed, self.step) if train else None
            self.dropout.rate, self.dropout.key = (masks.rate, masks.key) if masks else (0.0, 0)
        return norm

    def _step(self):
        self.team.run(lambda thread, arrived: self.spec.step(self.context, thread, arrived))

    def _make_room(self, batch):
        """Workspace for a batch; it grows and is kept."""
        n, q = (int(np.diff(o).max(initial=0)) for o in (batch.offsets, batch.target_offsets))
        need = Room(len(batch.offsets) - 1, len(batch.object) + len(batch.label), len(batch.label), n, q, n + q)
        room = self.room = Room(*map(max, need, self.room))
        self.context = self.shards = self.chunks = self.buffers = self.dP = None  # the old one goes before the new one comes
        config, flat, alone = self.config, self.parameters, self.ranks.size == 1
        parts = max(config.parts, self.shards_here)
        self.dP = aligned((self.shards_here, len(flat.dense.array)), self.dtype)
        made = []
        for s, dP in enumerate(self.dP):
            made.append(make_shard(room, flat, dP, made[s % self.threads] if s >= self.threads else None))
        self.chunks, self.buffers = [shard.chunk for shard in made], [shard.buffers for shard in made]
        self.finished = self.chunks if alone else [make_chunk(room, flat)]
        self.shards, (self.f, self.df) = [pack(shard) for shard in made], aligned((2, room.targets), self.dtype)
        column = np.ascontiguousarray(flat.order.columns)
        self.dropout = pack(Dropout(0.0, 0, column, aligned((1, flat.D), self.dtype))) if config.dropout else None
        D, dtype = flat.D, self.dtype
        self.sides = None
        if self.spec is not SPECS[BPRMF]:
            self.sides = Vectors(rows(room.targets, D, dtype), rows(room.targets, D, dtype), aligned(room.targets, dtype))
        self.settings = pack(
            Settings(
                residual=int(type(self.model) is ATRank),
                loss={"point": None, "pair": PAIR, "softmax": SOFTMAX}[config.loss],
                dropout=self.dropout,
                vectors=pack(self.sides) if self.sides else None,
                sums=self.shards_here if alone else 1,
            )
        )
        self.context = pack(
            Context(
                batch=batch,
                settings=self.settings,
                groups=self.packed_groups,
                threads=self.packed_threads,
                rule=self.rule,
                shards=self.shards,
                chunks=self.chunks,
                finished=self.finished,
                pieces=self.parameters.pieces(),
                dP=self.dP.reshape(-1),
                f=self.f,
                df=self.df,
                assignment=Assignment(*np.zeros((2, room.histories), np.int64), np.zeros(room.histories), np.zeros(parts)),
                room=room,
            )
        )
        self.exchange = None if alone else Exchange(self.context, self.dP, whole=self.spec.alone)
        transpose_matrices(self.context)
