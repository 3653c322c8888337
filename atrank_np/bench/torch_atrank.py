"""The opponents of `bench` in PyTorch: ATRank as people usually write it, and the fastest form that was found on a CPU.

Both compute what `models` computes, with the same loss, the same SGD and the same L2 over whole tables; `bench` compares
their scores before it times them. They support the benchmark's workload only: one group with the features object and
category, objects that are in the catalogue, and histories of at least one behaviour.
"""

from collections import namedtuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .torch_parts import Attention, integers, linear, parameter, set_rate, sgd, table

PAIRS, CANDIDATES = 512, 2048  # candidates per call: pair by pair, and with the history encoded once


class EagerAttention(Attention):
    """As in the paper: S_k W_k Sᵀ."""

    def __init__(self, params, layer):
        super().__init__(params, layer)
        self.P, self.Q = linear(*self.own("P.W", "P.b")), linear(*self.own("Q.W", "Q.b"))
        self.W = parameter(params[f"{layer}.W"])

    def forward(self, x, m, mask):  # [B,q,D], [B,n,D], [B,n] -> [B,q,D]
        scores = self.split(F.relu(self.P(x))) @ self.W @ m.unsqueeze(1).transpose(-1, -2)  # [B,K,q,n]
        a = scores.masked_fill(~mask[:, None, None, :], float("-inf")).softmax(-1)
        c = (a @ self.split(F.relu(self.Q(m)))).transpose(1, 2).flatten(2)
        return self.feed_forward(x + c if self.layer == "self" else c)


class EagerATRank(nn.Module):
    def __init__(self, params, target_action):
        super().__init__()
        self.item = table(params["table.items.object"], padding_idx=0)
        self.category = table(params["table.category"], padding_idx=0)
        self.time, self.action = table(params["time.items"]), table(params["action.items"])
        self.item_bias = table(params["bias.items"][:, None], padding_idx=0)
        self.F_M, self.target_action = linear(params["F_M.items.W"], params["F_M.items.b"]), target_action
        self.self_attention, self.vanilla_attention = EagerAttention(params, "self"), EagerAttention(params, "vanilla")

    def common(self, item, category, bucket, action):  # (1)
        u = torch.cat([self.item(item), self.category(category)], -1) + self.time(bucket) + self.action(action)
        return F.relu(self.F_M(u))

    def forward(self, b):
        S = self.common(b.item, b.category, b.bucket, b.action)
        time, action = torch.zeros_like(b.target), torch.full_like(b.target, self.target_action)
        h = self.common(b.target, b.target_category, time, action)
        C = self.self_attention(S, S, b.mask)
        e = self.vanilla_attention(h.unsqueeze(1), C, b.mask).squeeze(1)
        return (h * e).sum(-1) + self.item_bias(b.target).squeeze(-1)


# A row per target [B], its history padded to the longest [B,n].
Padded = namedtuple("Padded", "item category bucket action mask target target_category label")


class Eager:
    """Padded batches, masks, dense gradients of all tables, each sample with its own history."""

    whole_pool = False
    Net = EagerATRank

    def __init__(self, problem):
        self.problem, self.net = problem, self.Net(problem.params, problem.target_action)
        self.optimizer, self.loss = sgd(self.net, problem.config.l2), nn.BCEWithLogitsLoss()

    def prepare(self, batch):
        category, length, targets = self.problem.category, np.diff(batch.offsets), np.diff(batch.target_offsets)
        mask = np.arange(length.max()) < length[:, None]

        def padded(column):
            whole = np.zeros(mask.shape, np.int64)
            whole[mask] = column
            return torch.from_numpy(np.repeat(whole, targets, axis=0))

        behaviours = map(padded, (batch.object, category[batch.object], batch.bucket, batch.action))
        target = map(integers, (batch.target_object, category[batch.target_object]))
        return Padded(*behaviours, padded(1) > 0, *target, torch.from_numpy(batch.label))

    def step(self, b, rate):
        set_rate(self.optimizer, rate)
        self.loss(self.net(b), b.label).backward()
        self.optimizer.step()

    @torch.no_grad()
    def scores(self, b):
        return self.net(b).numpy()

    @torch.no_grad()
    def rank(self, sample):
        """Pair by pair: the model is called on (history, candidate), in blocks."""
        one, found = self.prepare(self.problem.history(sample)), []
        for target in torch.arange(len(self.problem.category)).split(PAIRS):
            b = Padded(*(column.expand(len(target), *column.shape[1:]) for column in one))
            category = integers(self.problem.category[target.numpy()])
            found.append(self.net(b._replace(target=target, target_category=category)))
        return torch.cat(found).numpy()


class FastAttention(Attention):
    """Keys are projected first, S_k W_k Sᵀ = S_k (S W_kᵀ)ᵀ, in one product with the values and, in self-attention, the
    queries. That product gives the keys a bias too. It cancels in the softmax, so it stays at its initial value 0."""

    def __init__(self, params, layer):
        super().__init__(params, layer)
        P_W, P_b, W, Q_W, Q_b = self.own("P.W", "P.b", "W", "Q.W", "Q.b")
        key = W.reshape(len(P_W), -1).T
        if layer == "self":
            self.project = linear(np.hstack([P_W, key, Q_W]), np.concatenate([P_b, 0 * P_b, Q_b]))
        else:
            self.P, self.project = linear(P_W, P_b), linear(np.hstack([key, Q_W]), np.concatenate([0 * P_b, Q_b]))

    def forward(self, query, key, value, mask):  # [H,K,q,d], [H,K,n,d], [H,K,n,d] -> [H,q,D]
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=1.0).transpose(1, 2).flatten(2)


