"""Parts of the opponents of `bench` in PyTorch."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..layers.feedforward import EPSILON


def parameter(w):
    return nn.Parameter(torch.from_numpy(np.ascontiguousarray(w)).clone())


def linear(W, b):  # [I,O], [O]; PyTorch keeps the matrix transposed
    layer = nn.utils.skip_init(nn.Linear, *W.shape)
    layer.weight, layer.bias = parameter(W.T), parameter(b)
    return layer


def integers(array):
    return torch.from_numpy(np.asarray(array, np.int64))


def sgd(net, l2, **how):
    """L2 on matrices and tables; none on biases, the item bias and the layer norms."""
    free = [w for name, w in net.named_parameters() if "bias" in name or "norm" in name]
    decayed = [w for name, w in net.named_parameters() if not ("bias" in name or "norm" in name)]
    return torch.optim.SGD([dict(params=decayed, weight_decay=l2), dict(params=free)], lr=0.0, **how)


def set_rate(optimizer, rate):
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)


class Attention(nn.Module):
    """What both forms of the attention in K spaces share: (6), the feed-forward net behind it."""

    def __init__(self, params, layer):
        super().__init__()
        self.params, self.layer = params, layer
        self.hidden, self.out = linear(*self.own("F.W1", "F.b1")), linear(*self.own("F.W2", "F.b2"))
        self.spaces = params[f"{layer}.W"].shape[:2]  # (K, d)
        self.norm = nn.LayerNorm(len(params[f"{layer}.F.gain"]), eps=EPSILON)
        self.norm.weight, self.norm.bias = map(parameter, self.own("F.gain", "F.bias"))

    def own(self, *names):
        """The initial values of these parameters of the layer."""
        return [self.params[f"{self.layer}.{name}"] for name in names]

    def split(self, x):  # [B,n,D] -> [B,K,n,d]
        return x.unflatten(-1, self.spaces).transpose(1, 2)

    def feed_forward(self, c):
        return self.norm(c + self.out(F.relu(self.hidden(c))))


def table(w, **how):
    return nn.Embedding.from_pretrained(parameter(w).data, freeze=False, **how)
