"""The packed arguments of a step: what they hold, and how they are made."""

from typing import NamedTuple

import numpy as np

from .attention import KEPT, AttentionWork
from .layout import aligned, rows
from .packed import pack
from .ranking import DeepCache

CHUNK = 128  # rows of a chunk, unless one history has more; a matter of speed alone


class Task(NamedTuple):
    """What a step is told to do: what changes from step to step."""

    shards: int  # how many go forward here; 0: the update alone
    train: int  # backward, too
    update: int  # and descend
    scale: float  # the tables are stored divided by it
    keep: float  # what a weight keeps, 1 - rate · l2
    rate: float
    row_rate: float  # of tables and item biases


class Settings(NamedTuple):
    """What a step is told besides arrays: the same, and what stays."""

    residual: int  # around the self-attention: not in the equations as printed
    loss: object  # None: the point-wise one; or PAIR or SOFTMAX of `ranking`
    dropout: object  # Dropout, or None
    vectors: object  # Vectors to be written when nothing is trained, or None
    sums: int  # how many rows of dP are added: one for each shard, or one where the ranks have added them
    shards: int = 0
    train: int = 0
    update: int = 0
    scale: float = 1.0
    keep: float = 1.0
    rate: float = 0.0
    row_rate: float = 0.0
    norm: float = 1.0  # 1 / the terms of the batch's loss
    piece: int = 0  # which part of its histories a shard does, of so many: see `exchange`
    pieces: int = 1


class Vectors(NamedTuple):
    """The two sides of all scores of a batch: f = h · e + bias."""

    h: np.ndarray  # [T, D]
    e: np.ndarray  # [T, D]
    bias: np.ndarray  # [T]


class Rule(NamedTuple):
    """`optimizer.Rule`, and its moments of tables and item biases: lists of Group like those with the parameters."""

    sums: list  # zeros between two steps: here the gradients of a row add up
    means: list  # Adagrad has the sums here: its mean is the gradient
    squares: list
    beta1: float
    beta2: float
    gamma: float
    epsilon: float
    correction: float = 1.0  # 1 / √c₂ of the step; c₁ is in its rates
    clipping: float = 1.0  # what its gradients are multiplied by


class Chunk(NamedTuple):
    """The chunk of a shard that is worked on, and what stays of all its chunks. R is the most rows that a chunk has."""

    histories: np.ndarray  # [B] those of the shard
    offsets: np.ndarray  # [B+1] the first behaviour of each history of the chunk
    target_offsets: np.ndarray  # [B+1] and its first target
    number: np.ndarray  # [R] for each row of the chunk its number in the batch; targets follow the N behaviours
    place: np.ndarray  # [R] for each row of the chunk, in the order of du, where it stands in the chunk
    order: np.ndarray  # [.] of all chunks: for each row its number in the batch; rows stand group by group
    du: np.ndarray  # [.] of all chunks: embeddings u, then their gradients
    count: int = 0  # histories of the shard
    first: int = 0  # the chunk is histories[first … last-1]
    last: int = 0
    n: int = 0  # its behaviours
    q: int = 0  # its targets
    row: int = 0  # its first row in order
    rows: int = 0  # rows so far
    u: int = 0  # its first number in du
    next_u: int = 0


class Shard(NamedTuple):
    """One per shard: reused from step to step."""

    chunk: Chunk
    loss: float
    f: np.ndarray  # [R] of the chunk's targets
    df: np.ndarray  # [R]
    gradients: object  # of the model's parameters
    dP: np.ndarray  # the same as one flat array
    buffers: object  # the model's rows of a chunk
    attention: object  # AttentionWork
    deep: object  # DeepCache, or None
    spare: np.ndarray  # [R, D] two spares where the rows stand group by group, if there are several groups
    spare2: np.ndarray


class Thread(NamedTuple):
    """A thread's copy of the dense parameters: a line of the cache that another core wrote is slow to read."""

    own: object  # the model's parameters
    own_T: object  # the same with the matrices transposed
    P: np.ndarray  # the same as one flat array
    matrices: list  # [TransposedPair]
    mean: object  # the moments of P, or None for SGD
    square: object


class TransposedPair(NamedTuple):
    """A matrix and its transpose."""

    W: object
    W_T: object


class Piece(NamedTuple):
    """A dense parameter in the flat array."""

    first: int
    last: int
    kind: int


class Assignment(NamedTuple):
    """What `workspace.assign_to_shards` works with."""

    order: np.ndarray  # [B] the histories, the most costly first
    spare: np.ndarray  # [B]
    cost: np.ndarray  # [B] of each history
    work: np.ndarray  # [shards of all ranks] the sum of the costs of each


class Room(NamedTuple):
    """For what batches there is room."""

    histories: int
    rows: int  # behaviours and targets
    targets: int
    behaviours: int  # of a history
    targets_of_one: int
    rows_of_one: int


class Context(NamedTuple):
    """All that a step works on, as packed arguments."""

    batch: object
    settings: Settings
    groups: list  # [Group]
    threads: list  # [Thread]
    rule: object  # Rule, or None for SGD
    shards: list  # [Shard]
    chunks: list  # [Chunk] those of the shards
    finished: list  # [Chunk] the same; or one with the rows of all shards, where other ranks have some
    pieces: list  # [Piece]
    dP: np.ndarray  # [shards · numbers] the shards' gradients, one after another
    f: np.ndarray  # [T] scores, of the whole batch
    df: np.ndarray  # [T] the loss's derivative by them
    assignment: object  # Assignment
    room: Room


# How they are made


def make_chunk(room, parameters):
    """The Chunk, packed, that any shard of a batch may need for which there is room."""
    B, R, ints = room.histories, max(CHUNK, room.rows_of_one), lambda n: np.zeros(n, np.int64)
    width, places = max(group.width for group in parameters.model.space.groups), max(room.rows, 2 * room.targets)  # BPR-MF: users
    du = aligned(places * width, parameters.dtype)
    return pack(Chunk(ints(B), ints(B + 1), ints(B + 1), ints(R), ints(R), ints(places), du))


def make_shard(room, parameters, dP, before):
    """The Shard for such a room, with the flat array of its gradients. before: one of the same thread, to share a workspace."""
    if before is not None:
        return before._replace(chunk=make_chunk(room, parameters), gradients=parameters.tuple_of(dP), dP=dP)
    D, K, dtype, model = parameters.D, parameters.order.K, parameters.dtype, parameters.model
    n, q, R = room.behaviours, room.targets_of_one, max(CHUNK, room.rows_of_one)
    numbers = lambda *shape: aligned(shape, dtype)
    attention = AttentionWork(
        # A history with kept weights has at most (q + n + 2) / 2 pairs of queries, behaviours and targets, of KEPT keys.
        weight=numbers(n + (KEPT // 2 + 1) * max(CHUNK, KEPT + q), 2 * K),
        dscore=numbers(max(n, 1), 2 * K),
    )
    return Shard(
        chunk=make_chunk(room, parameters),
        loss=0.0,
        f=numbers(R),
        df=numbers(R),
        gradients=parameters.tuple_of(dP),
        dP=dP,
        buffers=parameters.spec.make_buffers(model, R, dtype),
        attention=attention,
        deep=make_deep_cache(R, parameters),
        spare=rows(R, D, dtype),
        spare2=rows(R, D, dtype),
    )


def make_deep_cache(R, parameters):
    """DeepCache, or None for a plain f."""
    return DeepCache(*(rows(R, parameters.D, parameters.dtype) for _ in range(3))) if parameters.model.ranking == "deep" else None
