"""Pretraining of one variant: all runs of a job, by SGD (A.3).

What the paper leaves open is an argument of ``pretrain``, whose default is the project's choice.
"""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt

from icl_contrastive.choices import Init, Normalization, Omega, Order
from icl_contrastive.features import ExponentialFamily, Family, Statistics
from icl_contrastive.features.positive import Positive
from icl_contrastive.streams import stream

if TYPE_CHECKING:
    from icl_contrastive.tasks import Prompts
    from icl_contrastive.training.batched import BatchedRuns
    from icl_contrastive.training.fused import FusedRuns
    from icl_contrastive.variants.base import Variant

Array = npt.NDArray[np.float32]
Device = Literal["auto", "cpu", "cuda"]

log = logging.getLogger(__name__)


class TrainingDivergedError(ArithmeticError):
    """The training error of some run is no longer a finite number."""


@dataclass(frozen=True)
class Pretrained:
    """What pretraining ends with; first axis: run.

    Attributes:
        tensors: ``W_Q``, ``W_K``, ``W_V`` (R, d, d); ``g1``, ``g2`` (R, layers, d, d) if there
            are any; unless attention is exact, the arrays that fix the features, for most families
            ``omega`` (R, m, d) and ``log_weight`` (R, m).
        train_mse: (R, epochs trained), mean of the squared errors met during the epoch (A.3).
        test_mse: (R, epochs trained), mean squared error on the held-out prompts after the epoch.
        checkpoints: the weights after the epochs that were asked for, by epoch; with the features
            then, unless they are kept.
    """

    tensors: dict[str, Array]
    train_mse: Array
    test_mse: Array
    checkpoints: dict[int, dict[str, Array]]


def initial_weights(
    variant: Variant,
    d: int,
    seed: int,
    setting: str,
    run: int,
    init: Init = "uniform",
    init_scale: float = 1.0,
) -> dict[str, Array]:
    """Every matrix from a stream of its own.

    ``uniform`` is U(−1/√d, 1/√d), ``normal`` N(0, 1/d), ``standard_normal`` N(0, 1), all of them
    times ``init_scale``. Variants of one setting and run start from the same W_Q, W_K and W_V.
    """

    def draw(name: str) -> Array:
        rng = stream(seed, "initial weights", setting, run, name)
        bound = 1 / math.sqrt(d)
        if init == "uniform":
            return (init_scale * rng.uniform(-bound, bound, (d, d))).astype(np.float32)
        deviation = bound if init == "normal" else 1.0
        return (init_scale * deviation * rng.standard_normal((d, d))).astype(np.float32)

    weights = {name: draw(name) for name in ("W_Q", "W_K", "W_V")}
    for name, layers in (("g1", variant.g1), ("g2", variant.g2)):
        if layers:
            weights[name] = np.stack([draw(f"{name} layer {layer}") for layer in range(layers)])
    return weights


def initial_statistics(
    weights: dict[str, Array], tokens: Array, normalization: Normalization = "unit"
) -> Statistics:
    """Of the keys and of the query tokens' queries that training starts with.

    Args:
        weights: those of one run.
        tokens: its training prompts, (prompts, n, d).
        normalization: of keys and queries, see ``attention.normalize``.
    """
    from scipy.special import ndtr

    def normalize(x: Array) -> Array:
        if normalization == "unit":
            norms = np.linalg.norm(x, axis=-1, keepdims=True)
            return np.asarray(x / np.where(norms > 0, norms, 1), np.float32)
        return np.float32(x.shape[-1] ** -0.25) * x if normalization == "scaled" else x

    keys = tokens @ weights["W_K"].T
    for layer in weights.get("g2", ()):
        keys = keys @ layer.T
        keys *= ndtr(keys)  # GELU
    return Statistics.of(normalize(keys), normalize(tokens[:, -1] @ weights["W_Q"].T))


