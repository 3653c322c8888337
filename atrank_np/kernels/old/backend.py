"""The numba backend: parameters in flat arrays for the compiled step, and back under their names."""

import math
import time
from typing import NamedTuple

import numpy as np

from ...layers.embedding import sum_rows
from ...models.atrank import ATRank
from ...models.bilstm import BiLSTM, BiLSTMAttention
from ...models.bpr_mf import BPRMF
from ...models.cnn import CNN
from ...models.common_space import CommonSpace, bags_of
from ...models.variants import NoTime, Residual
from ...optimizer import FOLD
from ...parameters import is_decayed, kind
from ...randomness import Dropout
from ..threads import team
from . import atrank, bilstm, bpr_mf, cnn
from .catalogue import BLOCK, catalogue_scores, object_side
from .chunks import CHUNK, SpaceAt, Work, deal, longest
from .embedding import BAG, LOOKUP, NUMBER, Features
from .held import hold
from .products import from_strips, to_strips
from .ranking import DeepAt, count_pairs
from .step import DECAYED, KEPT, REST, TABLE, Settings, gradient_norm, transpose_all
from .vectors import Lanes

LINE = 64  # bytes of a cache line: a vector that crosses one costs two loads


class Plan(NamedTuple):
    """What the backend must know of a model's kernels."""

    step: object
    places_of: object  # (model, SpaceAt, DeepAt, place of each dense parameter by name) -> what its step calls places
    buffers: object  # model -> rows of D numbers that its step works on
    integers: object = lambda model: 1  # model -> lists of whole numbers that it keeps of a chunk
    blocks: tuple = ("f.W1",)  # matrices that are used in blocks of D rows
    unturned: tuple = ()  # matrices that `product` does not use: they are not transposed, and lie row by row
    written: tuple = ()  # dense parameters that it wants at the end of P
    apart: int = 0  # numbers between two rows of a buffer; at 512 bytes their beginnings push each other out of the cache
    alone: bool = False  # a step is so short (50 microseconds) that one thread is quicker than waking a second


