"""What every random-feature family must satisfy, as tests that a new one inherits.

    class TestMyFamily(UnbiasedFamilyTests):
        kind = MyFamily

runs all of them, for each law of ω that the family has. Statistical tests are seeded, and their
thresholds are in standard errors.
"""

# ruff: noqa: S101

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from icl_contrastive.attention import Weights, kernel_attention, project
from icl_contrastive.descent import descend
from icl_contrastive.dual import dual_problem
from icl_contrastive.features.family import Array, Family, Statistics
from icl_contrastive.prediction import predict
from icl_contrastive.variants import build_variant
from icl_contrastive.variants.base import Variant

if TYPE_CHECKING:
    import pytest

    from icl_contrastive.features.base import FeatureMap

D = 6  # dimension of keys and queries
D_R = 2 * D
SEED = 2023
STANDARD_ERRORS = 5.0

VARIANTS: dict[str, Variant] = {
    "softmax": build_variant({"model": "softmax"}),
    "regularized_eq14": build_variant({"model": "regularized", "form": "eq14", "alpha": 0.2}),
    "regularized_eq15": build_variant({"model": "regularized", "form": "eq15", "alpha": -0.1}),
    "augmented_g1": build_variant({"model": "augmented", "g1": 1}),
    "augmented_g2plus": build_variant({"model": "augmented", "g2": 2}),
    "negative": build_variant({"model": "negative", "form": "section_5.5", "k": 2, "beta": 0.2}),
    "negative_eq18": build_variant({"model": "negative", "form": "eq18", "k": 2, "beta": 0.2}),
}


def pairs(norm: float, d: int = D) -> tuple[Array, Array]:
    """Keys and queries, (2d, d) each, with ‖x + y‖ = norm and ‖x − y‖ = norm/2.

    The sums point to both sides of d orthogonal directions, the differences likewise to others.
    """
    basis = np.linalg.qr(np.random.default_rng(SEED).standard_normal((d, d)))[0]
    directions = np.concatenate([basis, -basis])
    total, difference = norm * directions, norm / 2 * np.roll(directions, 1, axis=0)
    return (total + difference) / 2, (total - difference) / 2


def draws(
    family: Family, repeats: int, d_r: int = D_R, statistics: Statistics | None = None, d: int = D
) -> FeatureMap:
    """Independent draws of the family as one map in float64, first axis: repeat."""
    rng = np.random.default_rng([SEED, d_r])
    drawn = [family.draw(rng, d, d_r, statistics) for _ in range(repeats)]
    stacked = {name: np.stack([one[name] for one in drawn]) for name in drawn[0]}
    return family.feature_map({name: torch.as_tensor(a).double() for name, a in stacked.items()})


def relative_estimates(
    family: Family, keys: Array, queries: Array, repeats: int, d_r: int = D_R
) -> Array:
    """φ(x)ᵀφ(y) / exp(xᵀy) of independent draws, (repeats, pairs)."""
    statistics = Statistics.of(keys, queries)
    features = draws(family, repeats, d_r, statistics, keys.shape[-1])
    x, y = torch.from_numpy(keys), torch.from_numpy(queries)
    estimates = features.kernel(x, y).diagonal(dim1=-2, dim2=-1)
    return np.asarray((estimates / (x * y).sum(-1).exp()).numpy())


def deviation(samples: Array, expected: npt.ArrayLike) -> Array:
    """Distance of the mean over the first axis from what is expected, in standard errors."""
    error = samples.std(0, ddof=1) / np.sqrt(len(samples))
    return np.asarray(np.abs(samples.mean(0) - expected) / error)


def slope(d_r: list[int], errors: list[Array]) -> tuple[float, float]:
    """Slope of log(mean error) over log d_r, and its standard error; one array for each d_r."""
    means = np.array([error.mean() for error in errors])
    spread = np.array([error.std(ddof=1) / np.sqrt(len(error)) for error in errors]) / means
    design = np.stack([np.log(d_r), np.ones(len(d_r))], -1) / spread[:, None]
    covariance = np.linalg.inv(design.T @ design)
    fit = covariance @ design.T @ (np.log(means) / spread)
    return float(fit[0]), float(np.sqrt(covariance[0, 0]))


def prompts_and_weights(variant: Variant, norm: float) -> tuple[torch.Tensor, Weights]:
    """Three prompts of 7 demonstrations, and weights with entries of the size ``norm``/√D."""
    rng = np.random.default_rng(SEED)

    def weight(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.uniform(-norm, norm, (*shape, D, D)) / np.sqrt(D))

    tokens = torch.from_numpy(rng.uniform(-1, 1, (3, 8, D)))
    g1, g2 = (weight(layers) if layers else None for layers in (variant.g1, variant.g2))
    return tokens, Weights(weight(), weight(), weight(), g1, g2, "scaled")


