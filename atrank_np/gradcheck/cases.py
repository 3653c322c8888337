"""Small random inputs that contain every difficult case. Gradient checks, tests and lessons use them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Floats
from ..config import Config, defaults
from ..datasets.catalogue import Bag
from ..datasets.packing import Batch
from ..layers import attention, convolution, embedding, feedforward, lstm, perceptron, ranking
from ..models import Model, make_model, make_space
from ..models.cnn import CNN
from ..models.common_space import FeatureColumn, GroupSpace
from ..models.spaces import RawQuery
from ..models.variants import CLASSES
from ..parameters import Params, has_unknown, kind

MODULES = (perceptron, embedding, attention, feedforward, ranking, lstm, convolution)
LAYERS: dict[str, Any] = {name: value for module in MODULES for name, value in vars(module).items()}


def layer_cases(rng: np.random.Generator) -> dict[str, tuple[dict[str, Any], list[str]]]:
    """Layer -> (inputs by name, names of the differentiated ones).

    Sizes are small and distinct, so that no transposed array can pass. Ids repeat. Bags, histories and lists of targets have
    zero, one and many entries.
    """

    def r(*shape: int) -> Floats:
        return rng.standard_normal(shape)

    N, I, O, V, E, T = 7, 5, 3, 5, 3, 7
    K, d, D, Q, n = 3, 2, 6, 11, 13
    query_offsets, offsets = np.array([0, 2, 5, 5, 11]), np.array([0, 0, 1, 6, 13])
    ids = np.array([2, 0, 2, 4, 1, 2, 4])
    attended: dict[str, Any] = dict(query=r(Q, D), key=r(n, D), value=r(n, D), query_offsets=query_offsets, offsets=offsets, K=K)
    attention: dict[str, Any] = dict(x=r(Q, D), m=r(n, D), P_W=r(D, D), P_b=r(D), W=0.3 * r(K, d, D), Q_W=r(D, D), Q_b=r(D))
    attention |= dict(query_offsets=query_offsets, offsets=offsets)
    norm = dict(gain=1 + 0.5 * r(I), bias=r(I))
    hidden = dict(x=r(N, I), W1=r(I, O), b1=r(O), W2=r(O, I), b2=r(I), **norm)
    mask = np.where(rng.random((N, I)) < 0.4, 0, 1 / 0.6)
    deep = dict(h=r(T, I), e=r(T, I), W1=r(3 * I, O), b1=r(O), w2=r(O, 1), b2=r(1))
    recurrent = dict(x=r(n, I), W=r(I, 4 * E), U=r(E, 4 * E), b=r(4 * E), offsets=offsets)
    several: dict[str, Any] = dict(  # histories without negatives, targets, positives; two positives
        f=3 * r(T + 4), log_q=r(T + 4), label=np.array([1, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0.0])
    )
    several["target_offsets"] = np.array([0, 5, 6, 6, 8, 11])
    pairs = dict(positive=np.array([0, 0, 3, 4]), negative=np.array([1, 2, 5, 5]))
    cases: dict[str, tuple[dict[str, Any], str]] = {
        "linear": (dict(x=r(N, I), W=r(I, O), b=r(O)), "x W b"),
        "relu": (dict(x=r(N, I)), "x"),
        "perceptron": (dict(x=r(N, I), W=r(I, O), b=r(O)), "x W b"),
        "lookup": (dict(table=r(V, E), ids=ids), "table"),
        "bag": (dict(table=r(V, E), ids=np.array([1, 1, 3, 0, 2, 1]), offsets=np.array([0, 0, 2, 3, 3, 6])), "table"),
        "number": (dict(x=r(N), w=r(E), b=r(E)), "w b"),
        "softmax": (dict(x=r(N, I)), "x"),
        "attend": (attended, "query key value"),
        "attention": (attention, "x m P_W P_b W Q_W Q_b"),
        "layer_norm": (dict(x=r(N, I), **norm), "x gain bias"),
        "feed_forward": (hidden | dict(mask=mask), "x W1 b1 W2 b2 gain bias"),
        "broadcast_user": (dict(v=r(4, D), target_offsets=np.array([0, 2, 2, 3, 7])), "v"),
        "cell": (dict(z=r(N, 4 * E), c=r(N, E)), "z c"),
        "lstm": (recurrent | dict(backwards=False), "x W U b"),
        "ends": (dict(y=r(n, 2 * E), offsets=offsets), "y"),
        "convolution": (dict(x=r(n, I), W=r(3, I, O), b=r(O), offsets=offsets), "x W b"),
        "dot": (dict(h=r(T, D), e=r(T, D)), "h e"),
        "deep": (deep, "h e W1 b1 w2 b2"),
        "pointwise": (dict(f=3 * r(T), label=np.array([1.0, 0, 0, 1, 1, 0, 0])), "f"),
        "pairwise": (dict(f=3 * r(T), **pairs), "f"),
        "softmax_loss": (several, "f"),
    }
    return {name: (inputs, differentiated.split()) for name, (inputs, differentiated) in cases.items()}


class Problem(NamedTuple):
    """A model with parameters and a batch; tables are stored divided by table_scale."""

    model: Model
    params: Params
    batch: Batch
    table_scale: float
    config: Config


def toy_problem(
    rng: np.random.Generator, model: str = "atrank", variant: str = "", trained: bool = True, **settings: Any
) -> Problem:
    """A small problem in float64. settings: fields of Config.

    It has three groups of different widths (the variants with raw queries need all as wide as the model), and a table that two
    features share. It has ids, categories, numbers and bags of tokens, unknown and repeated objects, empty bags, and histories
    of 0, 1 and many behaviours.

    trained: biases are not 0 and gains not 1. Otherwise the parameters are initial ones, and no history is empty: with biases
    of exactly 0 its target would be at the kink of F_vanilla's relu.
    """
    own: dict[str, Any] = dict(width=6, spaces=3, model=model, variant=variant, backend=defaults(variant=variant).backend)
    config = Config(**(own | settings))
    raw = issubclass(CLASSES[variant][1], RawQuery)
    item, shared, price, word, coupon = (2, 2, 2, 4, 6) if raw else (5, 3, 3, 4, 2)
    tokens = Bag(np.array([1, 2, 3, 1, 1, 0, 4], np.int32), np.array([0, 0, 2, 2, 5, 7]))

    def category(*values: int) -> FeatureColumn:
        return FeatureColumn("category", "categorical", "category", shared, np.array(values, np.int32))

    groups = [
        GroupSpace(
            "items",
            (
                FeatureColumn("object", "id", "item", item, np.arange(7)),
                category(0, 1, 2, 3, 1, 2, 1),
                FeatureColumn("price", "number", "price", price, np.append(0, rng.standard_normal(6))),
            ),
            *(item + shared + price, 5, config.places, 7),  # width, buckets, row of the target's action, objects
        ),
        GroupSpace(
            "queries",
            (FeatureColumn("words", "tokens", "word", word, tokens), category(0, 3, 3, 0, 1)),
            *(word + shared, 4, 0, 5),
        ),
        GroupSpace("coupons", (FeatureColumn("object", "id", "coupon", coupon, np.arange(4)),), coupon, 3, 2 * config.places, 4),
    ]
    space = make_space(config, groups, config.width, 3, {"item": 7, "category": 4, "word": 5, "coupon": 4}, config.item_bias)
    net = CNN(space, config.ranking, windows=4, maps=5) if model == "cnn" else make_model(config, space, users=5)
    params = net.init(int(rng.integers(1000)), dense=0.8, table=1.0, dtype=np.float64)
    for name, w in params.items():
        if trained and kind(name) not in ("weight", "table"):
            w += 0.5 * rng.standard_normal(w.shape)
        if has_unknown(name):
            w[0] = 0
    lengths = [0, 1, 4, 2, 10] if trained else [1, 3, 4, 2, 7]
    return Problem(net, params, random_batch(rng, groups, lengths, [2, 3, 2, 4, 2]), 0.7, config)


def random_batch(rng: np.random.Generator, groups: Sequence[GroupSpace], lengths: Sequence[int], targets: Sequence[int]) -> Batch:
    """Histories of these lengths, with these numbers of targets.

    Row i is a behaviour of group i modulo the number of groups; the targets of history b are of group b modulo that number.
    The first half of a history's targets, at least one, is positive. A positive is never the unknown object.
    """
    group = np.arange(sum(lengths)) % len(groups)
    target_group = np.repeat(np.arange(len(targets)) % len(groups), targets)
    objects, buckets = np.array([(g.objects, g.buckets) for g in groups]).T
    label = np.concatenate([np.arange(n) < max(1, n // 2) for n in targets])
    object = rng.integers(objects[group], dtype=np.int32)
    bucket = rng.integers(buckets[group], dtype=np.int32)
    return Batch(
        offsets=np.append(0, np.cumsum(lengths)),
        group=group.astype(np.int8),
        object=object,
        bucket=bucket,
        action=rng.integers(3, size=len(group), dtype=np.int16),
        target_offsets=np.append(0, np.cumsum(targets)),
        target_group=target_group.astype(np.int8),
        target_object=rng.integers(label, objects[target_group], dtype=np.int32),
        label=label.astype(np.float32),
        user=np.arange(len(lengths), dtype=np.int32) % 4,
        elapsed=(0.75 * 2.0**bucket).astype(np.float32),
        log_q=((1 - label) * np.sin(1 + np.arange(len(label)))).astype(np.float32),
    )
