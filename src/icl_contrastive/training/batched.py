"""All runs of a job in one torch program: for a GPU, and as the plain form of the compiled loop.

The step is written once, with autograd on ``attention.read_out``. On a GPU it is captured as a
CUDA graph that reads its own position in the prompts, so that an epoch is replays alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from icl_contrastive.attention import Weights, read_out

if TYPE_CHECKING:
    from torch import Tensor

    from icl_contrastive.choices import Normalization
    from icl_contrastive.features import Family
    from icl_contrastive.mixing import Mixing

Array = npt.NDArray[Any]

# Features of keys that are in memory together in an evaluation; it has a few arrays of that size.
FEATURES_AT_ONCE = {"cpu": 2**20, "cuda": 2**26}


class BatchedRuns:
    """Weights of R runs and their steps on a torch device.

    Args:
        weights: ``W_Q``, ``W_K``, ``W_V`` (R, d, d) and, if augmented, ``g1``, ``g2``
            (R, layers, d, d); their dtype is that of the training.
        family, features: the family and the arrays of its R draws, None for the exact softmax.
        mixing: the variant's, for N demonstrations.
        d_y: number of label coordinates, the last ones of a token.
        device: torch's name of the device.
        normalization: of keys and queries, see ``attention.normalize``.
    """

    def __init__(
        self,
        weights: dict[str, Array],
        family: Family,
        features: dict[str, Array] | None,
        mixing: Mixing,
        d_y: int,
        device: str,
        normalization: Normalization = "unit",
    ) -> None:
        dtype = torch.as_tensor(weights["W_Q"]).dtype

        def place(array: Any) -> Tensor:
            return torch.as_tensor(np.asarray(array)).to(device, dtype, copy=True)

        def place_runs(arrays: dict[str, Array]) -> dict[str, Tensor]:
            """With an axis for prompts after that of runs."""
            return {name: place(array).unsqueeze(1) for name, array in arrays.items()}

        self._weights = {name: w.requires_grad_() for name, w in place_runs(weights).items()}
        self._layer = Weights.from_tensors(self._weights, normalization)
        self._arrays = place_runs(features or {})
        self._features = family.feature_map(self._arrays) if features is not None else None
        constants: dict[str, Any] = {
            name: place(a) for name, a in vars(mixing).items() if a is not None
        }
        self._mixing = replace(mixing, **constants)
        self._d_y = d_y
        self._place = place
        self._plan: tuple[object, ...] | None = None  # shapes and rates that buffers and graph fit
        self._graph: torch.cuda.CUDAGraph | None = None

    def _squared_errors(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """‖ŷ − y‖²: (R, prompts, n, d) and (R, prompts, d_y) → (R, prompts)."""
        read = read_out(self._layer, tokens, self._mixing, self._features)
        error = read.output[..., -self._d_y :] - targets
        return (error * error).sum(-1)

    def redraw(self, features: dict[str, Array]) -> None:
        """Go on with other features, arrays of the same shapes."""
        for name, array in features.items():
            self._arrays[name].copy_(torch.as_tensor(array).unsqueeze(1))

    def train(self, tokens: Array, targets: Array, learning_rate: float, batch: int = 1) -> Array:
        """A step per batch: (R, prompts, n, d) and (R, prompts, d_y) → mean errors (R,)."""
        plan = tokens.shape, targets.shape, learning_rate, batch
        if plan != self._plan:
            self._plan, self._graph = plan, None
            self._tokens, self._targets = self._place(tokens), self._place(targets)
            self._position = torch.zeros(1, dtype=torch.long, device=self._tokens.device)
            self._total = torch.zeros_like(self._targets[:, 0, 0])
            self._sums = [torch.zeros_like(w) for w in self._weights.values()]  # over a batch
        else:
            self._tokens.copy_(torch.as_tensor(tokens))
            self._targets.copy_(torch.as_tensor(targets))
        self._position.zero_()
        self._total.zero_()
        prompts = tokens.shape[1]
        for _ in range(prompts):
            if self._graph is not None:
                self._graph.replay()
            elif self._tokens.is_cuda:
                self._graph = self._step_and_capture(learning_rate, batch)
            else:
                self._step(learning_rate, batch)
        return np.asarray((self._total / prompts).cpu())

    def _step_and_capture(self, learning_rate: float, batch: int) -> torch.cuda.CUDAGraph:
        """The first step also warms up what a capture, in which nothing runs, needs."""
        warm_up = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        warm_up.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(warm_up):
            self._step(learning_rate, batch)
        torch.cuda.current_stream().wait_stream(warm_up)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step(learning_rate, batch)
        return graph

    def _step(self, learning_rate: float, batch: int) -> None:
        """The prompt at the position; all that it reads and writes stays where it is in memory."""
        parameters = list(self._weights.values())
        errors = self._squared_errors(
            self._tokens.index_select(1, self._position),
            self._targets.index_select(1, self._position),
        )
        gradients = torch.autograd.grad(errors.sum(), parameters)
        with torch.no_grad():
            if batch == 1:
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.sub_(gradient, alpha=learning_rate)
            else:
                # A graph has no branches: before a batch's end the step is zero, the sum kept.
                inside = self._position % batch + 1
                ends = (inside == batch) | (self._position + 1 == self._tokens.shape[1])
                rate = ends.to(errors.dtype) * learning_rate / inside
                for parameter, gradient, over_batch in zip(
                    parameters, gradients, self._sums, strict=True
                ):
                    over_batch.add_(gradient)
                    parameter.sub_(rate * over_batch)
                    over_batch.mul_(~ends)
            self._total.add_(errors.detach()[:, 0])
            self._position.add_(1)

    @torch.no_grad()
    def evaluate(self, tokens: Array, targets: Array) -> Array:
        """Mean squared error over prompts, (R,)."""
        runs, prompts, n, _ = tokens.shape
        all_tokens, all_targets = self._place(tokens), self._place(targets)
        one = all_tokens[:1, :1, :1]
        features = n if self._features is None else self._features(one).shape[-1]
        size = max(1, FEATURES_AT_ONCE[all_tokens.device.type] // (runs * n * features))
        errors = [
            self._squared_errors(all_tokens[:, i : i + size], all_targets[:, i : i + size])
            for i in range(0, prompts, size)
        ]
        return np.asarray(torch.cat(errors, 1).mean(1).cpu())

    @property
    def weights(self) -> dict[str, Array]:
        """A copy of the weights, named as they were given."""
        return {n: w.detach()[:, 0].cpu().numpy().copy() for n, w in self._weights.items()}
