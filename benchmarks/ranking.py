"""What it costs to judge an order: five ranking metrics of a million rows in 100,000 groups, beside loops over groups.

    python benchmarks/ranking.py

One loop calls scikit-learn's ``ndcg_score`` for each group, which is one of the five figures; the other sorts each
group and computes all five with nothing but NumPy. They run over one group in fifty, and their time counts fifty
times. All give the same figures for these groups. Prints all; the last line is the figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from proml_kedro.evaluation.rankings import Rankings

METRICS = ["ndcg@10", "mrr", "precision@1", "recall@5", "map@10"]
SAMPLED = 50


def of_one_group(label: np.ndarray, score: np.ndarray) -> list[float]:
    """The five figures of one group by definition; NaN without a positive row."""
    if not label.any():
        return [np.nan] * len(METRICS)
    ranked = label[np.argsort(-score, kind="stable")]
    discount = 1 / np.log2(np.arange(2, len(ranked) + 2))
    best = np.sort(label)[::-1]
    places = np.flatnonzero(ranked) + 1
    first = places[places <= 10]
    precision = np.arange(1, len(first) + 1) / first
    return [
        float((ranked[:10] * discount[:10]).sum() / (best[:10] * discount[:10]).sum()),
        1 / float(places[0]),
        float(ranked[0]),
        float(ranked[:5].sum() / ranked.sum()),
        float(precision.sum() / min(len(places), 10)),
    ]


def _ndcg(label: np.ndarray, score: np.ndarray) -> float:
    from sklearn.metrics import ndcg_score

    if not label.any() or len(label) < 2:  # scikit-learn refuses groups of one row
        return 1.0 if label.any() else np.nan
    return float(ndcg_score([label], [score], k=10))


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=float, default=100_000)
    groups = int(parser.parse_args().groups)
    generator = np.random.default_rng(0)
    group = np.sort(np.concatenate([np.arange(groups), generator.integers(0, groups, 9 * groups)]))
    score = generator.random(len(group))  # no two are equal: the order of ties is random here and not in the loop
    label = (generator.random(len(group)) < 0.3 * score).astype(np.float64)

    began = time.process_time()
    ours = Rankings(label, score, group)
    figures = ours.measure(METRICS)
    vectorised = time.process_time() - began

    ends = np.searchsorted(group, np.arange(groups + 1))
    chosen = range(0, groups, SAMPLED)
    began = time.process_time()
    one_by_one = [of_one_group(label[ends[n] : ends[n + 1]], score[ends[n] : ends[n + 1]]) for n in chosen]
    loop = (time.process_time() - began) * SAMPLED

    began = time.process_time()
    of_sklearn = [_ndcg(label[ends[n] : ends[n + 1]], score[ends[n] : ends[n + 1]]) for n in chosen]
    sklearn = (time.process_time() - began) * SAMPLED
    np.testing.assert_allclose(ours.of_groups("ndcg@10")[::SAMPLED], of_sklearn, atol=1e-9)

    for place, name in enumerate(METRICS):
        np.testing.assert_allclose(ours.of_groups(name)[::SAMPLED], [one[place] for one in one_by_one], atol=1e-12)
    print(
        f"{len(group):,} rows in {groups:,} groups: {vectorised:.2f} CPU-s at once for five metrics, {sklearn:.1f} "
        f"in a loop of scikit-learn for one, {loop:.1f} in a loop of NumPy for five"
    )
    print(", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    seconds = {"cpu_seconds": vectorised, "scikit_learn_seconds": sklearn, "numpy_loop_seconds": loop}
    print(json.dumps({"rows": len(group), **seconds, "times_scikit_learn": sklearn / vectorised}))


if __name__ == "__main__":
    main()
