"""A layer's outputs beside what its reference models end with (Theorem 1)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from icl_contrastive.attention import Layer, ReadOut, project
from icl_contrastive.descent import SCHEMES, Descent, Scheme, descend
from icl_contrastive.dual import DualProblem, dual_problem, join
from icl_contrastive.kernel_dual import descend_softmax, softmax_problem
from icl_contrastive.limits import FULL_WIDTH_PROMPTS
from icl_contrastive.variants import Variant

Courses = dict[str, dict[str, np.ndarray]]


def relative_error(reference: np.ndarray, output: np.ndarray) -> np.ndarray:
    """‖ŷ − ĥ‖ / ‖ĥ‖ of the whole vector, over the last axis."""
    error = np.linalg.norm(reference - output, axis=-1)
    return np.asarray(error / np.linalg.norm(output, axis=-1))


def schemes(variant: Variant) -> list[Scheme]:
    """The schemes of descent that differ for the variant."""
    shared = "single_sample_shared_decay"
    return [name for name in SCHEMES if name != shared or not variant.gradient_is_constant]


def descents(
    problem: DualProblem, variant: Variant, epochs: int, followed: int | None = None
) -> Iterator[tuple[str, Descent]]:
    """Every scheme of descent from the variant's W_0, and one step from that of Eq. 12."""
    for scheme in schemes(variant):
        yield scheme, descend(problem, variant, scheme, epochs, followed=followed)
    if variant.starts_elsewhere:
        start = Variant.initial_weight(variant, problem)
        one_step = descend(problem, variant, "full_batch", 1, start=start, followed=followed)
        yield "full_batch_from_eq12", one_step


def full_width_problem(layer: Layer, tokens: torch.Tensor, variant: Variant) -> DualProblem:
    """The variant's problem for prompts (prompts, N + 1, d), with features as wide as d_r."""
    return dual_problem(layer.weights, tokens, layer.features, variant.mixing(tokens.shape[-2] - 1))


def compressed_problem(layer: Layer, tokens: torch.Tensor, variant: Variant) -> DualProblem:
    """The same in N + 2 dimensions: few prompts at a time, but all descend together."""
    some = torch.split(tokens, FULL_WIDTH_PROMPTS)
    return join([full_width_problem(layer, one, variant).compressed() for one in some])


def compare(
    problem: DualProblem,
    variant: Variant,
    epochs: int,
    followed: int | None = None,
    restated: ReadOut | None = None,
) -> Courses:
    """By scheme, what the layer's outputs are compared with, its restated form's among it.

    That is ``prediction`` (..., prompts, d), and of a descent also ``path``, the label coordinate
    of ŷ_test, ``cosine`` and ``cosine_others``, of the first prompts, (..., followed, steps + 1).
    """
    courses: Courses = {}
    for scheme, descent in descents(problem, variant, epochs, followed):
        courses[scheme] = {
            "prediction": descent.prediction.numpy(),
            "path": descent.path[..., -1].movedim(0, -1).numpy(),
            "cosine": descent.cosine.movedim(0, -1).numpy(),
            "cosine_others": descent.cosine_others.movedim(0, -1).numpy(),
        }
    if restated is not None:
        courses["restated"] = {"prediction": restated.output.numpy()}
    return courses


def full_width_deviations(
    layer: Layer, tokens: torch.Tensor, variant: Variant, epochs: int, courses: Courses
) -> dict[str, np.ndarray]:
    """The control: by scheme, how far each prompt's descent is off the same one at full width.

    Of the label coordinate of ŷ_test, relative to its largest value on the way, or of the cosine,
    whichever differs more, over all steps: (control prompts,). The exact softmax, which has no φ,
    is compared with the descent of its coefficients at the end. The courses are those of several
    runs, (runs, prompts, ...), and the layer is that of the first.
    """
    if layer.features is None:
        return kernel_deviations(layer, tokens[:FULL_WIDTH_PROMPTS], variant, epochs, courses)
    problem = full_width_problem(layer, tokens[:FULL_WIDTH_PROMPTS], variant)
    deviations = {}
    for scheme, course in compare(problem, variant, epochs).items():
        path, cosine = course["path"], course["cosine"]
        off = np.abs(courses[scheme]["path"][0, : len(path)] - path).max(1) / np.abs(path).max(1)
        turned = np.abs(courses[scheme]["cosine"][0, : len(path)] - cosine).max(1)
        deviations[scheme] = np.maximum(off, turned)
    return deviations


def kernel_deviations(
    layer: Layer, tokens: torch.Tensor, variant: Variant, epochs: int, courses: Courses
) -> dict[str, np.ndarray]:
    """How far each prompt's descent is off the same one in terms of kernels alone, at its end."""
    queries, keys, values = project(layer.weights, tokens)
    prompts, n, _ = keys.shape
    attends, own = torch.ones(prompts, 1, n, dtype=torch.bool), torch.tensor([n - 1])
    problem = softmax_problem(queries[:, -1:], keys, values, attends, own)
    deviations: dict[str, np.ndarray] = {}
    for scheme in schemes(variant):
        ended, prediction = descend_softmax(problem, scheme, epochs)
        course = {name: one[0, :prompts] for name, one in courses[scheme].items()}
        off = relative_error(prediction[:, 0].numpy(), course["prediction"])
        turned = np.abs(course["cosine"][:, -1] - problem.cosine(ended)[:, 0].numpy())
        deviations[scheme] = np.maximum(off, turned)
    return deviations
