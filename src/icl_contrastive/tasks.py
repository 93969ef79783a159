"""Linear regression prompts (section 5.1, A.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from icl_contrastive.streams import stream

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Prompts:
    """Prompts of one task or of many.

    Attributes:
        tokens: (..., prompts, N + 1, d_x + d_y); token i is h_i = [x_i; y_i], the last one the
            query token, with its label part masked to zero.
        targets: (..., prompts, d_y), the query's labels y_{N+1}.
    """

    tokens: Array
    targets: Array


def sample_task(rng: np.random.Generator, d_y: int, d_x: int, count: int = 1) -> Array:
    """``count`` tasks W ∈ R^{d_y × d_x} with W_ij ~ N(0, 1), shape (count, d_y, d_x)."""
    return rng.standard_normal((count, d_y, d_x)).astype(np.float32)


def sample_prompts(
    rng: np.random.Generator, task: Array, prompts: int, demonstrations: int
) -> Prompts:
    """Prompts of y = W x with x ~ U(−1, 1)^{d_x}.

    Args:
        rng: the stream that x is drawn from.
        task: (1, d_y, d_x) for one task shared by all prompts, (prompts, d_y, d_x) for a task of
            its own for each (the multi-task scenario of A.3).
        prompts: number of prompts.
        demonstrations: N; each prompt has N + 1 tokens.
    """
    d_x = task.shape[-1]
    x = rng.uniform(-1, 1, (prompts, demonstrations + 1, d_x)).astype(np.float32)
    y = np.matmul(x, task.swapaxes(-1, -2))  # (prompts, N + 1, d_y)
    tokens = np.concatenate([x, y], axis=-1)
    tokens[:, -1, d_x:] = 0
    return Prompts(tokens, y[:, -1].copy())


def sample_part(
    shape: Mapping[str, Any], run: int, part: str, count: int, *more: str | int
) -> tuple[Array, Prompts]:
    """Tasks (1 or count, d_y, d_x) and ``count`` prompts of one run of a setting.

    A shared task is that of the run, the same in all settings: they differ in their prompts alone.

    Args:
        shape: ``seed``, ``setting``, ``tasks``, ``demonstrations``, ``d_x``, ``d_y``.
        run: the run's number.
        part: ``train`` or ``test``.
        count: number of prompts.
        more: names further prompts of the same part.
    """
    seed, setting = shape["seed"], shape["setting"]
    shared = shape["tasks"] == "shared"
    names = ("task", run) if shared else ("task", setting, run, part, *more)
    tasks = sample_task(stream(seed, *names), shape["d_y"], shape["d_x"], 1 if shared else count)
    rng = stream(seed, "prompts", setting, run, part, *more)
    return tasks, sample_prompts(rng, tasks, count, shape["demonstrations"])
