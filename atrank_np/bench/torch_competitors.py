"""ATRank's competitors in PyTorch for `bench`: nn.LSTM over packed sequences, nn.Conv1d, embeddings for BPR-MF.

Each works as `torch_atrank.Best`: it batches histories of similar length, encodes a history once for its targets, and writes
only the batch's rows of tables. They compute what `models` computes; `bench` compares their scores before it times them.
"""

from collections import namedtuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..layers.lstm import steps
from .torch_atrank import Best, BestATRank, Bucketed, FastAttention
from .torch_parts import integers, linear, parameter


class Competitor(nn.Module):
    """One user vector per history, for all its targets: `user(S, b)` [H,D]."""

    common = BestATRank.common  # (1)

    def __init__(self, params, target_action):
        super().__init__()
        self.time, self.action = parameter(params["time.items"]), parameter(params["action.items"])
        self.F_M, self.target_action = linear(params["F_M.items.W"], params["F_M.items.b"]), target_action
        if "user.W" in params:
            self.out = linear(params["user.W"], params["user.b"])

    def forward(self, u, b):  # [N+T,D] -> [T]
        S, h = self.common(u, b.bucket, b.action).split((len(u) - len(b.label), len(b.label)))
        return (h.view(b.H, -1, h.shape[1]) * self.user(S, b)[:, None]).sum(-1).flatten()


class BestBiLSTM(Competitor):
    def __init__(self, params, target_action):
        super().__init__(params, target_action)
        D = len(params["forwards.U"])
        self.lstm = nn.LSTM(D, D, bidirectional=True)
        for suffix, direction in (("", "forwards"), ("_reverse", "backwards")):
            W, U, b = (params[f"{direction}.{name}"] for name in ("W", "U", "b"))
            own = {"weight_ih": W.T, "weight_hh": U.T, "bias_ih": b, "bias_hh": 0 * b}
            for name, w in own.items():
                setattr(self.lstm, f"{name}_l0{suffix}", parameter(w))
            # The gates have one bias here, two in PyTorch: the second stays 0.
            getattr(self.lstm, f"bias_hh_l0{suffix}").requires_grad_(False)
        self.lstm.flatten_parameters()

    def states(self, S, b):  # -> PackedSequence of outputs, final states [2,H,D]
        sequence = nn.utils.rnn.PackedSequence(S[b.order], b.running)
        output, (final, _) = self.lstm(sequence)
        return output.data, final

    def user(self, S, b):
        _, final = self.states(S, b)
        return self.out(torch.cat([final[0], final[1]], 1)[b.unsorted])


class BestBiLSTMAttention(BestBiLSTM):
    def __init__(self, params, target_action):
        super().__init__(params, target_action)
        self.then = FastAttention(params, "vanilla")

    def forward(self, u, b):
        S, h = self.common(u, b.bucket, b.action).split((len(u) - len(b.label), len(b.label)))
        h, (output, _) = h.view(b.H, -1, h.shape[1]), self.states(S, b)
        x = self.then.project(torch.empty_like(output).index_copy(0, b.order, output))
        if b.place is not None:
            x = x.new_zeros(b.H * b.n, x.shape[1]).index_copy(0, b.place, x)
        key, value = x.view(b.H, b.n, -1).chunk(2, -1)
        c = self.then(*map(self.then.split, (F.relu(self.then.P(h)), key, F.relu(value))), b.mask)
        return (h * self.then.feed_forward(c)).sum(-1).flatten()


class BestCNN(Competitor):
    def __init__(self, params, target_action):
        super().__init__(params, target_action)
        self.windows = nn.ModuleList()
        while (name := f"window{len(self.windows) + 1}") + ".W" in params:
            w, D, maps = params[f"{name}.W"].shape
            window = nn.utils.skip_init(nn.Conv1d, D, maps, w)
            window.weight, window.bias = parameter(params[f"{name}.W"].transpose(2, 1, 0)), parameter(params[f"{name}.b"])
            self.windows.append(window)

    def user(self, S, b):
        width = max(b.n, len(self.windows))
        row = torch.arange(b.H * b.n) if b.place is None else b.place
        x = S.new_zeros(b.H * width, S.shape[1]).index_copy(0, row // b.n * width + row % b.n, S)
        x, pooled = x.view(b.H, width, -1).transpose(1, 2).contiguous(), []
        for w, window in enumerate(self.windows, 1):
            z = F.relu(window(x))  # windows outside the history count 0; no relu is less
            inside = torch.arange(z.shape[2]) < (b.length - w + 1).clamp(min=1)[:, None]
            pooled.append((z * inside[:, None]).amax(2))
        return self.out(torch.cat(pooled, 1))


# `Bucketed`, and what the recurrent models and the CNN need: the rows in the order of the steps; the number of histories with a
# row at each step; the place of each history in the order of lengths; and the lengths.
Ordered = namedtuple("Ordered", (*Bucketed._fields, "order", "running", "unsorted", "length"))


class BestCompetitor(Best):
    def prepare(self, batch):
        rows, length = steps(batch.offsets, False), np.diff(batch.offsets)
        unsorted = np.argsort(np.argsort(-length, kind="stable"))
        more = np.concatenate(rows), [len(row) for row in rows], unsorted, length
        return Ordered(*super().prepare(batch), *map(integers, more))


Pairs = namedtuple("Pairs", "user item category label")  # a row for each target, positives and negatives alternating


class BestBPRMF(Best):
    """f = u · (item, category) + bias; no network: rows, a product, and rows again."""

    def __init__(self, problem):
        tables = ("table.items.object", "table.category", "bias.items", "table.user/items")
        self.item, self.category, self.item_bias, self.users = (parameter(problem.params[name]).data for name in tables)
        self.problem, self.scale = problem, 1.0

    def prepare(self, batch):
        user = np.repeat(batch.user, np.diff(batch.target_offsets))
        item = batch.target_object
        return Pairs(*map(integers, (user, item, self.problem.category[item], batch.label)))

    def rows(self, b):
        return self.users[b.user].mul_(self.scale), self.embed(b.item, b.category), self.item_bias[b.item]

    def step(self, b, rate):
        u, emb, bias = (x.requires_grad_() for x in self.rows(b))
        f = ((u * emb).sum(1) + bias).view(-1, 2)
        F.softplus(f[:, 1] - f[:, 0]).mean().backward()
        self.scale *= 1 - rate * self.problem.config.l2
        size = self.item.shape[1]
        self.users.index_add_(0, b.user, u.grad, alpha=-rate / self.scale)
        self.item.index_add_(0, b.item, emb.grad[:, :size], alpha=-rate / self.scale)
        self.category.index_add_(0, b.category, emb.grad[:, size:], alpha=-rate / self.scale)
        self.item_bias.index_add_(0, b.item, bias.grad, alpha=-rate)

    @torch.no_grad()
    def scores(self, b):
        u, emb, bias = self.rows(b)
        return ((u * emb).sum(1) + bias).numpy()


def best(net):
    return {"torch best": type(f"Best{net.__name__}", (BestCompetitor,), {"Net": net})}


OPPONENTS = {
    "bpr_mf": {"torch best": BestBPRMF},
    "bilstm": best(BestBiLSTM),
    "bilstm_attention": best(BestBiLSTMAttention),
    "cnn": best(BestCNN),
}
