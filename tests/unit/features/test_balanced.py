"""Balanced features: by the tests of all families, and what is special to them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import optimize

from icl_contrastive.features import Statistics, build_family
from icl_contrastive.features.balanced import (
    Balance,
    Balanced,
    BalancedOPRF,
    BalancedSDERF,
    geometric_mean,
)
from icl_contrastive.features.family import Family, Moments
from icl_contrastive.features.positive import Positive
from icl_contrastive.testing import UnbiasedFamilyTests, draws, pairs

pytestmark = pytest.mark.slow

Array = npt.NDArray[np.float64]


class AsymmetricTests(UnbiasedFamilyTests):
    def test_kernels_are_products_of_features(self, family: Family) -> None:
        """Of φ_K and φ_Q, up to the factors that cancel in the attention."""
        x, y = map(torch.from_numpy, pairs(1.0))
        features = draws(family, 3, self.d_r, Statistics.of(x, y))
        phi_keys, phi_queries = features.scaled(x, y)
        ratio = features.kernel(x, y) / (phi_keys @ phi_queries.mT)
        torch.testing.assert_close(ratio, ratio[..., :1, :].expand_as(ratio), rtol=1e-11, atol=0)
        phi = features(x)
        ratio = phi / phi_keys
        torch.testing.assert_close(ratio, ratio[..., :1, :1].expand_as(ratio), rtol=1e-11, atol=0)


class TestBalanced(AsymmetricTests):
    kind = Balanced


class TestBalancedOPRF(AsymmetricTests):
    kind = BalancedOPRF


class TestBalancedSDERF(AsymmetricTests):
    kind = BalancedSDERF


def tokens(rng: np.random.Generator, n: int, d: int) -> tuple[Array, Array]:
    """Keys and queries with means and covariances of their own."""
    stretch = np.diag(np.geomspace(0.1, 1, d))
    keys = rng.standard_normal((n, d)) @ stretch + 1
    return keys, rng.standard_normal((n, d)) @ stretch[::-1, ::-1] - 0.5


def test_change_of_variables_is_exact() -> None:
    keys, queries = tokens(np.random.default_rng(0), 40, 5)
    balance = Balance.of(Statistics.of(keys, queries))
    u, w = balance.changed(keys, queries)
    inner = (u * w).sum(-1) + keys @ balance.query_mean
    inner += (queries - balance.query_mean) @ balance.key_mean
    np.testing.assert_allclose(inner, (keys * queries).sum(-1), rtol=1e-12)


def test_both_sides_have_the_same_covariance_and_no_mean() -> None:
    keys, queries = tokens(np.random.default_rng(0), 100_000, 4)
    u, w = Balance.of(Statistics.of(keys, queries)).changed(keys, queries)
    np.testing.assert_allclose(np.cov(u.T), np.cov(w.T), atol=1e-3)
    np.testing.assert_allclose([u.mean(0), w.mean(0)], 0, atol=1e-12)


def test_the_geometric_mean_is_the_minimizer() -> None:
    """tr(MΣ_k) + tr(M⁻¹Σ_q) over all M = LLᵀ."""
    rng = np.random.default_rng(1)
    d = 3
    of_keys, of_queries = (x @ x.T + 0.1 * np.eye(d) for x in rng.standard_normal((2, d, d)))

    def objective(entries: Array) -> float:
        m = entries.reshape(d, d) @ entries.reshape(d, d).T
        return float(np.trace(m @ of_keys) + np.trace(np.linalg.solve(m, of_queries)))

    found = optimize.minimize(objective, np.eye(d).ravel(), method="BFGS", tol=1e-10)
    best = geometric_mean(np.linalg.inv(of_keys), of_queries)
    np.testing.assert_allclose(best @ of_keys @ best, of_queries, rtol=1e-10)
    value = np.trace(best @ of_keys) + np.trace(np.linalg.solve(best, of_queries))
    assert value <= found.fun + 1e-9
    assert value == pytest.approx(found.fun, rel=1e-6)


@pytest.mark.parametrize("weights", ["", "+oprf", "+sderf"])
def test_fitted_on_other_tokens_it_needs_far_fewer_features(weights: str) -> None:
    rng = np.random.default_rng(2)
    statistics = Statistics.of(*tokens(rng, 200, 8))
    keys, queries = tokens(rng, 50, 8)
    plain = build_family({"family": weights[1:] or "positive"})
    errors = [
        family.log_relative_mse(keys, queries, 100, statistics)
        for family in (build_family({"family": f"balanced{weights}"}), plain)
    ]
    assert errors[0] is not None
    assert errors[1] is not None
    assert np.median(errors[0]) < np.median(errors[1]) - np.log(5)


def test_balanced_keys_and_queries_are_left_as_they_are() -> None:
    """Without means, and with equal covariances, it is the family whose weights it has."""
    moments = Moments(np.zeros(3), np.eye(3))
    statistics = Statistics(2 * np.eye(3), moments, moments)
    keys, queries = np.random.default_rng(0).standard_normal((2, 10, 3))
    balanced = Balanced().log_relative_mse(keys, queries, 12, statistics)
    assert balanced is not None
    plain = Positive().log_relative_mse(keys, queries, 12)
    np.testing.assert_allclose(balanced, plain, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_covariances_of_few_tokens_can_be_inverted(n: int) -> None:
    x = np.random.default_rng(0).standard_normal((n, 12)) * 1e-3 + 5
    covariance = Moments.of(x).covariance
    assert np.trace(covariance) == pytest.approx(x.var(0).sum())
    if n > 1:
        assert np.linalg.cond(covariance) < 1e3


def test_second_moments_alone_are_not_enough() -> None:
    with pytest.raises(ValueError, match="need means and covariances"):
        Balanced().draw(np.random.default_rng(0), 3, 8, Statistics(np.eye(3)))