class FamilyTests:
    """The tests of any family; for one that estimates exp(xᵀy), see ``UnbiasedFamilyTests``.

    Attributes:
        kind: the family under test.
        d_r: features of the exact checks, a number that the family allows.
        weight_norm: size of the weights in the exact checks.
    """

    kind: ClassVar[type[Family]]
    d_r: ClassVar[int] = 36
    weight_norm: ClassVar[float] = 1.0

    def families(self) -> list[Family]:
        """The family with each of its laws of ω."""
        return [self.kind(projection) for projection in self.kind.projections or (None,)]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run every test for each law of ω, and some for each variant or closed form too."""
        if "family" in metafunc.fixturenames:
            families = self.families()
            metafunc.parametrize("family", families, ids=[f.projection for f in families])
        if "with_closed_form" in metafunc.fixturenames:
            x, y = pairs(1.0)
            known = Statistics.of(x, y)
            families = [
                family
                for family in self.families()
                if family.log_relative_mse(x, y, D_R, known) is not None
            ]
            metafunc.parametrize("with_closed_form", families, ids=[f.projection for f in families])
        if "variant" in metafunc.fixturenames:
            metafunc.parametrize("variant", VARIANTS.values(), ids=VARIANTS)

    def test_a_draw_has_the_dimension_asked_for(self, family: Family) -> None:
        x, y = pairs(1.0)
        statistics = Statistics.of(x, y)
        for d_r in (2, D, D_R, 5 * D + 2):
            drawn = family.draw(np.random.default_rng(SEED), D, d_r, statistics)
            again = family.draw(np.random.default_rng(SEED), D, d_r, statistics)
            assert all(array.dtype == np.float32 for array in drawn.values())
            assert all(np.array_equal(drawn[name], again[name]) for name in drawn)
            features = family.feature_map({name: torch.as_tensor(drawn[name]) for name in drawn})
            phi = features(torch.from_numpy(x).float())
            assert phi.shape == (len(x), family.dimension(D, d_r))
            assert phi.isfinite().all()

    def test_kernels_are_products_of_features(self, family: Family) -> None:
        x, y = map(torch.from_numpy, pairs(1.0))
        features = draws(family, 3, self.d_r, Statistics.of(x, y))
        product = features(x) @ features(y).mT
        assert torch.allclose(features.kernel(x, y), product, rtol=1e-12, atol=0)
        if family.nonnegative:
            assert (product > 0).all()
        weights = kernel_attention(y, x, features)
        assert torch.allclose(weights.sum(-2), torch.ones(()).double(), rtol=1e-12, atol=0)
        at_last_query = features.attention(x, y[-1:])[..., 0]
        assert torch.allclose(at_last_query, weights[..., -1], rtol=1e-9, atol=0)

    def test_the_equivalence_is_exact(self, family: Family, variant: Variant) -> None:
        """Theorem 1 holds for any φ, estimate or not, that layer and reference model share."""
        self.check_equivalence(family, variant, self.weight_norm)

    def test_the_equivalence_is_exact_far_from_the_origin(self, family: Family) -> None:
        """Where φ leaves the range of floating point: see ``FeatureMap.scaled``."""
        self.check_equivalence(family, VARIANTS["softmax"], 60 * self.weight_norm)

    def check_equivalence(self, family: Family, variant: Variant, norm: float) -> None:
        """Compare layer and reference model, for weights of so large entries."""
        tokens, weights = prompts_and_weights(variant, norm)
        projections = project(weights, tokens)
        statistics = Statistics.of(projections.keys, projections.queries)
        features = draws(family, 1, self.d_r, statistics)
        output = predict(weights, tokens, variant, features)
        problem = dual_problem(weights, tokens, features)
        descents = [descend(problem, variant, "full_batch", epochs=1)]
        if variant.gradient_is_constant:
            descents.append(descend(problem, variant, "single_sample", epochs=3))
        for descent in descents:
            difference = (descent.prediction - output).norm(dim=-1) / output.norm(dim=-1)
            assert (difference <= 1e-10).all()


class UnbiasedFamilyTests(FamilyTests):
    """More for a family with E φ(x)ᵀφ(y) = exp(xᵀy).

    The tails of the estimates are heavy, so ‖x + y‖ is small and the draws are many.
    """

    def test_is_unbiased(self, family: Family) -> None:
        for norm in (0.5, 1.0, 2.0):
            estimates = relative_estimates(family, *pairs(norm), repeats=3000)
            assert (deviation(estimates, 1.0) < STANDARD_ERRORS).all()

    def test_mean_squared_error_has_its_closed_form(self, with_closed_form: Family) -> None:
        for norm in (0.7, 1.0):
            x, y = pairs(norm)
            expected = with_closed_form.log_relative_mse(x, y, D_R, Statistics.of(x, y))
            assert expected is not None
            errors = (relative_estimates(with_closed_form, x, y, repeats=4000) - 1) ** 2
            assert deviation(errors.mean(-1), np.exp(expected).mean()) < STANDARD_ERRORS

    def test_errors_fall_at_the_rate_of_a_mean(self, family: Family) -> None:
        """Slope −1 for the mean squared error, −1/2 for the mean absolute error."""
        d_r = [8 * D, 16 * D, 32 * D, 64 * D]
        x, y = pairs(0.7)
        errors = [np.abs(relative_estimates(family, x, y, 400, size) - 1) for size in d_r]
        for power, expected in ((2, -1.0), (1, -0.5)):
            fitted, error = slope(d_r, [(size**power).mean(-1) for size in errors])
            assert error < 0.06
            assert abs(fitted - expected) < STANDARD_ERRORS * error
