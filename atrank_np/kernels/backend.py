"""The numba backend: parameters in flat arrays for the compiled step, and back under their names."""

import math
import time

import numpy as np

from ..layers.embedding import sum_rows
from ..models.atrank import ATRank
from ..models.bilstm import BiLSTM, BiLSTMAttention
from ..models.bpr_mf import BPRMF
from ..models.cnn import CNN
from ..models.common_space import CommonSpace, bags_of
from ..models.variants import NoTime, Residual
from ..optimizer import FOLD
from ..parameters import is_decayed, kind
from ..randomness import Dropout as Masks
from . import atrank, bilstm, bpr_mf, cnn
from .attention import KEPT, AttentionWork
from .catalogue import BLOCK, CatalogueWork, object_side, score_catalogue
from .embedding import Bag, Group, Groups, Lookup, Number
from .feedforward import Dropout
from .layout import Flat, SpaceOrder, aligned
from .layout import rows as rows_of_D
from .packed import Items, pack
from .products import from_strips, to_strips
from .ranking import DeepCache
from .spec import KernelSpec, Named
from .step import DECAYED, REST, TABLE, begin, gradient_norm, transpose_matrices
from .threads import team
from .workspace import CHUNK, Chunk, Context, Piece, Room, Settings, Shard, Thread, Turned

ATRANK = KernelSpec(atrank.step, atrank.parameters_of, atrank.Buffers, by_rows=("vanilla.W",))
SPECS = {
    ATRank: ATRANK,
    Residual: ATRANK,
    CNN: KernelSpec(cnn.step, cnn.parameters_of, cnn.Buffers, cnn.wide_buffers),
    BPRMF: KernelSpec(bpr_mf.step, bpr_mf.parameters_of, bpr_mf.Buffers, alone=True),
    BiLSTM: KernelSpec(bilstm.step, bilstm.parameters_of, bilstm.Buffers, bilstm.wide_buffers),
    BiLSTMAttention: KernelSpec(bilstm.attention_step, bilstm.attention_parameters_of, bilstm.Buffers, bilstm.wide_buffers),
}
SPACES = (CommonSpace, NoTime)


