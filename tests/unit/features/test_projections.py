"""The laws of ω: marginals, angles, and the uniformity of the random rotation."""

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from icl_contrastive.features.family import Family, Statistics
from icl_contrastive.features.positive import Positive
from icl_contrastive.features.projections import PROJECTIONS, haar, simplex_directions
from icl_contrastive.testing import STANDARD_ERRORS, deviation, relative_estimates

Array = npt.NDArray[np.float64]

D = 12
SEED = 2023
LEAST_P = 1e-4


def raw_qr(rng: np.random.Generator, d: int, count: int) -> Array:
    """What LAPACK returns, as several libraries ship it: not Haar."""
    return np.asarray(np.linalg.qr(rng.standard_normal((count, d, d)))[0])


class RawQR(Positive):
    """The negative control: orthogonal features from a raw QR."""

    projections: ClassVar[tuple[str, ...]] = ("orthogonal",)

    def directions(self, rng: np.random.Generator, d: int, m: int) -> Array:
        norms = np.sqrt(rng.chisquare(d, m))
        return norms[:, None] * raw_qr(rng, d, m // d).reshape(m, d)


def bias_in_standard_errors(family: Family) -> Array:
    """At x + y = ±2 · 1/√d."""
    half = np.ones(D) / np.sqrt(D)
    x = np.stack([half, -half])
    return deviation(relative_estimates(family, x, x, repeats=4000, d_r=D), 1.0)


def test_raw_qr_is_biased_and_rejected() -> None:
    assert (bias_in_standard_errors(RawQR("orthogonal")) > 2 * STANDARD_ERRORS).all()


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_no_law_of_omega_is_biased_where_raw_qr_is(projection: str) -> None:
    assert (bias_in_standard_errors(Positive(projection)) < STANDARD_ERRORS).all()


def least_p_of_uniformity(rotations: Array) -> float:
    """Smallest p of tests that rotations are uniform on O(d), after Bonferroni's correction.

    Entries are (1 + r)/2 ~ Beta((d − 1)/2, (d − 1)/2) and uncorrelated; the trace has mean 0, mean
    square 1 and mean fourth power 3 (Diaconis & Evans 2001); the determinant is a fair coin.
    """
    count, d, _ = rotations.shape
    entry = stats.beta((d - 1) / 2, (d - 1) / 2, loc=-1, scale=2)
    corners = [(0, 0), (0, 1), (1, 0), (d // 2, d // 2), (d - 1, d - 1)]
    p = [stats.kstest(rotations[:, i, j], entry.cdf).pvalue for i, j in corners]
    product = rotations[:, 0, 0] * rotations[:, 1, 1]
    trace = np.trace(rotations, axis1=1, axis2=2)
    for samples, mean in ((product, 0), (trace, 0), (trace**2, 1), (trace**4, 3)):
        p.append(2 * stats.norm.sf(deviation(samples, mean)))
    positive = int((np.linalg.det(rotations) > 0).sum())
    p.append(stats.binomtest(positive, count).pvalue)
    return float(min(p)) * len(p)


@pytest.mark.parametrize("d", [3, 12])
def test_rotations_are_uniform(d: int) -> None:
    rotations = haar(np.random.default_rng(SEED), d, 4000)
    assert np.allclose(rotations @ rotations.swapaxes(1, 2), np.eye(d), atol=1e-13)
    assert least_p_of_uniformity(rotations) > LEAST_P
    fixed = np.linalg.qr(np.random.default_rng(1).standard_normal((d, d)))[0]
    assert least_p_of_uniformity(fixed @ rotations) > LEAST_P


def test_raw_qr_is_not_uniform() -> None:
    assert least_p_of_uniformity(raw_qr(np.random.default_rng(SEED), D, 4000)) < 1e-100


@pytest.mark.parametrize("projection", PROJECTIONS)
@pytest.mark.parametrize("m", [D, 2 * D + 5])
def test_every_row_is_standard_normal(projection: str, m: int) -> None:
    rng = np.random.default_rng(SEED)
    draws = np.stack([PROJECTIONS[projection](rng, D, m) for _ in range(3000)])
    assert draws.shape == (3000, m, D)
    p = [stats.kstest(draws[:, i, j], "norm").pvalue for i in (0, m - 1) for j in (0, D - 1)]
    p.append(stats.kstest((draws[:, 0] ** 2).sum(-1), stats.chi2(D).cdf).pvalue)
    assert min(p) * len(p) > LEAST_P


@pytest.mark.parametrize(("projection", "cosine"), [("orthogonal", 0), ("simplex", -1 / (D - 1))])
def test_rows_of_a_block_keep_their_angle(projection: str, cosine: float) -> None:
    omega = PROJECTIONS[projection](np.random.default_rng(SEED), D, D + 4)
    units = omega / np.linalg.norm(omega, axis=1, keepdims=True)
    for block in (units[:D], units[D:]):
        expected = np.full((len(block), len(block)), cosine)
        np.fill_diagonal(expected, 1)
        assert np.allclose(block @ block.T, expected, atol=1e-13)
    assert not np.allclose(units[D:] @ units[:D].T, cosine, atol=1e-3)


@pytest.mark.parametrize("d", [2, 3, 12, 50])
def test_simplex_directions_are_the_corners_of_a_simplex(d: int) -> None:
    corners = simplex_directions(d)
    gram = np.full((d, d), -1 / (d - 1))
    np.fill_diagonal(gram, 1)
    assert np.allclose(corners @ corners.T, gram, atol=1e-13)


def test_a_simplex_in_one_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        Positive("simplex").draw(np.random.default_rng(SEED), 1, 4)


@pytest.mark.slow
def test_blocks_reduce_the_error_as_much_as_the_theory_says() -> None:
    """The closed-form test of the families has the power to tell the laws of ω apart."""
    x = np.full((1, D), 0.5 / np.sqrt(D))
    relative = {}
    for projection in PROJECTIONS:
        error = Positive(projection).log_relative_mse(x, x, D, Statistics.of(x, x))
        relative[projection] = float(np.exp(error[0]))
    estimates = relative_estimates(Positive("simplex"), x, x, repeats=20_000, d_r=D)
    squared = ((estimates - 1) ** 2)[:, 0]
    assert deviation(squared, relative["simplex"]) < STANDARD_ERRORS
    assert deviation(squared, relative["orthogonal"]) > STANDARD_ERRORS
    assert relative["simplex"] < relative["orthogonal"] < relative["independent"]