class BestATRank(nn.Module):
    def __init__(self, params, target_action):
        super().__init__()
        self.time, self.action = parameter(params["time.items"]), parameter(params["action.items"])
        self.F_M, self.target_action = linear(params["F_M.items.W"], params["F_M.items.b"]), target_action
        self.first, self.then = FastAttention(params, "self"), FastAttention(params, "vanilla")

    def common(self, u, bucket, action):  # (1)
        return F.relu(self.F_M(u + F.embedding(bucket, self.time) + F.embedding(action, self.action)))

    def memory(self, S, b):  # [N,D] -> keys and values of the vanilla attention, [H,K,n,d] each
        def pad(x):
            if b.place is not None:
                x = x.new_zeros(b.H * b.n, x.shape[1]).index_copy(0, b.place, x)
            return x.view(b.H, b.n, -1)

        query, key, value = pad(self.first.project(S)).chunk(3, -1)
        c = self.first(*map(self.first.split, (F.relu(query), key, F.relu(value))), b.mask).flatten(0, 1)
        C = self.first.feed_forward(S + (c if b.place is None else c[b.place]))
        key, value = pad(self.then.project(C)).chunk(2, -1)
        return self.then.split(key), self.then.split(F.relu(value))

    def scores(self, h, query, memory, mask):  # [H,q,D], [H,q,D] -> [H,q]
        return (h * self.then.feed_forward(self.then(self.then.split(query), *memory, mask))).sum(-1)

    def forward(self, u, b):  # [N+T,D] -> [T]
        S, h = self.common(u, b.bucket, b.action).split((len(u) - len(b.label), len(b.label)))
        h = h.view(b.H, -1, h.shape[1])
        return self.scores(h, F.relu(self.then.P(h)), self.memory(S, b), b.mask).flatten()


# Rows are packed, N behaviours and then T targets. Only the attention is padded, to H histories of n: behaviour i is row
# place[i] of the H·n, and mask [H,1,1,n] is 0 or -inf. Both are None if all histories have the same length.
Bucketed = namedtuple("Bucketed", "item category bucket action H n place mask target label")


class Best:
    """Batches histories of similar length, and encodes each once for its targets. Only the batch's rows of tables are written;
    one number per step shrinks whole tables for L2, as in our backends."""

    whole_pool = True  # batches differ in length, so only all of them together are a fair sample
    Net = BestATRank

    def __init__(self, problem):
        self.problem, self.net = problem, self.Net(problem.params, problem.target_action)
        tables = ("table.items.object", "table.category", "bias.items")
        self.item, self.category, self.item_bias = (parameter(problem.params[name]).data for name in tables)
        self.optimizer, self.scale, self.kept = sgd(self.net, problem.config.l2, fused=True), 1.0, None

    def prepare(self, batch):
        length, T = np.diff(batch.offsets), len(batch.label)
        present, place, mask = np.arange(length.max()) < length[:, None], None, None
        if not present.all():
            place = integers(np.flatnonzero(present))
            mask = torch.where(torch.from_numpy(present), 0.0, float("-inf"))[:, None, None]
        objects = np.append(batch.object, batch.target_object)
        bucket, action = np.append(batch.bucket, np.zeros(T)), np.append(batch.action, np.full(T, self.net.target_action))
        columns = map(integers, (objects, self.problem.category[objects], bucket, action))
        return Bucketed(*columns, *present.shape, place, mask, integers(batch.target_object), torch.from_numpy(batch.label))

    def embed(self, item, category):
        return torch.cat([self.item[item], self.category[category]], 1).mul_(self.scale)

    def step(self, b, rate):
        set_rate(self.optimizer, rate)
        u, bias = self.embed(b.item, b.category).requires_grad_(), self.item_bias[b.target].requires_grad_()
        F.binary_cross_entropy_with_logits(self.net(u, b) + bias, b.label).backward()
        self.optimizer.step()
        self.scale *= 1 - rate * self.problem.config.l2
        size = self.item.shape[1]
        self.item.index_add_(0, b.item, u.grad[:, :size], alpha=-rate / self.scale)
        self.category.index_add_(0, b.category, u.grad[:, size:], alpha=-rate / self.scale)
        self.item_bias.index_add_(0, b.target, bias.grad, alpha=-rate)

    @torch.no_grad()
    def scores(self, b):
        return (self.net(self.embed(b.item, b.category), b) + self.item_bias[b.target]).numpy()

    def candidates(self):
        """Blocks of what does not depend on the user: h of every object, and its query."""
        for item in torch.arange(len(self.item)).split(CANDIDATES):
            u = self.embed(item, integers(self.problem.category[item.numpy()]))
            h = self.net.common(u, torch.zeros_like(item), torch.full_like(item, self.net.target_action))
            yield h[None], F.relu(self.net.then.P(h))[None]

    @torch.no_grad()
    def rank(self, sample, keep=False):
        """The history is encoded once. keep: what does not depend on the user is computed once for all users."""
        b = self.prepare(self.problem.history(sample))
        N = len(b.item) - len(b.label)
        memory = self.net.memory(self.net.common(self.embed(b.item[:N], b.category[:N]), b.bucket[:N], b.action[:N]), b)
        if keep and self.kept is None:
            self.kept = list(self.candidates())
        blocks = self.kept if keep else self.candidates()
        return (torch.cat([self.net.scores(*block, memory, None)[0] for block in blocks]) + self.item_bias).numpy()


OPPONENTS = {"torch eager": Eager, "torch best": Best}  # of ATRank; those of its competitors are in torch_competitors