def resolve_device(device: Device) -> Literal["cpu", "cuda"]:
    """``auto`` is ``cuda`` where a driver is installed and torch can use it, else ``cpu``."""
    if device != "auto":
        return device
    if shutil.which("nvidia-smi") is None:  # spares machines without a GPU torch's import
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def pretrain(
    prompts: Prompts,
    test_prompts: Prompts,
    variant: Variant,
    *,
    seed: int,
    setting: str,
    family: Family | None = None,
    d_r: int = 1200,
    learning_rate: float = 0.003,
    epochs: int = 50,
    init: Init = "uniform",
    init_scale: float = 1.0,
    normalization: Normalization = "unit",
    omega: Omega = "kept",
    fresh_prompts: Callable[[int], Prompts] | None = None,
    order: Order = "fixed",
    batch: int = 1,
    checkpoints: Collection[int] = (),
    trained: tuple[int, Mapping[str, Array]] | None = None,
    device: Device = "auto",
) -> Pretrained:
    """Train one layer per run on the prompts, ``epochs`` times.

    Args:
        prompts: tokens (R, prompts, N + 1, d), targets (R, prompts, d_y).
        test_prompts: held-out ones likewise.
        variant: the layer.
        seed: names the random streams of ω and of the initial weights.
        setting: likewise.
        family: of the random features, unless the variant's attention is exact; positive features
            by default.
        d_r: number of random features.
        learning_rate: of SGD on ‖ŷ − y‖².
        epochs: passes over the prompts.
        init: see ``initial_weights``.
        init_scale: likewise.
        normalization: of keys and queries, see ``attention.normalize``.
        omega: one draw of the features for the whole run, for each epoch or for each step; the
            last one is in the result, and the held-out error is measured with it.
        fresh_prompts: the prompts of an epoch from the second on, counted from 1; without it, all
            epochs have the same.
        order: whether every epoch takes the prompts in the order that they have, or in one of its
            own, drawn for each run and the same for all variants.
        batch: prompts per step, whose gradients are averaged; an epoch ends a batch.
        checkpoints: epochs after which the weights are kept.
        trained: go on after so many epochs from the weights that they ended with: what follows is
            as if there had been no stop, and is all that the result holds.
        device: ``cpu`` runs the compiled loop, ``cuda`` all runs in one torch program, which also
            trains with features that the loop is not made for.

    Raises:
        TrainingDivergedError: naming run and epoch.
        ValueError: if the features can be negative, or there are none of this d_r; for another word
            than an argument has, another kind of number, and prompts of other shapes or not finite.
    """
    for name, word, choices in (
        ("init", init, Init),
        ("normalization", normalization, Normalization),
        ("omega", omega, Omega),
        ("order", order, Order),
        ("device", device, Device),
    ):
        if word not in get_args(choices):
            raise ValueError(f"{name} {word!r}: must be one of {', '.join(get_args(choices))}")
    for name, number, least in (("batch", batch, 1), ("epochs", epochs, 0)):
        if not (isinstance(number, Integral) and number >= least):
            raise ValueError(f"{name} {number!r}: must be an integer of at least {least}")
    if not isinstance(learning_rate, Real):
        raise ValueError(f"learning_rate {learning_rate!r}: must be one number for all runs")
    prompts = _checked("prompts", prompts, prompts)
    test_prompts = _checked("test_prompts", test_prompts, prompts)
    family = family or Positive()
    if not family.nonnegative:
        raise ValueError(f"{family!r} features can be negative: no layer is trained with them")
    runs, _, n, d = prompts.tokens.shape
    start = [
        initial_weights(variant, d, seed, setting, run, init, init_scale) for run in range(runs)
    ]
    weights = {name: np.stack([one[name] for one in start]) for name in start[0]}
    done = 0
    if trained is not None:
        done, ended = trained
        weights = {name: ended[name] for name in weights}
    streams: list[np.random.Generator] = []
    known: list[Statistics | None] = [None] * runs
    if family.uses_statistics:
        known = [
            initial_statistics(start[run], prompts.tokens[run], normalization)
            for run in range(runs)
        ]

    def draw() -> dict[str, Array]:
        pairs = zip(streams, known, strict=True)
        draws = [family.draw(rng, d, d_r, statistics) for rng, statistics in pairs]
        return {name: np.stack([one[name] for one in draws]) for name in draws[0]}

    def begin(epoch: int) -> dict[str, Array]:
        """The first features of an epoch from whose start they are drawn anew, from 1."""
        later = () if epoch == 1 else ("epoch", epoch)
        streams[:] = [stream(seed, "omega", setting, run, *later) for run in range(runs)]
        return draw()

    features = begin(1) if variant.attention == "kernel" else None
    if trained is not None and features is not None:
        features = {name: ended[name] for name in features}
    mixing, d_y = variant.mixing(n - 1), prompts.targets.shape[-1]
    device = resolve_device(device)
    trainer: BatchedRuns | FusedRuns
    if device == "cuda" or (features is not None and not isinstance(family, ExponentialFamily)):
        from icl_contrastive.training.batched import BatchedRuns

        trainer = BatchedRuns(weights, family, features, mixing, d_y, device, normalization)
    else:
        from icl_contrastive.training.fused import FusedRuns

        trainer = FusedRuns(weights, features, mixing, d_y, normalization)
    train_mse = np.empty((runs, epochs - done), np.float32)
    test_mse = np.empty_like(train_mse)
    kept = {}
    began = time.monotonic()
    for epoch in range(done, epochs):
        if epoch and fresh_prompts is not None:
            prompts = _checked("fresh_prompts", fresh_prompts(epoch + 1), prompts)
        met = prompts if order == "fixed" else _shuffled(prompts, seed, setting, epoch + 1)
        count = prompts.tokens.shape[1]
        part = batch if omega == "per_step" else count  # prompts that share a draw
        errors = np.zeros(runs)
        for first in range(0, count, part):
            if features is not None and omega != "kept" and (epoch or first):
                features = draw() if first else begin(epoch + 1)
                trainer.redraw(features)
            some = slice(first, first + part)
            tokens, targets = met.tokens[:, some], met.targets[:, some]
            share = tokens.shape[1] / count
            errors += share * trainer.train(tokens, targets, learning_rate, batch)
        held_out = trainer.evaluate(test_prompts.tokens, test_prompts.targets)
        train_mse[:, epoch - done], test_mse[:, epoch - done] = errors, held_out
        for values, what in ((errors, "training"), (held_out, "held-out")):
            diverged = ~np.isfinite(values)
            if diverged.any():
                raise TrainingDivergedError(
                    f"the {what} error of run {int(diverged.argmax())} is not finite after epoch "
                    f"{epoch + 1}; lower the learning rate (now {learning_rate:g}), the size of "
                    f"the initial weights (init: {init}, init_scale: {init_scale:g}), or the "
                    "model's own numbers, such as alpha"
                )
        if epoch + 1 in checkpoints:
            then = features if omega != "kept" else None
            kept[epoch + 1] = trainer.weights | (then or {})
        seconds = time.monotonic() - began
        log.info(
            "epoch %d of %d: median training error %.4g, held-out %.4g; %.0f s left",
            epoch + 1,
            epochs,
            np.median(errors),
            np.median(held_out),
            seconds / (epoch + 1 - done) * (epochs - epoch - 1),
        )
    return Pretrained(trainer.weights | (features or {}), train_mse, test_mse, kept)


