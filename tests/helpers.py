"""For several tests: the checks of layers, and the paper's equations as literal loops over one history at a time."""

import copy
import inspect
import re

import numpy as np
import pytest

from atrank_np.gradcheck import check_layer, redrawn
from atrank_np.gradcheck.cases import LAYERS, layer_cases
from atrank_np.optimizer import unscaled


def pair_of(layers, name):
    if not hasattr(layers, f"{name}_forward"):
        pytest.skip("no kernel of its own")
    return getattr(layers, f"{name}_forward"), getattr(layers, f"{name}_backward")


def assert_gradients(layers, name, draws=3, **changes):
    """Checks every entry of every input of a layer, at several draws; `changes` replace inputs of the case."""

    def draw(rng):
        inputs, differentiated = layer_cases(rng)[name]
        return check_layer(*pair_of(layers, name), inputs | changes, differentiated, rng)

    for seed in range(draws):
        wrong = [str(check) for check in redrawn(draw, seed)[0] if not check.ok]
        assert not wrong, "\n".join([name, *wrong])


def shapes_on_the_def_line(function):
    """-> two lists of shapes, such as ["N,D", "4H"]: those of the arguments and those of what is returned."""
    comment = re.search(r"  # (.* -> .*)", inspect.getsource(function))[1].replace("number", "[]")
    left, right = (re.findall(r"\[(.*?)\]|(Rows)", side) for side in comment.split(" -> "))
    return [shape for shape, _ in left], [shape or rows for shape, rows in right]


def dimensions(shape):
    """(factor, letters, more) of each dimension: [3D,B+1,1] has (3, D, 0), (1, B, 1) and (1, "", 0)."""
    found = [re.fullmatch(r"(\d*)([A-Za-z]*)\+?(\d*)", dimension).groups() for dimension in shape.split(",") if dimension]
    return [(int(factor or 1), letters, int(more or 0)) for factor, letters, more in found]