ATRANK = Plan(atrank.step, atrank.places_of, lambda model: atrank.BUFFERS, unturned=("vanilla.W",), written=atrank.WRITTEN,
              apart=LINE // 4)  # fmt: skip
PLANS = {
    ATRank: ATRANK,
    Residual: ATRANK,
    BiLSTM: Plan(bilstm.step, bilstm.places_of, lambda model: bilstm.BUFFERS, lambda model: bilstm.INTEGERS,
                 ("f.W1", "user.W")),
    BiLSTMAttention: Plan(bilstm.attention_step, bilstm.attention_places_of, lambda model: bilstm.BUFFERS,
                          lambda model: bilstm.INTEGERS, ("f.W1", "vanilla.W", "vanilla.Q.W")),
    BPRMF: Plan(bpr_mf.step, bpr_mf.places_of, lambda model: 1, alone=True),
    CNN: Plan(cnn.step, cnn.places_of, cnn.buffers_of, lambda model: len(model.windows) * model.maps),
}  # fmt: skip
SPACES = (CommonSpace, NoTime)


def aligned(shape, dtype):
    """np.zeros that starts on a cache line."""
    dtype, count = np.dtype(dtype), int(np.prod(shape))
    size = count * dtype.itemsize
    raw = np.zeros(size + LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    return raw[start : start + size].view(dtype).reshape(shape)


class Flat:
    """Named arrays one after another in one flat array, each on a cache line: `place[name]` is where it starts.

    There may be copies of the array: `spread` brings the others up to date.
    """

    def __init__(self, shapes, dtype, copies=1):
        self.shapes, self.place, end = shapes, {}, 0
        for name, shape in shapes.items():
            self.place[name] = end
            end += -(-int(np.prod(shape)) // LINE) * LINE
        self.copies = aligned((copies, max(end, LINE)), dtype)  # whole strips, even if there is nothing
        self.array = self.copies[0]

    def __getitem__(self, name):
        return self.of(self.array, name)

    def of(self, array, name):
        """The part of an array like `self.array` that belongs to a name, as a view."""
        shape = self.shapes[name]
        return array[self.place[name] : self.place[name] + int(np.prod(shape))].reshape(shape)

    def spread(self):
        self.copies[1:] = self.array


class SpaceOrder:
    """The kernels keep the space index innermost: their column j·K + k is number j of space k, our column k·d + j.

    All axes of the common space and of hidden layers are reordered alike, so every formula stays as it is.
    """

    def __init__(self, D, K):
        self.D, self.columns = D, np.arange(D).reshape(K, D // K).T.reshape(-1)
        self.inverse = np.argsort(self.columns)

    def shape(self, name, shape):
        """The shape that the kernels give a parameter: W of (4) becomes one matrix from memory to keys."""
        return (shape[2], self.D) if name in ("self.W", "vanilla.W") else shape

    def to_kernel(self, name, w):
        rows, *_ = shape = self.shape(name, w.shape)
        if shape != w.shape:
            w = w.reshape(self.D, rows).T
        return self._reorder(name, w, self.columns)

    def from_kernel(self, name, w, shape):
        w = self._reorder(name, w, self.inverse)
        return w.T.reshape(shape) if w.shape != shape else w.copy()

    def _reorder(self, name, w, order):
        """Axes that have the length of the common space are in it, but for tables, F_M's rows and states of an LSTM."""
        if name.startswith(("time.", "action.", "number.")) or name.endswith(".U"):
            return w
        if name == "f.W1":  # three blocks of rows
            return w.reshape(3, self.D, self.D)[:, order][:, :, order].reshape(w.shape)
        if w.shape[-1] == self.D:
            w = w[..., order]
        return w[order] if w.ndim == 2 and len(w) == self.D and not name.startswith("F_M.") else w


class NumbaBackend:
    """The same numbers as backend.NumpyBackend, from one compiled call on each thread."""

    name = "numba"

    def __init__(self, model, params, config, step=0, table_scale=1.0):
        if type(model) not in PLANS or type(model.space) not in SPACES:
            raise ValueError(f"{type(model).__name__} with {type(model.space).__name__}: has no kernels, NumPy computes it")
        self.model, self.config, self.step, self.table_scale = model, config, step, table_scale
        self.plan, shapes = PLANS[type(model)], model.shapes()
        self.groups = [*model.space.groups, *(model.user_groups() if isinstance(model, BPRMF) else [])]
        D, K, self.dtype = model.space.width, getattr(model, "K", 1), params[next(iter(shapes))].dtype
        self.order = SpaceOrder(D, K)
        self.D, self.K, self.lanes = Lanes(D), Lanes(K), Lanes(math.gcd(D, 16))
        self.own_shapes = shapes
        self.tables = Flat({n: s for n, s in shapes.items() if n.startswith("table.")}, self.dtype)
        self.biases = Flat({n: s for n, s in shapes.items() if n.startswith("bias.")}, self.dtype)
        rest = [n for n in shapes if not n.startswith(("table.", "bias."))]
        rest.sort(key=lambda name: name in self.plan.written)
        self.threads = 1 if self.plan.alone else min(config.threads, config.shards)
        self.team = team(self.threads)
        self.dense = Flat({n: self.order.shape(n, shapes[n]) for n in rest}, self.dtype, copies=self.threads)
        self.transposed = aligned(self.dense.copies.shape, self.dtype)
        self.summed = [aligned(len(of.array) if config.clip else 1, self.dtype) for of in (self.tables, self.biases)]
        self.pieces = self._pieces()
        self._put(params)
        self.features, self.places = self._features(), self._places()
        self.work, self.room, self.objects = None, (), None

    @property
    def params(self):
        """name -> array in the shapes of the model; big tables are views of the live ones."""
        params = {}
        for name in self.own_shapes:
            if name in self.dense.place:
                params[name] = self._from_kernel(name, self.dense[name])
            else:
                params[name] = (self.tables if name in self.tables.place else self.biases)[name]
        return params

    def warm_up(self, batch):
        """Compiles what training needs, or loads it from the cache, without changing a parameter: seconds taken."""
        begin = time.perf_counter()
        self.scores(batch)
        before, scale = self.step, self.table_scale
        self._train(batch, rate=0.0, l2=0.0)
        self.step, self.table_scale = before, scale
        return time.perf_counter() - begin

    def train_step(self, batch, rate):
        """One step of gradient descent; the loss before it."""
        loss = self._train(batch, rate, self.config.l2)
        self.step += 1
        if self.step % FOLD == 0:
            self.tables.array *= self.dtype.type(self.table_scale)
            for name in filter(lambda n: kind(n) == "table", self.dense.place):
                self.dense[name][...] *= self.dtype.type(self.table_scale)
            self.dense.spread()
            self.table_scale = 1.0
        return loss

    def _put(self, params):
        """Takes over named parameters; big tables may be the views that `params` gave."""
        for name, w in params.items():
            if name in self.dense.place:
                self.dense[name][...] = self._to_kernel(name, w)
            else:
                (self.tables if name in self.tables.place else self.biases)[name][...] = w
        self.dense.spread()
        transpose_all(self.dense.copies, self.transposed, self.pieces)

    def _to_kernel(self, name, w):
        """A dense parameter as the kernels have it: its columns in their order, and a matrix in strips."""
        w, rows = self.order.to_kernel(name, w), self._matrix(name)[0]
        blocks = w.reshape(-1, rows, w.shape[-1]) if rows else []
        return np.concatenate([to_strips(block) for block in blocks]).reshape(w.shape) if rows else w

    def _from_kernel(self, name, w):
        rows, columns = self._matrix(name)
        blocks = w.reshape(-1, rows * columns) if rows else []
        w = np.concatenate([from_strips(block, rows) for block in blocks]).reshape(w.shape) if rows else w
        return self.order.from_kernel(name, w, self.own_shapes[name])

    def _matrix(self, name):
        """Rows and columns of a matrix as products use it; 0, 0 for what is none."""
        shape = self.dense.shapes[name]
        if kind(name) != "weight" or len(shape) == 1 or name in self.plan.unturned:
            return 0, 0
        return (self.D.n if name in self.plan.blocks else math.prod(shape[:-1])), shape[-1]

    def scores(self, batch):
        """Logits of all targets [T], without dropout."""
        self._run(batch)
        return self.work.f[: len(batch.label)].copy()

    def catalogue_scores(self, batch, group):
        """Logits [M] of every object of a group (its index), row 0 too, for the one history of a batch without targets."""
        objects, D, dtype = self.model.space.groups[group].objects, self.D.n, self.dtype
        if not isinstance(self.model, ATRank):
            return self._catalogue_in_blocks(batch, group, objects)
        if self.objects != (group, self.step, self.table_scale):
            # Of all objects at once, kept until the parameters change: h_t and the queries of the vanilla attention.
            self.h, self.query = aligned((objects, D), dtype), aligned((objects, D), dtype)
            self._over_objects(objects, lambda first, last: object_side(
                self.features, self.places, self.dense.array, self.tables.array, dtype.type(self.table_scale), group, first,
                last, aligned(BLOCK * self.features.width[group], dtype), self.h, self.query, self.D))  # fmt: skip
            self.objects = (group, self.step, self.table_scale)
        self._run(batch)
        shard = next(s for s in range(self.config.shards) if self.work.count[s])
        C, value_C = self.work.rows[shard, atrank.ENCODED], self.work.rows[shard, atrank.VALUE_C]
        f, n = np.empty(objects, dtype), int(batch.offsets[-1])
        key_C = np.ascontiguousarray(C[:n, :D] @ self.dense["vanilla.W"])  # queries are many: W is for the keys
        self._over_objects(objects, lambda first, last: catalogue_scores(
            self.places, self.dense.array, self.biases.array, self.model.ranking == "deep", group, key_C, value_C, n, self.h,
            self.query, first, last, aligned((8, BLOCK, D), dtype), np.empty(BLOCK, dtype),
            aligned(max(2 * n * self.K.n, BLOCK * D), dtype), f, self.D, self.K))  # fmt: skip
        return f

    def _catalogue_in_blocks(self, batch, group, objects):
        """The same for a competitor: the history is encoded again for every block of objects."""
        f = np.empty(objects, self.dtype)
        for first in range(0, objects, CHUNK):
            some = np.arange(first, min(first + CHUNK, objects))
            f[some] = self.scores(batch.with_targets(group, some))
        return f

    def _over_objects(self, objects, job):
        """job(first, last) on each thread's part of a catalogue."""
        threads = self.threads
        self.team.run(lambda thread, _: job(objects * thread // threads, objects * (thread + 1) // threads))

    def gradients(self, batch):
        """-> loss, gradients by name, of the next training step: what the compiled step would use."""
        norm = self._run(batch, train=True)
        total = self.work.dP.sum(0)
        gradients = {}
        for name in self.dense.shapes:
            gradient = self.dense.of(total, name)
            if kind(name) == "table":
                used = np.flatnonzero(np.any(gradient != 0, axis=1))
                gradients[name] = sum_rows(used, gradient[used])
            else:
                gradients[name] = self._from_kernel(name, gradient)
        return float(self.work.loss.sum() * norm), gradients | self._table_gradients(batch)

    def _train(self, batch, rate, l2):
        keep = 1 - rate * l2
        if self.config.clip:  # the norm of all gradients is needed before the update
            norm = self._run(batch, train=True)
            self._run(batch, shards=0, update=True, rate=rate * self._clipping(batch), keep=keep)
        else:
            norm = self._run(batch, train=True, update=True, rate=rate, keep=keep)
        self.table_scale *= keep
        return float(self.work.loss.sum() * norm)

    def _clipping(self, batch):
        """What the gradients of the step are multiplied by: `optimizer.clip`."""
        limit, norm = self.config.clip, gradient_norm(self.held, batch, *self.summed)
        return limit / norm if norm > limit else 1.0

    def _run(self, batch, train=False, **how):
        """All shards forward, with `train` also backward; how: what else `_settings` takes.

        Returns what makes the summed loss a mean.
        """
        batch = self.model.space.seen(batch)
        self._make_room(batch, train)
        deal(batch.offsets, batch.target_offsets, self.work.histories, self.work.count)
        settings = self._settings(batch, train, **how)

        def job(thread, arrived):
            self.plan.step(self.held, settings, batch, thread, arrived, self.D, self.K, self.lanes)

        self.team.run(job)
        return settings.norm

    def _settings(self, batch, train, shards=None, update=False, rate=0.0, keep=1.0):
        config = self.config
        dropout = config.dropout if train else 0.0
        count = count_pairs(batch.label, batch.target_offsets) if config.loss == "pair" else len(batch.label)
        return Settings(
            deep=config.ranking == "deep",
            residual=isinstance(self.model, Residual),
            pairwise=config.loss == "pair",
            dropout=dropout,
            key=Dropout(dropout, config.seed, self.step).key if dropout else 0,
            columns=self.order.columns,
            scale=self.table_scale,
            norm=1.0 / max(count, 1),
            shards=config.shards if shards is None else shards,
            train=train,
            update=update,
            rate=rate,
            keep=keep,
        )

    def _make_room(self, batch, train):
        """Workspace for a batch; it grows and is kept, and so is the one value that holds what all steps share."""
        B, N, T = len(batch.offsets) - 1, len(batch.object), len(batch.label)
        n, q = longest(batch.offsets), longest(batch.target_offsets)
        R = max(CHUNK, n + q)
        weight = 2 * n + (KEPT * max(CHUNK, KEPT + q) if train else 0)
        need = (B, max(N + T, 2 * T), R, weight, n, q, T)
        if self.work is not None and all(a <= b for a, b in zip(need, self.room)):
            return
        B, rows, R, weight, n, q, T = self.room = tuple(map(max, need, self.room)) if self.room else need
        self.work = self.held = None  # the old one goes before the new one comes
        shards, D, K = self.config.shards, self.D.n, self.K.n
        ints = lambda *shape: np.zeros((shards, *shape), np.int64)
        numbers = lambda *shape: aligned((shards, *shape), self.dtype)
        self.work = Work(
            histories=ints(B),
            count=ints(),
            offset=ints(2, B + 1),
            number=ints(R),
            order=ints(rows),
            used=ints(),
            place=ints(R),
            du=numbers(rows * int(self.features.width.max())),
            rows=numbers(self.plan.buffers(self.model), R, D + self.plan.apart),
            rstd=numbers(R),
            weight=numbers(weight * K),
            integers=ints(self.plan.integers(self.model), R + 1),
            score=numbers(2 * max(n, 1) * K),
            fold=numbers(max(CHUNK, q), 2 * D * K),
            turned=numbers(2 * D * K),
            local=numbers(2, R),
            f=aligned(T, self.dtype),
            df=aligned(T, self.dtype),
            loss=np.zeros(shards),
            dP=numbers(len(self.dense.array)),
        )
        arrays = self.dense.copies, self.transposed, self.tables.array, self.biases.array, self.pieces
        self.held = hold((self.features, self.places, *arrays, self.work))

    def _table_gradients(self, batch):
        """Rows of the feature tables and item biases, from what the shards left in du."""
        N, found = len(batch.object), {}
        user = np.repeat(batch.user, np.diff(batch.target_offsets))
        groups = np.concatenate([batch.group, batch.target_group, batch.target_group + len(self.model.space.groups)])
        objects = np.concatenate([batch.object, batch.target_object, user])
        for s, used in enumerate(self.work.used):
            number = self.work.order[s, :used]
            width = self.features.width[groups[number]]
            start = np.cumsum(width) - width
            for g, group in enumerate(self.groups):
                mine = np.flatnonzero(groups[number] == g)
                du = self.work.du[s][start[mine][:, None] + np.arange(group.width)]
                self._collect(group, objects[number[mine]], du, found)
                targets = number[mine][number[mine] >= N]
                if f"bias.{group.name}" in self.biases.place:
                    found.setdefault(f"bias.{group.name}", []).append((objects[targets], self.work.df[targets - N]))
        gradients = {}
        for name, parts in found.items():
            ids, values = (np.concatenate(column) for column in zip(*parts))
            gradients[name] = sum_rows(ids[ids > 0], values[ids > 0])
        return gradients

    def _collect(self, group, objects, du, found):
        start = 0
        for column in group.columns:
            part = du[:, start : start + column.size]
            start += column.size
            if column.kind == "tokens":
                ids, offsets = bags_of(column.values, objects)
                size = np.diff(offsets)
                value = np.repeat(part / np.maximum(size, 1)[:, None].astype(self.dtype), size, axis=0)
                found.setdefault(f"table.{column.table}", []).append((ids, value))
            elif column.kind != "number":
                found.setdefault(f"table.{column.table}", []).append((column.values[objects], part))

    def _features(self):
        """The model's features as the kernels read them."""
        columns = [(g, c) for g in self.groups for c in g.columns]
        codes, bag_offsets, numbers, rows = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)], [np.zeros(0, self.dtype)], []
        total = lambda parts: sum(map(len, parts))
        for g, c in columns:
            if c.kind == "tokens":
                rows.append((BAG, c.size, self.tables.place[f"table.{c.table}"], 0, total(bag_offsets)))
                bag_offsets.append(c.values.offsets + total(codes))
                codes.append(c.values.ids)
            elif c.kind == "number":
                w, b = (self.dense.place[f"number.{g.name}.{c.name}.{letter}"] for letter in "wb")
                rows.append((NUMBER, c.size, w, b, total(numbers)))
                numbers.append(c.values)
            else:
                rows.append((LOOKUP, c.size, self.tables.place[f"table.{c.table}"], 0, total(codes)))
                codes.append(c.values)
        kinds, sizes, table, bias, values = np.array(rows).T.copy()
        groups, at = self.groups, self.dense.place
        return Features(
            first_column=np.cumsum([0, *(len(g.columns) for g in groups)]),
            width=np.array([g.width for g in groups]),
            kind=kinds,
            size=sizes,
            table=table,
            bias=bias,
            values=values,
            codes=np.concatenate(codes).astype(np.int32),
            bag_offsets=np.concatenate(bag_offsets),
            numbers=np.concatenate(numbers).astype(self.dtype),
            time=np.array([at.get(f"time.{g.name}", -1) for g in groups]),
            action=np.array([at.get(f"action.{g.name}", -1) for g in groups]),
        )

    def _pieces(self):
        """[., 5]: first and last place, kind, rows and columns of each dense parameter, large ones first.

        Rows and columns of the matrix that a backward pass transposes, 0 if none; some are used in blocks.
        """
        found = []
        for name, first in self.dense.place.items():
            numbers = self.dense[name].size
            sort = TABLE if kind(name) == "table" else DECAYED if is_decayed(name) else REST
            found.append((first, first + numbers, sort, *self._matrix(name)))
        return np.array(sorted(found, key=lambda piece: piece[0] - piece[1]), np.int64).reshape(-1, 5)

    def _places(self):
        at, groups = self.dense.place, self.groups
        bias = self.biases.place
        space = SpaceAt(
            F_M_W=np.array([at.get(f"F_M.{g.name}.W", -1) for g in groups]),
            F_M_b=np.array([at.get(f"F_M.{g.name}.b", -1) for g in groups]),
            item_bias=np.array([bias.get(f"bias.{g.name}", -1) for g in groups]),
            target_action=np.array([g.target_action for g in groups]),
        )
        deep = DeepAt(*(at.get(f"f.{n}", 0) for n in DeepAt._fields))
        return self.plan.places_of(self.model, space, deep, at)