def _checked(name: str, prompts: Prompts, like: Prompts) -> Prompts:
    """The prompts as the compiled loop takes them, with axes like those of others.

    It looks at no shape: with a wrong one it would write where it must not.
    """
    with np.errstate(over="ignore"):  # told below
        tokens, targets = (
            np.ascontiguousarray(array, np.float32) for array in (prompts.tokens, prompts.targets)
        )
    runs, _, n, d = np.shape(like.tokens) if np.ndim(like.tokens) == 4 else (0,) * 4
    count, d_y = tokens.shape[1:2], np.shape(like.targets)[-1:]
    wanted = (runs, *count, n, d), (runs, *count, *d_y)
    if (tokens.shape, targets.shape) != wanted or not (tokens.size and 1 <= d_y[0] <= d):
        raise ValueError(
            f"{name}: tokens of shape {tokens.shape}, targets of shape {targets.shape}; must be "
            "(R, prompts, N + 1, d) and (R, prompts, d_y), with the same R, N, d and d_y for all"
        )
    if not (np.isfinite(tokens).all() and np.isfinite(targets).all()):
        raise ValueError(f"{name}: must be finite, and are not, as float32")
    return replace(prompts, tokens=tokens, targets=targets)


def _shuffled(prompts: Prompts, seed: int, setting: str, epoch: int) -> Prompts:
    """Each run's prompts in the order of an epoch, from 1."""
    runs, count = prompts.tokens.shape[:2]
    rngs = (stream(seed, "order", setting, run, "epoch", epoch) for run in range(runs))
    order = np.stack([rng.permutation(count) for rng in rngs])  # (R, prompts)
    rows = np.arange(runs)[:, None]
    return replace(
        prompts, tokens=prompts.tokens[rows, order], targets=prompts.targets[rows, order]
    )
