"""Closed forms of the errors, and the constants of OPRF and SDERF, against plain numerics."""

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from scipy import integrate, optimize, special, stats

from icl_contrastive.features import build_family
from icl_contrastive.features.family import Statistics
from icl_contrastive.features.moments import log_error_of_mean, pair_moment
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
    for factor in (0.0, -abs(t)):
        found = pair_moment(np.array(t), d, cosine, np.array(factor))
        assert found == pytest.approx(np.exp(factor) * expected, rel=1e-8)


@pytest.mark.parametrize("d", [2, 12, 64])
@pytest.mark.parametrize("t", [-5000, -700, -50, 50, 700, 1500, 5000])
def test_pair_moment_far_from_the_origin(d: int, t: int) -> None:
    """₁F₁(d; d/2; t/2) = e^(t/2) ₁F₁(−d/2; d/2; −t/2), for even d a polynomial, in fractions."""
    term = polynomial = Fraction(1)
    for k in range(d // 2):
        term *= Fraction((k - d // 2) * -t, 2 * (k + d // 2) * (k + 1))
        polynomial += term
    expected = math.exp(min(t, 0) / 2) * float(polynomial)
    found = pair_moment(np.array(float(t)), d, 0.0, np.array(-max(t, 0) / 2))
    assert found == pytest.approx(expected, rel=1e-10, abs=1e-15)


def test_orthogonal_and_simplex_errors_are_those_of_the_literature() -> None:
    """m·MSE/K² at d = m = 12, φ = 2.06; PRF, and ₀F₁ over r² = χ² + χ'² (− 2χχ'/(d − 1))."""
    d, phi = 12, 2.06
    x = np.full(d, np.sqrt(phi / d) / 2)
    statistics = Statistics.of(x, x)

    def scaled(family: str, projection: str) -> float:
        entry = {"family": family, "projection": projection}
        error = build_family(entry).log_relative_mse(x, x, d, statistics)
        assert error is not None
        return float(d * np.exp(error))

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
        oprf = build_family(entry).log_relative_mse(z, z, d, nothing)
        assert oprf == pytest.approx(Positive(projection).log_relative_mse(z, z, d), rel=1e-12)


FAMILIES = ("positive", "hyperbolic", "trigonometric", "oprf", "sderf")


@pytest.mark.parametrize("projection", ["independent", "orthogonal", "simplex"])
@pytest.mark.parametrize("name", FAMILIES)
def test_closed_forms_are_numbers_at_any_norm(name: str, projection: str) -> None:
    """From the origin on, where there is no error, to where its square is e^3000."""
    d = 12
    directions = np.random.default_rng(0).standard_normal((2, 5, d))
    unit = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    logs = []
    for norm in (0.0, 1e-7, 1.0, 10.0, 20.0, 27.0, 40.0):
        x, y = norm * unit
        family = build_family({"family": name, "projection": projection})
        found = family.log_relative_mse(x, y, 2 * d, Statistics.of(x, y))
        if found is None:
            return
        assert (found < np.inf).all()
        logs.append(found)
    assert (np.exp(logs[0]) < 1e-15).all()
    assert (np.diff(logs[2:], axis=0) > 0).all()


@pytest.mark.parametrize("projection", ["independent", "orthogonal", "simplex"])
@pytest.mark.parametrize("name", ["positive", "hyperbolic"])
def test_closed_forms_without_logarithms(name: str, projection: str) -> None:
    """The variance of φ(x)ᵀφ(y)/exp(xᵀy), from moments as they stand, up to where they overflow."""
    d, n = 6, 12
    cosine = {"independent": None, "orthogonal": 0.0, "simplex": -1 / (d - 1)}[projection]
    for phi in (0.3, 3.0, 60.0, 600.0):
        x = np.full(d, math.sqrt(phi / d) / 2)

        def moment(sign: int, phi: float = phi) -> float:
            assert cosine is not None
            return float(pair_moment(np.array(phi), d, sign * cosine, np.array(0.0)))

        second, terms, cross = math.exp(phi), n, 1.0
        if name == "hyperbolic":
            second, terms = math.cosh(phi), n // 2
        if cosine is not None:
            both = [moment(1), moment(-1 if name == "hyperbolic" else 1)]
            cross = math.exp(-phi) * sum(both) / 2
        pairs = terms // d * d * (d - 1)
        expected = (second - 1) / terms + pairs * (cross - 1) / terms**2
        family = build_family({"family": name, "projection": projection})
        found = family.log_relative_mse(x, x, n)
        assert found == pytest.approx(math.log(expected), rel=1e-9)


def test_a_block_cut_short_has_fewer_pairs() -> None:
    log_second, cross = np.log(3.0), np.array(0.5 / 3)
    # 7 terms in blocks of 4 and 3: 12 + 6 ordered pairs, whose covariance is −1/2
    error = (7 * 2 - 18 * 0.5) / 49
    assert log_error_of_mean(7, 4, log_second, cross) == pytest.approx(np.log(error))
    assert log_error_of_mean(7, 4, log_second, None) == pytest.approx(np.log(2 / 7))


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
        error = build_family(entry).log_relative_mse(keys, queries, 1, statistics)
        assert error is not None
        mean_log[family] = np.log1p(np.exp(error)).mean()
    assert mean_log["sderf"] < mean_log["oprf"] < mean_log["positive"]
