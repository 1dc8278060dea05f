"""The statistics against scipy, against theory, and at their edges."""

import numpy as np
import pytest
from scipy import stats

from proml_kedro.health.statistics import (
    benjamini_hochberg,
    g_test,
    new_value_excess,
    pool_sparse_bins,
    proportion_test,
    scale_ratio,
    stability_index,
)


def counts(*values):
    return np.array(values, np.int64)


def test_g_test_equals_scipy():
    reference, current = counts(120, 80, 40, 0, 60), counts(30, 45, 5, 9, 21)
    expected = stats.chi2_contingency([reference, current], lambda_="log-likelihood", correction=False).pvalue
    assert g_test(reference, current) == pytest.approx(expected, rel=1e-9)


def test_proportion_test_equals_the_chi_square_of_the_table():
    expected = stats.chi2_contingency([[30, 970], [60, 940]], correction=False).pvalue
    assert proportion_test(30, 1000, 60, 1000) == pytest.approx(expected, rel=1e-9)


def test_g_test_holds_its_level_when_both_sides_vary():
    """At 5 %, over 2,000 pairs; the bounds are four standard errors wide."""
    generator = np.random.default_rng(2)
    shares = generator.dirichlet(np.full(10, 3.0))
    pairs = [(generator.multinomial(400, shares), generator.multinomial(300, shares)) for _ in range(2000)]
    alarms = np.mean([g_test(*pool_sparse_bins(*pair)) < 0.05 for pair in pairs])
    assert 0.03 < alarms < 0.07


@pytest.mark.parametrize(("n", "m"), [(300, 300), (5000, 500), (50_000, 1000)])
def test_the_index_is_free_of_its_bias(n, m):
    """Without the correction the mean is (B - 1)(1/n + 1/m); what is left is the part cut off at zero."""
    generator = np.random.default_rng(3)
    shares = np.full(10, 0.1)
    found = [stability_index(generator.multinomial(n, shares), generator.multinomial(m, shares)) for _ in range(500)]
    bias = 9 * (1 / n + 1 / m)
    assert np.median(found) < 0.05 * bias
    assert np.mean(found) < 0.25 * bias


def test_the_index_of_a_large_sample_is_the_one_of_its_shares():
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.3, 0.3, 0.4])
    index = stability_index((p * 1e7).astype(int), (q * 1e7).astype(int))
    assert index == pytest.approx(np.sum((q - p) * np.log(q / p)), rel=1e-4)


def test_nothing_to_compare_is_nan():
    assert np.isnan(stability_index(counts(5, 5), counts(0, 0)))
    assert np.isnan(g_test(counts(0, 0), counts(5, 5)))
    assert g_test(counts(10), counts(20)) == 1.0
    assert proportion_test(0, 0, 3, 5) == 1.0
    assert proportion_test(0, 10, 0, 20) == 1.0


def test_sparse_bins_are_pooled_and_no_row_is_lost():
    reference, current = pool_sparse_bins(counts(500, 490, 3, 4, 3, 0), counts(100, 97, 1, 1, 1, 0))
    assert reference.tolist() == [500, 490, 10]
    assert current.tolist() == [100, 97, 3]


def test_a_large_new_bin_is_not_pooled_away():
    reference, current = pool_sparse_bins(counts(1000, 0), counts(0, 1000))
    assert (reference.tolist(), current.tolist()) == ([1000, 0], [0, 1000])


def test_scale_needs_all_quantiles_to_agree():
    assert scale_ratio([1, 2, 3], [100, 200, 300]) == pytest.approx(100)
    assert scale_ratio([100, 200, 300], [1, 2, 3]) == pytest.approx(0.01)
    assert scale_ratio([1, 2, 3], [1.1, 2, 300]) == 1.0
    assert scale_ratio([1, 2, 3], [1.1, 2.5, 300]) == pytest.approx(1.1)
    assert scale_ratio([], [1, 2, 3]) == scale_ratio([1, 2, 3], []) == 1.0


def test_expected_new_categories_are_granted():
    """Fresh samples of a long-tailed distribution always bring new categories; those are no excess."""
    generator = np.random.default_rng(4)
    population = np.arange(5000)
    shares = 1 / (population + 10.0)
    shares /= shares.sum()
    excess = []
    for _ in range(100):
        reference, current = (generator.choice(population, size, p=shares) for size in (5000, 1000))
        known, times = np.unique(reference, return_counts=True)
        new = int((~np.isin(current, known)).sum())
        assert new > 50
        once, twice = ((times == number).sum() for number in (1, 2))
        excess.append(new_value_excess(new, 1000, (once / 5000, np.sqrt(once + 2 * twice) / 5000), 5000))
    assert np.mean(np.array(excess) > 0.01) == 0
    assert new_value_excess(300, 1000, (0.0, 0.0), 5000) > 0.25
    assert new_value_excess(0, 0, (0.0, 0.0), 100) == 0.0


def test_benjamini_hochberg_equals_scipy():
    p_values = np.random.default_rng(5).random(40) ** 3
    expected = stats.false_discovery_control(p_values) <= 0.05
    assert expected.any()
    assert benjamini_hochberg(p_values, 0.05).tolist() == expected.tolist()


def test_tests_that_could_not_be_made_do_not_count():
    assert benjamini_hochberg([np.nan, 0.04, np.nan], 0.05).tolist() == [False, True, False]
    assert benjamini_hochberg([np.nan], 0.05).tolist() == [False]
    assert benjamini_hochberg([], 0.05).tolist() == []
