"""Closed forms of the errors, and the constants of OPRF and SDERF, against plain numerics."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import integrate, optimize, special, stats

from icl_contrastive.features import build_family
from icl_contrastive.features.family import Statistics
from icl_contrastive.features.moments import error_of_mean, pair_moment
from icl_contrastive.features.oprf import best_constant
from icl_contrastive.features.positive import Positive
from icl_contrastive.features.sderf import best_constants

Array = npt.NDArray[np.float64]


@pytest.mark.parametrize("d", [2, 5, 12])
@pytest.mark.parametrize("t", [-3.0, 0.5, 6.0])
@pytest.mark.parametrize("sign", [-1, 0, 1])
def test_pair_moment_is_the_mean_of_0f1_over_the_norms(d: int, t: float, sign: int) -> None:
    cosine = sign / (d - 1)

    nodes, weights = np.polynomial.legendre.leggauss(120)
    a = 7.5 * (nodes + 1)  # χ_d is below 15
    r2 = a**2 + a[:, None] ** 2 + 2 * a * a[:, None] * cosine
    weights = 7.5 * weights * stats.chi.pdf(a, d)
    expected = weights @ special.hyp0f1(d / 2, r2 * t / 4) @ weights
    assert pair_moment(np.array(t), d, cosine) == pytest.approx(expected, rel=1e-8)


def test_orthogonal_and_simplex_errors_are_those_of_the_literature() -> None:
    """m·MSE/K² at d = m = 12, φ = 2.06; PRF, and ₀F₁ over r² = χ² + χ'² (− 2χχ'/(d − 1))."""
    d, phi = 12, 2.06
    x = np.full(d, np.sqrt(phi / d) / 2)
    statistics = Statistics.of(x, x)

    def scaled(family: str, projection: str) -> float:
        entry = {"family": family, "projection": projection}
        error = build_family(entry).mean_squared_error(x, x, d, statistics)
        assert error is not None
        return float(d * error / np.exp(2 * x @ x))

    def cross(power: float) -> float:
        mean, _ = integrate.quad(
            lambda r2: stats.chi2.pdf(r2, 2 * d) * special.hyp0f1(d / 2, r2 * power / 4), 0, 200
        )
        return float(mean)

    prefactor = np.exp(-phi)  # e^(−‖x‖²−‖y‖²) / K²
    orthogonal = prefactor * (np.exp(2 * phi) - np.exp(phi) + (d - 1) * (cross(phi) - np.exp(phi)))
    assert scaled("positive", "independent") == pytest.approx(np.expm1(phi), rel=1e-12)
    assert scaled("positive", "orthogonal") == pytest.approx(orthogonal, rel=1e-8)
    assert scaled("positive", "simplex") == pytest.approx(4.3, abs=0.2)
    assert scaled("oprf", "independent") == pytest.approx(4.0, abs=0.05)
    assert scaled("oprf", "orthogonal") == pytest.approx(2.7, abs=0.1)
    assert scaled("oprf", "simplex") == pytest.approx(1.3, abs=0.05)


@pytest.mark.parametrize("d", [2, 12])
@pytest.mark.parametrize("phi", [0.01, 2.06, 30.0])
def test_oprf_without_weights_is_positive(d: int, phi: float) -> None:
    """At A = 0 the closed form of OPRF is that of positive features."""
    z = np.full(d, np.sqrt(phi / d) / 2)
    nothing = Statistics(np.zeros((d, d)))
    for projection in ("independent", "orthogonal", "simplex"):
        entry = {"family": "oprf", "projection": projection}
        oprf = build_family(entry).mean_squared_error(z, z, d, nothing)
        assert oprf == pytest.approx(Positive(projection).mean_squared_error(z, z, d), rel=1e-12)


def test_a_block_cut_short_has_fewer_pairs() -> None:
    second, cross = np.array(3.0), np.array(0.5)
    # 7 terms in blocks of 4 and 3: 12 + 6 ordered pairs, whose covariance is −1/2
    assert error_of_mean(7, 4, second, cross) == pytest.approx((7 * 2 - 18 * 0.5) / 49)
    assert error_of_mean(7, 4, second, None) == pytest.approx(2 / 7)


def log_second_moment(a: Array, squares: Array) -> float:
    """log E t² by direction, for weights exp(a ω²) and squares of z: Σ_l over both."""
    terms = np.log(1 - 4 * a) - np.log(1 - 8 * a) / 2 + 2 * (1 - 4 * a) / (1 - 8 * a) * squares
    return float(terms.sum())


@pytest.mark.parametrize("d", [1, 4, 12, 64])
@pytest.mark.parametrize("phi", [1e-3, 0.5, 2.06, 10.0, 200.0])
def test_oprf_constant_is_the_minimizer(d: int, phi: float) -> None:
    def objective(a: float) -> float:
        return log_second_moment(np.full(d, a), np.full(d, phi / d))

    found = optimize.minimize_scalar(
        objective, bounds=(-10 - phi, 0.1249), method="bounded", options={"xatol": 1e-12}
    )
    best = best_constant(phi, d)
    assert best < 1 / 8
    assert best == pytest.approx(found.x, rel=1e-3, abs=1e-6)
    assert objective(best) <= found.fun + 1e-12


def test_oprf_constant_has_the_right_sign_under_the_root() -> None:
    """The formula in circulation, with −4φ² or −12dφ under the root, is far worse."""
    d, phi = 12, 10.0
    best = best_constant(phi, d)
    wrong = (d - 2 * phi - np.sqrt(4 * phi**2 - 12 * d * phi + d**2 + 0j).real) / (16 * d)
    at = [log_second_moment(np.full(d, a), np.full(d, phi / d)) for a in (best, wrong)]
    assert at[1] > at[0] + 0.5


def test_sderf_constants_are_the_minimizer() -> None:
    """Over A and Q at once, for the mean log second moment; Q by Givens rotations."""
    d = 3
    rng = np.random.default_rng(2023)
    x, y = rng.normal(size=(8, d)) * [1.5, 0.7, 0.2] + 0.3, rng.normal(size=(9, d))
    second_moment = Statistics.of(x, y).second_moment
    z = (x[:, None] + y[None]).reshape(-1, d)
    assert np.allclose(second_moment, z.T @ z / len(z))

    def objective(parameters: Array) -> float:
        a = 0.125 - np.exp(parameters[:d])
        rotation = np.eye(d)
        for (i, j), angle in zip(((0, 1), (0, 2), (1, 2)), parameters[d:], strict=True):
            givens = np.eye(d)
            givens[[i, j], [i, j]] = np.cos(angle)
            givens[i, j], givens[j, i] = -np.sin(angle), np.sin(angle)
            rotation = rotation @ givens
        return log_second_moment(a, ((z @ rotation) ** 2).mean(0))

    a, q = best_constants(second_moment)
    assert (a < 1 / 8).all()
    assert np.allclose(q @ q.T, np.eye(d))
    best = log_second_moment(a, ((z @ q) ** 2).mean(0))
    starts = [np.concatenate([np.full(d, -1.0), rng.uniform(0, np.pi, 3)]) for _ in range(6)]
    found = min((optimize.minimize(objective, start) for start in starts), key=lambda r: r.fun)
    assert best <= found.fun + 1e-9
    assert best == pytest.approx(found.fun, abs=1e-6)
    assert np.sort(a) == pytest.approx(np.sort(0.125 - np.exp(found.x[:d])), abs=1e-3)


def test_sderf_with_equal_directions_is_oprf() -> None:
    d, phi = 5, 3.0
    a, _ = best_constants(phi / d * np.eye(d))
    assert a == pytest.approx(best_constant(phi, d), rel=1e-12)


def test_one_constant_is_never_better_than_one_for_each_direction() -> None:
    rng = np.random.default_rng(0)
    keys, queries = rng.normal(size=(20, 4)) * [2, 1, 0.5, 0.1], rng.normal(size=(20, 4)) * 0.5
    statistics = Statistics.of(keys, queries)
    mean_log = {}
    for family in ("positive", "oprf", "sderf"):
        entry = {"family": family}
        error = build_family(entry).mean_squared_error(keys, queries, 1, statistics)
        assert error is not None
        mean_log[family] = np.log(error / np.exp(2 * (keys * queries).sum(-1)) + 1).mean()
    assert mean_log["sderf"] < mean_log["oprf"] < mean_log["positive"]
