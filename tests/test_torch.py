"""All gradients of the model against PyTorch's autograd, in float64.

The oracle is written from the equations, not from our layers: one history, one target and one space at a time.
"""

import numpy as np
import pytest

from atrank_np.backend import make_backend
from atrank_np.gradcheck import dense
from atrank_np.gradcheck.cases import toy_problem
from atrank_np.optimizer import unscaled
from atrank_np.parameters import has_unknown

torch = pytest.importorskip("torch")
relu = torch.relu


def attention(x, m, p, layer):
    """concat_k softmax(F_Pk(x) W_k mᵀ) F_Qk(m), (2) to (5)."""
    P_W, P_b, W, Q_W, Q_b = (p[f"{layer}.{name}"] for name in ("P.W", "P.b", "W", "Q.W", "Q.b"))
    spaces, d = [], W.shape[1]
    for k, W_k in enumerate(W):
        own = slice(k * d, (k + 1) * d)
        A_k = torch.softmax(relu(x @ P_W[:, own] + P_b[own]) @ W_k @ m.T, dim=1)
        spaces.append(A_k @ relu(m @ Q_W[:, own] + Q_b[own]))
    return torch.cat(spaces, dim=1)


def feed_forward(x, p, layer):
    """(6)."""
    W1, b1, W2, b2, gain, bias = (p[f"{layer}.F.{name}"] for name in ("W1", "b1", "W2", "b2", "gain", "bias"))
    return torch.nn.functional.layer_norm(x + relu(x @ W1 + b1) @ W2 + b2, gain.shape, gain, bias, 1e-5)


def feature(column, group, row, p):
    if column.kind == "number":
        name = f"number.{group}.{column.name}"
        return float(column.values[row]) * p[f"{name}.w"] + p[f"{name}.b"]
    table = p[f"table.{column.table}"]
    if column.kind != "tokens":
        return table[int(column.values[row])]
    bag = column.values.ids[column.values.offsets[row] : column.values.offsets[row + 1]].tolist()
    return table[bag].mean(0) if bag else torch.zeros(column.size, dtype=table.dtype)


def common(group, row, bucket, action, p):
    """One row of S or h, (1)."""
    u = torch.cat([feature(column, group.name, row, p) for column in group.columns])
    u = u + p[f"time.{group.name}"][int(bucket)] + p[f"action.{group.name}"][int(action)]
    return relu(u @ p[f"F_M.{group.name}.W"] + p[f"F_M.{group.name}.b"])


def losses(problem, p):
    """The mean loss of (8), of its pair-wise form, or of the softmax."""
    batch, groups, config = problem.batch, problem.model.space.groups, problem.config
    terms = []
    for b in range(len(batch.offsets) - 1):
        rows = range(*batch.offsets[b : b + 2])
        if rows:
            S = [common(groups[batch.group[i]], batch.object[i], batch.bucket[i], batch.action[i], p) for i in rows]
            S = torch.stack(S)
            C = feed_forward(S + attention(S, S, p, "self"), p, "self")
        positive, negative, log_q = [], [], []
        for t in range(*batch.target_offsets[b : b + 2]):
            group, row = groups[batch.target_group[t]], int(batch.target_object[t])
            h = common(group, row, 0, group.target_action, p)[None]
            e = feed_forward(attention(h, C, p, "vanilla") if rows else torch.zeros_like(h), p, "vanilla")
            if config.ranking == "deep":
                f = relu(torch.cat([h, e, h * e], 1) @ p["f.W1"] + p["f.b1"]) @ p["f.w2"] + p["f.b2"]
            else:
                f = (h * e).sum()
            f = f.squeeze() + p[f"bias.{group.name}"][row]
            (positive if batch.label[t] else negative).append(f)
            log_q += [] if batch.label[t] else [float(batch.log_q[t])]
        if config.loss == "softmax":
            terms += [torch.log_softmax(torch.stack([f, *negative]) - torch.tensor([0, *log_q]), 0)[0] for f in positive]
        elif config.loss == "pair":
            terms += [good - bad for good in positive for bad in negative]
        else:
            terms += positive + [-f for f in negative]  # 1 - σ(f) = σ(-f)
    terms = torch.stack(terms)
    return -(terms if config.loss == "softmax" else torch.nn.functional.logsigmoid(terms)).mean()


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("loss", ["point", "pair", "softmax"])
@pytest.mark.parametrize("ranking", ["dot", "deep"])
def test_all_gradients_are_those_of_autograd(ranking, loss, backend):
    # 32 numbers in 2 spaces fill the lanes of the compiled vectors.
    problem = toy_problem(np.random.default_rng(2), ranking=ranking, loss=loss, backend=backend, width=32, spaces=2)
    model, params, batch, scale, config = problem
    assert 0 in np.diff(batch.offsets) and {c.kind for g in model.space.groups for c in g.columns} > {"tokens", "number"}
    p = {name: torch.tensor(w, requires_grad=True) for name, w in unscaled(params, scale).items()}
    expected = losses(problem, p)
    expected.backward()
    value, gradients = make_backend(model, params, config, 0, scale).gradients(batch)
    assert value == pytest.approx(expected.item(), rel=1e-12)
    assert set(gradients) == set(p)
    for name, w in p.items():
        theirs, mine = w.grad.numpy().copy(), dense(gradients[name], w.shape)
        if has_unknown(name):
            theirs[0] = 0  # never trained
        if name == "f.b2" and loss != "point":  # it cancels in a difference of scores
            assert np.abs([mine, theirs]).max() < 1e-15
            continue
        assert np.abs(theirs).max() > 0, name
        assert np.abs(mine - theirs).max() <= 1e-10 * np.abs(theirs).max(), name
