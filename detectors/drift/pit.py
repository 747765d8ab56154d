"""
A number whose distribution may move: two scores on one set of bins.

u is the mid-rank of a bin in the reference: the share of it below the bin, plus half of the bin's. `location` watches
u: its mean is the AUC between reference and now, exactly 1/2 while nothing moves. `spread` watches |2u - 1|: its
reference mean is 1/2 only for a continuous signal and comes from the counts. Only ranks enter, so units do not matter.
"""

import numpy as np

from detectors.drift.bands import Floats

LOCATION = "location"
SPREAD = "spread"


def mid_ranks(counts: Floats) -> Floats:
    """Per bin, in (0, 1). `counts`: of the reference, at least one above 0."""
    shares = counts / counts.sum()
    return np.asarray(np.cumsum(shares) - shares / 2)


def values(counts: Floats) -> dict[str, Floats]:
    """Score name to the score of each bin."""
    ranks = mid_ranks(counts)
    return {LOCATION: ranks, SPREAD: np.abs(2 * ranks - 1)}