class NumbaBackend:
    """The same numbers as backend.NumpyBackend, from one compiled call on each thread."""

    name = "numba"

    def __init__(self, model, params, config, step=0, table_scale=1.0):
        if type(model) not in SPECS or type(model.space) not in SPACES:
            raise ValueError(f"{type(model).__name__} with {type(model.space).__name__}: has no kernels, NumPy computes it")
        self.model, self.config, self.step, self.table_scale = model, config, step, table_scale
        self.spec, self.own_shapes = SPECS[type(model)], model.shapes()
        self.groups = [*model.space.groups, *(model.user_groups() if isinstance(model, BPRMF) else [])]
        self.D, self.K, self.dtype = model.space.width, getattr(model, "K", 1), params[next(iter(self.own_shapes))].dtype
        self.order = SpaceOrder(self.D, self.K)
        self.threads = 1 if self.spec.alone else min(config.threads, config.shards)
        self.team = team(self.threads)
        of = lambda kinds: {n: s for n, s in self.own_shapes.items() if n.startswith(kinds)}
        self.tables, self.biases = Flat(of("table."), self.dtype), Flat(of("bias."), self.dtype)
        rest = [n for n in self.own_shapes if n not in self.tables and n not in self.biases]
        self.dense = Flat({n: self.order.shape(n, self.own_shapes[n]) for n in rest}, self.dtype, copies=self.threads)
        self.transposed = aligned(self.dense.copies.shape, self.dtype)
        self._take(params)
        # What all workspaces share, packed once.
        self.packed_groups = [pack(group) for group in self._groups(self.tables, self.biases)]
        self.packed_threads = [pack(self._thread(t)) for t in range(self.threads)]
        self.pieces = Items([pack(piece) for piece in self._pieces()], Piece(0, 0, REST))
        self.context, self.dtypes, self.room, self.objects, self.summed = None, None, Room(*[0] * 6), None, None

    @property
    def params(self):
        """name -> array in the shapes of the model; big tables are views of the live ones."""
        params = {}
        for name in self.own_shapes:
            if name in self.dense:
                params[name] = self._from_kernel(name, self.dense[name])
            else:
                params[name] = (self.tables if name in self.tables else self.biases)[name]
        return params

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
            self.tables.array *= self.dtype.type(self.table_scale)
            for name in filter(lambda n: kind(n) == "table", self.dense.place):
                self.dense[name][...] *= self.dtype.type(self.table_scale)
            self.dense.spread()
            self.table_scale = 1.0
        return loss

    def gradients(self, batch):
        """-> loss, gradients by name, of the next training step: what the compiled step would use."""
        norm = self._run(batch, train=1)
        total, gradients = self.dP.sum(0), {}
        for name in self.dense.shapes:
            gradient = self.dense.of(total, name)
            if kind(name) == "table":
                used = np.flatnonzero(np.any(gradient != 0, axis=1))
                gradients[name] = sum_rows(used, gradient[used])
            else:
                gradients[name] = self._from_kernel(name, gradient)
        return self._loss(norm), gradients | self._table_gradients(batch)

    def scores(self, batch):
        """Logits of all targets [T], without dropout."""
        self._run(batch)
        return self.f[: len(batch.label)].copy()

    def catalogue_scores(self, batch, group):
        """Logits [M] of every object of a group (its index), row 0 too, for the one history of a batch without targets."""
        if not isinstance(self.model, ATRank):
            return self._catalogue_in_blocks(batch, group)
        objects, D, K, dtype = self.model.space.groups[group].objects, self.D, self.K, self.dtype
        self._run(batch)
        own = self.packed_threads[0]
        numbers = lambda *shape: aligned(shape, dtype)
        rows = lambda n: rows_of_D(n, D, dtype)
        if self.objects != (group, self.step, self.table_scale):
            # Of all objects at once, kept until the parameters change: h_t and the queries of the vanilla attention.
            self.h, self.query = rows(objects), rows(objects)
            self.objects = (group, self.step, self.table_scale)
            new = 1
        else:
            new = 0
        s = next(s for s, chunk in enumerate(self.chunks) if chunk.count)
        C, value_C, n = self.buffers[s].C, self.buffers[s].value_C, int(batch.offsets[-1])
        key_C = rows(n)
        key_C[:] = C[:n] @ self.dense["vanilla.W"]  # queries are many: W is for the keys
        f = np.empty(objects, dtype)
        width = self.groups[group].width

        def job(thread, _):
            deep = self._deep_cache(BLOCK)
            work = CatalogueWork(
                key_C=key_C,
                value_C=value_C[:n],
                h=self.h,
                query=self.query,
                f=f,
                no_matrix=numbers(0, D),
                u=numbers(BLOCK * width),
                X=rows(BLOCK),
                hidden=rows(BLOCK),
                out=rows(BLOCK),
                normed=rows(BLOCK),
                rstd=numbers(BLOCK),
                e=rows(BLOCK),
                weight=numbers(max(2 * n, BLOCK * D // K + 1), K),
                score=numbers(max(n, 1), 2 * K),
                folded=numbers(0, 2 * K),
                values=numbers(max(BLOCK, D) * D),
                deep=deep,
            )
            part = [objects * t // self.threads for t in (thread, thread + 1)]
            work = pack(work)
            if new:
                object_side(self.context, own, work, group, *part)
            score_catalogue(self.context, own, work, group, *part)

        self.team.run(job)
        return f

    def _catalogue_in_blocks(self, batch, group):
        """The same for a competitor: the history is encoded again for every block of objects."""
        f = np.empty(self.model.space.groups[group].objects, self.dtype)
        for first in range(0, len(f), CHUNK):
            some = np.arange(first, min(first + CHUNK, len(f)))
            f[some] = self.scores(batch.with_targets(group, some))
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
            tables, biases = (Flat(flat.shapes, self.dtype) for flat in (self.tables, self.biases))
            self.summed = pack(Groups(self._groups(tables, biases)))
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

    # Packed arguments

    def _make_room(self, batch):
        """Workspace for a batch; it grows and is kept."""
        n, q = (int(np.diff(o).max(initial=0)) for o in (batch.offsets, batch.target_offsets))
        need = Room(len(batch.offsets) - 1, len(batch.object) + len(batch.label), n, q, n + q, len(batch.label))
        self.room = Room(*map(max, need, self.room))
        self.context = self.shards = self.chunks = self.buffers = self.dP = None  # the old one goes before the new one comes
        shards, dtype = self.config.shards, self.dtype
        self.dP = aligned((shards, len(self.dense.array)), dtype)
        made = [self._shard(s) for s in range(shards)]
        self.chunks, self.buffers = [shard.chunk for shard in made], [shard.buffers for shard in made]
        self.shards = [pack(shard) for shard in made]
        self.f, self.df = aligned(self.room.targets, dtype), aligned(self.room.targets, dtype)
        column = np.ascontiguousarray(self.order.columns)
        self.dropout = pack(Dropout(0.0, 0, column, aligned((1, self.D), dtype))) if self.config.dropout else None
        self.settings = pack(
            Settings(
                0,
                0,
                0,
                int(isinstance(self.model, Residual)),
                1 if self.config.loss == "pair" else None,
                self.dropout,
                1.0,
                1.0,
                0.0,
                1.0,
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
                pieces=self.pieces,
                dP=self.dP.reshape(-1),
                f=self.f,
                df=self.df,
                histories_by_cost=np.zeros(self.room.histories, np.int64),
                cost=np.zeros(self.room.histories),
                room=self.room,
            )
        )
        transpose_matrices(self.context)

    def _shard(self, s):
        B, rows, n, q, R, T = self.room
        rows = max(rows, 2 * T)  # in BPR-MF a target's user has a row, too
        R, D, K = max(CHUNK, R), self.D, self.K
        ints, numbers = (lambda *shape: np.zeros(shape, np.int64)), (lambda *shape: aligned(shape, self.dtype))
        wide, own = self.spec.wide_buffers(self.model, R, self.dtype), self.spec.buffers
        make = lambda name: numbers(R) if name == "rstd" else rows_of_D(R, D, self.dtype)
        buffers = own(*(wide[name] if name in wide else make(name) for name in own._fields))
        attention = AttentionWork(
            weight=numbers(2 * n + KEPT * max(CHUNK, KEPT + q), K),
            score=numbers(max(n, 1), 2 * K),
            folded=numbers(max(CHUNK, q) * D, 2 * K),
            turned=numbers(2 * K, D),
            no_matrix=numbers(0, D),
        )
        gradients = self.spec.parameters(self._named(self.dP[s]), self.model)
        chunk = Chunk(
            histories=ints(B),
            count=0,
            cost=0.0,
            first=0,
            last=0,
            n=0,
            q=0,
            offsets=ints(B + 1),
            target_offsets=ints(B + 1),
            number=ints(R),
            place=ints(R),
            row=0,
            rows=0,
            u=0,
            next_u=0,
            order=ints(rows),
            du=numbers(rows * max(g.width for g in self.groups)),
        )
        return Shard(pack(chunk), 0.0, numbers(R), numbers(R), gradients, self.dP[s], buffers, attention, self._deep_cache(R))

    def _deep_cache(self, R):
        return DeepCache(*(rows_of_D(R, self.D, self.dtype) for _ in range(3))) if self.model.ranking == "deep" else None

    def _named(self, array, transposes=None):
        return Named(self.dense, array, self._matrix, transposes)

    def _thread(self, t):
        own, own_T = self._named(self.dense.copies[t]), self._named(self.dense.copies[t], self.transposed[t])
        names = [name for name in self.dense.place if self._matrix(name)[0]]
        blocks = lambda name: self.dense[name].size // math.prod(self._matrix(name))
        make = self.spec.parameters
        example = Turned(own.matrix(""), own.matrix(""))
        matrices = Items(own.turned(own_T, names, blocks), example)
        return Thread(make(own, self.model), make(own_T, self.model), self.dense.copies[t], matrices)

    def _groups(self, tables, biases):
        """[Group], with these tables and item biases."""
        columns = [c for g in self.groups for c in g.columns]
        bags, numbers = (any(c.kind == kind for c in columns) for kind in ("tokens", "number"))
        none, no_codes, no_offsets = tables.array[:0], np.zeros(0, np.int32), np.zeros(0, np.int64)
        examples = Lookup(0, 0, none, no_codes), Bag(0, 0, none, no_codes, no_offsets), Number(0, 0, none)
        found = []
        for g in self.groups:
            start, kinds = 0, ([], [], [])
            for c in g.columns:
                table = None if c.kind == "number" else tables[f"table.{c.table}"].reshape(-1)
                if c.kind == "tokens":
                    kinds[1].append(Bag(start, c.size, table, c.values.ids.astype(np.int32), c.values.offsets.astype(np.int64)))
                elif c.kind == "number":
                    kinds[2].append(Number(start, c.size, c.values.astype(self.dtype)))
                else:
                    kinds[0].append(Lookup(start, c.size, table, c.values.astype(np.int32)))
                start += c.size
            lookups, own_bags, own_numbers = map(Items, kinds, examples)
            bias = biases[f"bias.{g.name}"] if f"bias.{g.name}" in biases else none  # noqa: SIM401  Flat is no dict
            found.append(
                Group(g.width, g.target_action, bias, lookups, own_bags if bags else None, own_numbers if numbers else None)
            )
        return found

    def _pieces(self):
        for name, first in self.dense.place.items():
            sort = TABLE if kind(name) == "table" else DECAYED if is_decayed(name) else REST
            yield Piece(first, first + self.dense[name].size, sort)

    # Parameters, to the kernels and back

    def _take(self, params):
        """Takes over named parameters; big tables may be the views that `params` gave."""
        for name, w in params.items():
            if name in self.dense:
                self.dense[name][...] = self._to_kernel(name, w)
            else:
                (self.tables if name in self.tables else self.biases)[name][...] = w
        self.dense.spread()

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
        if kind(name) != "weight" or len(shape) == 1 or name in self.spec.by_rows:
            return 0, 0
        return (self.D if name in self.spec.blocks else math.prod(shape[:-1])), shape[-1]

    # Gradients by name

    def _table_gradients(self, batch):
        """Rows of the feature tables and item biases, from what the shards left in du."""
        N, found = len(batch.object), {}
        user = np.repeat(batch.user, np.diff(batch.target_offsets))
        groups = np.concatenate([batch.group, batch.target_group, batch.target_group + len(self.model.space.groups)])
        objects = np.concatenate([batch.object, batch.target_object, user])
        widths = np.array([group.width for group in self.groups])
        for chunk in self.chunks:
            number = chunk.arrays("order")[: chunk.rows]
            width = widths[groups[number]]
            start = np.cumsum(width) - width
            for g, group in enumerate(self.groups):
                mine = np.flatnonzero(groups[number] == g)
                du = chunk.arrays("du")[start[mine][:, None] + np.arange(group.width)]
                self._collect(group, objects[number[mine]], du, found)
                targets = number[mine][number[mine] >= N]
                if f"bias.{group.name}" in self.biases:
                    found.setdefault(f"bias.{group.name}", []).append((objects[targets], self.df[targets - N]))
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
