"""The layers as one would first write them: a module, autograd, an optimizer, all queries.

This is what pretraining is measured against, and a second statement of Eq. 1 and 6–18 for the
whole layer.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, normalize

from icl_contrastive.variants import Variant
from icl_contrastive.variants.negative import Negative
from icl_contrastive.variants.regularized import Regularized


class PlainLayer(nn.Module):
    """Ĥ = Atten(H) for one prompt, tokens as rows, (n, d) → (n, d)."""

    def __init__(self, variant: Variant, d: int, omega: Tensor) -> None:
        super().__init__()
        self.variant = variant
        self.omega = omega  # (m, d)
        self.query, self.key, self.value = (nn.Linear(d, d, bias=False) for _ in range(3))
        self.g1 = nn.ModuleList(nn.Linear(d, d, bias=False) for _ in range(variant.g1))
        self.g2 = nn.ModuleList(nn.Linear(d, d, bias=False) for _ in range(variant.g2))

    def features(self, x: Tensor) -> Tensor:
        """φ(x) = exp(ωᵀx − ‖x‖²/2) / √m, (n, d) → (n, m)."""
        exponent = x @ self.omega.T - (x**2).sum(-1, keepdim=True) / 2
        return exponent.exp() / math.sqrt(len(self.omega))

    def forward(self, tokens: Tensor) -> Tensor:
        n = len(tokens)
        queries: Tensor
        keys: Tensor
        values: Tensor
        queries, keys, values = self.query(tokens), self.key(tokens), self.value(tokens)
        for layer in self.g1:
            values = gelu(layer(values))
        for layer in self.g2:
            keys = gelu(layer(keys))
        queries, keys = normalize(queries), normalize(keys)
        if self.variant.attention == "exact":
            scores = torch.exp(keys @ queries.T)
        else:
            scores = self.features(keys) @ self.features(queries).T  # (n keys, n queries)
        attention = scores / scores.sum(0)

        match self.variant:
            case Regularized(form="eq15", alpha=alpha):
                return attention.T @ values - alpha * values
            case Regularized(form="eq14", alpha=alpha):
                return attention.T @ values - alpha * attention.diag()[:, None] * values
            case Negative(form="section_5.5", k=k, beta=beta):
                lowest = attention.topk(k, 0, largest=False).indices
                change = torch.full_like(attention, beta / (n - k)).scatter(0, lowest, -beta / k)
                return (attention + change).T @ values
            case Negative(form="eq18", k=k, beta=beta):
                demonstrations = attention[:-1, :-1].detach().clone().fill_diagonal_(torch.inf)
                lowest = demonstrations.topk(k, 0, largest=False).indices  # (k, N)
                shifts = beta * values[lowest].mean(0)  # (N, d)
                return attention.T @ torch.cat([values[:-1] - shifts, values[-1:]])
        return attention.T @ values


def train_plain(layer: PlainLayer, tokens: Tensor, targets: Tensor, learning_rate: float) -> None:
    """One SGD step per prompt, (prompts, n, d) and (prompts, d_y)."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=learning_rate)
    loss_function = nn.MSELoss(reduction="sum")
    for prompt, target in zip(tokens, targets, strict=True):
        optimizer.zero_grad()
        loss = loss_function(layer(prompt)[-1, -len(target) :], target)
        loss.backward()
        optimizer.step()
