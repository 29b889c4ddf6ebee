"""How often a 95 % interval holds the truth: of rates of independent items, and of items in clusters.

    python bench/coverage.py

For independent items nothing is drawn: each possible number of right items has its interval, and the
probabilities of those whose interval holds the true rate are summed. Clusters (speakers who differ in how
often they are understood, beta distributed) are simulated.
"""

import numpy as np
from scipy.stats import binom

from desta2.evaluate.stats import cluster_bootstrap

RATES = (0.5, 0.8, 0.9, 0.95, 0.97, 0.99)
SIZES = (30, 50, 100, 250)
CLUSTERS, ITEMS, SAMPLES = (5, 10, 20, 40), 25, 1000


def independent(n: int) -> list[float]:
    """Coverage for each of `RATES` with n items."""
    intervals = [cluster_bootstrap(np.arange(n) < right) for right in range(n + 1)]
    return [
        sum(binom.pmf(right, n, rate) for right, i in enumerate(intervals) if i.low <= rate <= i.high)
        for rate in RATES
    ]


def clustered(clusters: int, rate: float = 0.7, alike: float = 10.0) -> float:
    """Coverage with so many clusters; the larger `alike`, the less they differ."""
    rng = np.random.default_rng(clusters)
    names = np.repeat(np.arange(clusters), ITEMS)
    held = 0
    for _ in range(SAMPLES):
        chances = rng.beta(alike * rate, alike * (1 - rate), size=clusters)
        found = cluster_bootstrap(rng.random(len(names)) < chances[names], None, names, resamples=1000)
        held += found.low <= rate <= found.high
    return held / SAMPLES


if __name__ == "__main__":
    print("true rate   " + "".join(f"{100 * rate:7.0f} %" for rate in RATES))
    for n in SIZES:
        print(f"{n:5d} items " + "".join(f"{100 * share:7.1f} %" for share in independent(n)))
    for clusters in CLUSTERS:
        print(f"{clusters:5d} clusters of {ITEMS}, mean rate 70 %: {100 * clustered(clusters):.1f} %")