def sizes_of(inputs, shapes):
    """Letter -> number, for the letters in the shapes of some inputs, name -> array; T also by the offsets of the targets."""
    sizes = {}
    for array, shape in zip(inputs.values(), shapes):
        if "..." not in shape:
            for (factor, letters, more), size in zip(dimensions(shape), np.shape(array)):
                sizes.setdefault(letters, (size - more) // factor)
    if "target_offsets" in inputs:
        sizes["T"] = inputs["target_offsets"][-1]
    return sizes | {"": 1}


def assert_shape(array, shape, sizes):
    """An array has the shape that a comment gives it; "..." stands for any."""
    if "..." not in shape:
        expected = tuple(factor * sizes[letters] + more for factor, letters, more in dimensions(shape))
        assert np.shape(array) == expected, f"[{shape}] is {expected}, the array has {np.shape(array)}"


def assert_shapes(layers, name):
    """Inputs, outputs and gradients of a layer have the shapes on its def lines. Outputs and gradients have the dtype of the
    inputs. A gradient has the shape of its input, or is Rows of it."""
    forward, backward = pair_of(layers, name)
    (shapes, out), (upstream, back) = (shapes_on_the_def_line(LAYERS[f"{name}_{way}"]) for way in ("forward", "backward"))
    for dtype in (np.float64, np.float32) if forward is LAYERS[f"{name}_forward"] else (np.float64,):
        inputs, differentiated = layer_cases(np.random.default_rng(0))[name]
        inputs = {k: v.astype(dtype) if getattr(v, "dtype", None) == np.float64 else v for k, v in inputs.items()}
        sizes = sizes_of(inputs, shapes)
        for array, shape in zip(inputs.values(), shapes):
            assert_shape(array, shape, sizes)
        *outputs, cache = forward(*inputs.values())
        for y, shape, upstream_shape in zip(outputs, out, upstream, strict=True):
            assert_shape(y, shape, sizes)
            assert_shape(y, upstream_shape, sizes)
            assert "..." not in shape or y.shape == inputs["x"].shape
            assert np.asarray(y).dtype == dtype
        gradients = backward(*(np.ones_like(y) if np.ndim(y) else 1.0 for y in outputs), cache)
        gradients = gradients if type(gradients) is tuple else (gradients,)
        for gradient, shape, key in zip(gradients, back, differentiated, strict=True):
            x, values = inputs[key], gradient
            if shape == "Rows":
                ids, values = gradient
                assert ids.dtype.kind == "i" and (np.diff(ids) > 0).all(), ids
                assert values.shape == (len(ids), *x.shape[1:])
            else:
                assert_shape(gradient, shape, sizes)
                assert gradient.shape == x.shape, f"d{key} has {gradient.shape}, {key} has {x.shape}"
            assert values.dtype == dtype


def assert_unchanged(layers, name):
    """Neither pass writes into its arguments."""
    rng = np.random.default_rng(0)
    forward, backward = pair_of(layers, name)
    inputs, _ = layer_cases(rng)[name]
    before = copy.deepcopy(inputs)
    *outputs, cache = forward(*inputs.values())
    upstream = [rng.standard_normal(np.shape(y)) if np.shape(y) else 0.7 for y in outputs]
    kept = copy.deepcopy((outputs, cache, upstream))
    backward(*upstream, cache)
    assert_same((inputs, outputs, cache, upstream), (before, *kept))


def assert_same(a, b):
    """The same bits in two trees of tuples, lists, dicts and arrays."""
    if isinstance(a, dict):
        a, b = list(a.items()), list(b.items())
    if isinstance(a, tuple | list):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            assert_same(x, y)
    else:
        np.testing.assert_array_equal(a, b)


def assert_close(a, b, tolerance=1e-12):
    """Equal, up to `tolerance` times the largest entry."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    assert np.isfinite(a).all() and np.isfinite(b).all(), "not finite"
    scale = max(np.abs(a).max(initial=0), np.abs(b).max(initial=0))
    assert np.abs(a - b).max(initial=0) <= tolerance * scale, f"differ by {np.abs(a - b).max() / scale:.1e}\n{a}\n{b}"


# The equations, symbol by symbol, slow and plain.


def F(x, W, b):
    return np.maximum(x @ W + b, 0)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(scores):
    return np.array([[np.exp(s) / sum(np.exp(t) for t in row) for s in row] for row in scores])


def literal_attention(x, m, P_W, P_b, W, Q_W, Q_b):
    """(2) to (5) in one history: concat_k softmax(F_Pk(x) W_k mᵀ) F_Qk(m)."""
    K, d, _ = W.shape
    spaces = []
    for k in range(K):
        columns = slice(k * d, (k + 1) * d)
        x_k = F(x, P_W[:, columns], P_b[columns])
        A_k = softmax(x_k @ W[k] @ m.T)
        spaces.append(A_k @ F(m, Q_W[:, columns], Q_b[columns]))
    return np.concatenate(spaces, axis=1)


def literal_layer_norm(x, gain, bias):
    y = np.zeros_like(x)
    for i, row in enumerate(x):
        mean = sum(row) / len(row)
        variance = sum((value - mean) ** 2 for value in row) / len(row)
        for j, value in enumerate(row):
            y[i, j] = (value - mean) / (variance + 1e-5) ** 0.5 * gain[j] + bias[j]
    return y


def literal_feed_forward(x, W1, b1, W2, b2, gain, bias, mask=1):
    return literal_layer_norm(x + mask * (F(x, W1, b1) @ W2 + b2), gain, bias)


def literal_lstm(x, W, U, b):
    """The states [n,H] of one history, one behaviour and one unit at a time."""
    H, states = len(U), []
    h = c = np.zeros(H)
    for row in x:
        z = row @ W + h @ U + b
        h, c = h.copy(), c.copy()
        for j in range(H):
            i, f, g, o = (z[gate * H + j] for gate in range(4))
            c[j] = sigmoid(f) * c[j] + sigmoid(i) * np.tanh(g)
            h[j] = sigmoid(o) * np.tanh(c[j])
        states.append(h)
    return np.array(states).reshape(-1, H)


def literal_convolution(x, W, b):
    """The maxima [F] over the windows of one history: those inside it, or one that is padded with zeros at its end."""
    w = len(W)
    if len(x) == 0:
        return np.zeros(W.shape[2])
    if len(x) < w:
        x = np.concatenate([x, np.zeros((w - len(x), x.shape[1]))])
    return np.max([np.maximum(sum(x[p + j] @ W[j] for j in range(w)) + b, 0) for p in range(len(x) - w + 1)], axis=0)


# The user vector e_t [1,D] of each model from the behaviours S [n,D] of one history and one target h [1,D]; masks: the
# dropout masks of F_self [n,D] and of F_vanilla [1,D].


def own(p, layer, names):
    return [p[f"{layer}.{name}"] for name in names.split()]


def literal_attended(p, layer, x, m, mask):
    c = literal_attention(x, m, *own(p, layer, "P.W P.b W Q.W Q.b")) if len(m) else np.zeros_like(x)
    X = x + c if layer == "self" else c
    return literal_feed_forward(X, *own(p, layer, "F.W1 F.b1 F.W2 F.b2 F.gain F.bias"), mask)


def literal_atrank(p, S, h, masks):
    C = literal_attended(p, "self", S, S, masks[0])
    return literal_attended(p, "vanilla", h, C, masks[1])


def literal_states(p, S):
    """The outputs [n,2D] of the bidirectional LSTM."""
    backwards = literal_lstm(S[::-1], *own(p, "backwards", "W U b"))[::-1]
    return np.concatenate([literal_lstm(S, *own(p, "forwards", "W U b")), backwards], axis=1)


def literal_bilstm(p, S, h, masks):
    Y, D = literal_states(p, S), h.shape[1]
    ends = np.concatenate([Y[-1, :D], Y[0, D:]]) if len(S) else np.zeros(2 * D)
    return (ends @ p["user.W"] + p["user.b"])[None]


def literal_bilstm_attention(p, S, h, masks):
    return literal_attended(p, "vanilla", h, literal_states(p, S), masks[1])


def literal_cnn(p, S, h, masks):
    count = sum(name.startswith("window") for name in p) // 2
    pooled = [literal_convolution(S, *own(p, f"window{w}", "W b")) for w in range(1, count + 1)]
    return (np.concatenate(pooled) @ p["user.W"] + p["user.b"])[None]


def literal_scores(problem, masks=None):
    """The score of every target, by (1) to (8) or a competitor's formula, one behaviour, history and target at a time.

    masks: the dropout masks of F_self [N, D] and F_vanilla [T, D].
    """
    model, stored, batch, scale, config = problem
    p, groups = unscaled(stored, scale), model.space.groups

    def features(g, row):
        parts = []
        for c in g.columns:
            if c.kind == "number":
                name = f"number.{g.name}.{c.name}"
                parts.append(c.values[row] * p[f"{name}.w"] + p[f"{name}.b"])
            elif c.kind == "tokens":
                ids = c.values.ids[c.values.offsets[row] : c.values.offsets[row + 1]]
                total = sum((p[f"table.{c.table}"][i] for i in ids), np.zeros(c.size))
                parts.append(total / max(len(ids), 1))
            else:
                parts.append(p[f"table.{c.table}"][c.values[row]])
        return np.concatenate(parts)

    def embed(g, row, bucket, action):
        u = features(g, row) + p[f"time.{g.name}"][bucket] + p[f"action.{g.name}"][action]
        return F(u, p[f"F_M.{g.name}.W"], p[f"F_M.{g.name}.b"])

    def product(g, row, b):
        """The score of BPR-MF, which reads users and not histories."""
        return sum(p[f"table.user/{g.name}"][batch.user[b]] * features(g, row))

    def compared(g, row, b, t):
        rows = range(*batch.offsets[b : b + 2])
        S = [embed(groups[batch.group[i]], batch.object[i], batch.bucket[i], batch.action[i]) for i in rows]
        h = embed(g, row, 0, g.target_action)[None]
        user = globals()[f"literal_{config.model}"]
        e = user(p, np.array(S).reshape(-1, h.shape[1]), h, (1, 1) if masks is None else (masks[0][rows], masks[1][[t]]))
        if config.ranking == "deep":
            x = np.concatenate([h, e, h * e], axis=1)
            return (F(x, p["f.W1"], p["f.b1"]) @ p["f.w2"] + p["f.b2"])[0, 0]
        return sum(h[0] * e[0])

    scores = np.zeros(len(batch.label))
    for b in range(len(batch.offsets) - 1):
        for t in range(*batch.target_offsets[b : b + 2]):
            g, row = groups[batch.target_group[t]], batch.target_object[t]
            scores[t] = product(g, row, b) if config.model == "bpr_mf" else compared(g, row, b, t)
            if config.item_bias:
                scores[t] += p[f"bias.{g.name}"][row]
    return scores
