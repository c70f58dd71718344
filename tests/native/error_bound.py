"""How far a crop can lie from the exact average, derived from the number of terms.

The kernel sums weight * feature along y and then weight * sum along x. With u = 2**-24 the unit roundoff of float32, a
term is rounded once where its y weight becomes a float32, once where it is multiplied by it, the same along x, and once
in each addition that it takes part in. A sum of m terms begins with 0 + first, which is exact, in groups of 8 whose
sums are added up: at most min(m, 8) - 1 additions in the group, and ceil(m / 8) - 1 of groups. NumPy's order is not
known, but no term of m takes part in more than m - 1 additions that round. So a term is off by at most
(1 + u)**k - 1 <= k u / (1 - k u) of its size, where

    k = 4 + additions(terms along y) + additions(terms along x)

and as weights are not negative and sum to at most 1, the crop by that share of the largest number M under the bin:

    |crop - exact| <= k u / (1 - k u) * M + (terms along y + terms along x) * (1 + M) * 2**-149

The last part is what products and weights below the normal range may lose. M u is at most one unit in the last place of
M, so the crop is within k units in the last place of M: 10 for 4 x 4 terms (two samples in a bin of three cells), 4 for
one term. For float64 features u = 2**-53, weights are used as they are, so k is smaller by 2, and the range ends at
2**-1074. Crops of another type than the sums are rounded once more.
Source: Higham, "Accuracy and Stability of Numerical Algorithms" (2002), lemma 3.1.
"""

from __future__ import annotations

import numpy as np

GROUP = 8


def native_additions(terms):
    """The additions that round, of the kernel's sum of `terms` terms."""
    return max(min(terms, GROUP) - 1, 0) + max(-(-terms // GROUP) - 1, 0)


def any_additions(terms):
    """The same in any order."""
    return max(terms - 1, 0)


def roundings(y_terms, x_terms, dtype, additions=native_additions):
    """The k of the bound; dtype: of the sums."""
    return (4 if dtype == np.float32 else 2) + additions(y_terms) + additions(x_terms)


def bound(y_terms, x_terms, largest, dtype, additions=native_additions):
    """The largest |crop - exact| of a bin; largest: max |feature| under it, any shape."""
    info = np.finfo(dtype)
    share = roundings(y_terms, x_terms, dtype, additions) * (float(info.eps) / 2)
    lost = (y_terms + x_terms) * (1 + largest) * float(info.smallest_subnormal)
    return share / (1 - share) * largest + lost
