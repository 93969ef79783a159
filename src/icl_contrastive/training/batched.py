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
    from collections.abc import Callable

    from torch import Tensor

    from icl_contrastive.attention import Normalization
    from icl_contrastive.features import Family
    from icl_contrastive.mixing import Mixing

Array = npt.NDArray[Any]

STEPS_PER_GRAPH = 16


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

        self._parameters = {name: place(array).requires_grad_() for name, array in weights.items()}
        self._weights = Weights.from_tensors(self._parameters, normalization)
        self._arrays = {name: place(array) for name, array in (features or {}).items()}
        self._features = family.feature_map(self._arrays) if features is not None else None
        constants: dict[str, Any] = {
            name: place(a) for name, a in vars(mixing).items() if a is not None
        }
        self._mixing = replace(mixing, **constants)
        self._d_y = d_y
        self._device = device
        self._place = place

    def _squared_error(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """‖ŷ − y‖²: (R, n, d) and (R, d_y) → (R,)."""
        output = read_out(self._weights, tokens, self._mixing, self._features)
        error = output[..., -self._d_y :] - targets
        return (error * error).sum(-1)

    def redraw(self, features: dict[str, Array]) -> None:
        """Go on with other features, arrays of the same shapes."""
        for name, array in features.items():
            self._arrays[name].copy_(self._place(array))

    def train(self, tokens: Array, targets: Array, learning_rate: float, batch: int = 1) -> Array:
        """A step per batch: (R, prompts, n, d) and (R, prompts, d_y) → mean errors (R,)."""
        all_tokens, all_targets = self._place(tokens), self._place(targets)
        prompts = tokens.shape[1]
        position = torch.zeros(1, dtype=torch.long, device=self._device)
        total = torch.zeros(tokens.shape[0], dtype=all_targets.dtype, device=self._device)
        parameters = list(self._parameters.values())
        sums = [torch.zeros_like(parameter) for parameter in parameters]  # over a batch

        def descend(gradients: tuple[Tensor, ...]) -> None:
            if batch == 1:
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.sub_(gradient, alpha=learning_rate)
                return
            # A graph has no branches: before the end of a batch the step is zero, the sum kept.
            inside = position % batch + 1
            ends = (inside == batch) | (position + 1 == prompts)
            rate = ends.to(all_tokens.dtype) * learning_rate / inside
            for parameter, gradient, total_of_batch in zip(
                parameters, gradients, sums, strict=True
            ):
                total_of_batch.add_(gradient)
                parameter.sub_(rate * total_of_batch)
                total_of_batch.mul_(~ends)

        def step() -> None:
            errors = self._squared_error(
                all_tokens.index_select(1, position)[:, 0],
                all_targets.index_select(1, position)[:, 0],
            )
            gradients = torch.autograd.grad(errors.sum(), parameters)
            with torch.no_grad():
                descend(gradients)
                total.add_(errors.detach())
                position.add_(1)

        if torch.device(self._device).type == "cuda" and prompts >= STEPS_PER_GRAPH:
            self._replay(step, prompts, [position, total, *sums, *parameters])
        else:
            for _ in range(prompts):
                step()
        return np.asarray((total / prompts).cpu())

    def _replay(self, step: Callable[[], None], steps: int, state: list[Tensor]) -> None:
        """Run ``step`` as a CUDA graph of several steps, the remainder one by one.

        Capturing it takes a step, after which ``state`` is put back.
        """
        before = [tensor.detach().clone() for tensor in state]
        warm_up = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        warm_up.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(warm_up):
            step()
        torch.cuda.current_stream().wait_stream(warm_up)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(STEPS_PER_GRAPH):
                step()
        with torch.no_grad():
            for tensor, value in zip(state, before, strict=True):
                tensor.copy_(value)
        for _ in range(steps // STEPS_PER_GRAPH):
            graph.replay()
        for _ in range(steps % STEPS_PER_GRAPH):
            step()

    @torch.no_grad()
    def evaluate(self, tokens: Array, targets: Array) -> Array:
        """Mean squared error over prompts, (R,)."""
        by_prompt = self._place(tokens).transpose(0, 1), self._place(targets).transpose(0, 1)
        errors = [self._squared_error(t, y) for t, y in zip(*by_prompt, strict=True)]
        return torch.stack(errors).mean(0).cpu().numpy()

    @property
    def weights(self) -> dict[str, Array]:
        """A copy of the weights, named as they were given."""
        return {name: p.detach().cpu().numpy().copy() for name, p in self._parameters.items()}
