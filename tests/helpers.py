"""What several tests need: the layer checks, and the paper's equations as literal loops over one history at a time."""

import copy

import numpy as np
import pytest

from atrank_np.gradcheck import check_layer, redrawn
from atrank_np.made_up import layer_cases
from atrank_np.optimizer import folded


def pair_of(layers, name):
    if not hasattr(layers, f"{name}_forward"):
        pytest.skip("no kernel of its own")
    return getattr(layers, f"{name}_forward"), getattr(layers, f"{name}_backward")


def assert_gradients(layers, name, draws=3, **changes):
    """Every entry of every input of a layer at some draws; `changes` replace inputs of the case."""

    def draw(rng):
        inputs, differentiated = layer_cases(rng)[name]
        return check_layer(*pair_of(layers, name), inputs | changes, differentiated, rng)

    for seed in range(draws):
        wrong = [str(check) for check in redrawn(draw, seed)[0] if not check.ok]
        assert not wrong, "\n".join([name, *wrong])


def assert_unchanged(layers, name):
    """Neither direction writes into what it is given."""
    rng = np.random.default_rng(0)
    forward, backward = pair_of(layers, name)
    inputs, _ = layer_cases(rng)[name]
    before = copy.deepcopy(inputs)
    y, cache = forward(*inputs.values())
    dy = rng.standard_normal(np.shape(y)) if np.shape(y) else 0.7
    kept_y, kept_cache, kept_dy = copy.deepcopy((y, cache, dy))
    backward(dy, cache)
    assert_same((inputs, y, cache, dy), (before, kept_y, kept_cache, kept_dy))


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
    """Of the array's largest entry."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape
    assert np.isfinite(a).all() and np.isfinite(b).all(), "not finite"
    scale = max(np.abs(a).max(initial=0), np.abs(b).max(initial=0))
    assert np.abs(a - b).max(initial=0) <= tolerance * scale, f"differ by {np.abs(a - b).max() / scale:.1e}\n{a}\n{b}"


# The equations, symbol by symbol, without a thought for speed.


def F(x, W, b):
    return np.maximum(x @ W + b, 0)


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
    sigmoid, H, states = lambda z: 1 / (1 + np.exp(-z)), len(U), []
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
    """The strongest window [F] of one history: all that lie inside, or the one that zeros at its end fill up."""
    w = len(W)
    if len(x) == 0:
        return np.zeros(W.shape[2])
    if len(x) < w:
        x = np.concatenate([x, np.zeros((w - len(x), x.shape[1]))])
    return np.max([np.maximum(sum(x[p + j] @ W[j] for j in range(w)) + b, 0) for p in range(len(x) - w + 1)], axis=0)


def literal_scores(problem, masks=None):
    """The score of every target by (1) to (8), one behaviour, history and target at a time.

    masks: the dropout masks of F_self [N, D] and F_vanilla [T, D].
    """
    model, stored, batch, scale, config = problem
    p, groups = folded(stored, scale), model.space.groups

    def own(layer, names):
        return [p[f"{layer}.{name}"] for name in names.split()]

    def embed(group, row, bucket, action):
        g, parts = groups[group], []
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
        u = np.concatenate(parts) + p[f"time.{g.name}"][bucket] + p[f"action.{g.name}"][action]
        return F(u, p[f"F_M.{g.name}.W"], p[f"F_M.{g.name}.b"])

    scores = np.zeros(len(batch.label))
    for b in range(len(batch.offsets) - 1):
        history = range(*batch.offsets[b : b + 2])
        if history:
            S = np.array([embed(batch.group[i], batch.object[i], batch.bucket[i], batch.action[i]) for i in history])
            X = literal_attention(S, S, *own("self", "P.W P.b W Q.W Q.b"))
            mask = 1 if masks is None else masks[0][history]
            C = literal_feed_forward(X, *own("self", "F.W1 F.b1 F.W2 F.b2 F.gain F.bias"), mask)
        for t in range(*batch.target_offsets[b : b + 2]):
            group, row = batch.target_group[t], batch.target_object[t]
            h = embed(group, row, 0, groups[group].target_action)[None]
            c = np.zeros_like(h)
            if history:
                c = literal_attention(h, C, *own("vanilla", "P.W P.b W Q.W Q.b"))
            mask = 1 if masks is None else masks[1][t]
            e = literal_feed_forward(c, *own("vanilla", "F.W1 F.b1 F.W2 F.b2 F.gain F.bias"), mask)
            if config.ranking == "deep":
                x = np.concatenate([h, e, h * e], axis=1)
                scores[t] = (F(x, p["f.W1"], p["f.b1"]) @ p["f.w2"] + p["f.b2"])[0, 0]
            else:
                scores[t] = sum(h[0] * e[0])
            if config.item_bias:
                scores[t] += p[f"bias.{groups[group].name}"][row]
    return scores
