"""Which hashes are near an earlier one, without comparing all with all.

Deal the bits of each hash out to `within + 2` bands: two hashes that differ in at most `within` bits
agree on at least two whole bands. So it is enough to compare, for each choice of two bands, the hashes
that agree on both, which lie side by side once sorted by them. Nothing is missed.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from jaxtyping import Int, UInt64

BITS = 64
HELD = 1 << 20  # pairs at a time, where they become Python's numbers
ONES = np.array([number.bit_count() for number in range(1 << 16)], np.uint8)


def first_alike(hashes: UInt64[np.ndarray, "n"], *, within: int = 3) -> Int[np.ndarray, "n"]:
    """For each hash, the place of the first one that stays and is at most `within` bits away; its own if it stays.

    A hash stays when it is near none that stays before it. So whatever leaves has a near one that
    stays: a long chain of likenesses, such as the frames of a film, is thinned out and not reduced to one.
    """
    if not 0 <= within <= BITS - 2:
        raise ValueError(f"hashes are compared within 0 to {BITS - 2} bits, but {within} were asked for")
    values, places, which = np.unique(hashes, return_index=True, return_inverse=True)
    order = np.argsort(places)  # from sorted values to the order in which they came
    number = np.argsort(order)
    pairs = np.empty(0, np.int64)
    for mask in _masks(within) if within else ():
        pairs = np.union1d(pairs, _alike(values[order], mask, within))
    return places[order][_first(pairs, len(values))][number][which.reshape(-1)]


def _masks(within: int) -> Iterator[np.uint64]:
    """The bits of each choice of two bands; neighbours go to different ones, since they tell about as much."""
    bands = [sum(1 << bit for bit in range(band, BITS, within + 2)) for band in range(within + 2)]
    return (np.uint64(one | other) for one, other in combinations(bands, 2))


def _alike(hashes: UInt64[np.ndarray, "n"], mask: np.uint64, within: int) -> Int[np.ndarray, "p"]:
    """The pairs that agree under the mask and differ in at most `within` bits.

    A pair is the place of the later times their number, plus the place of the earlier: sorting brings it into order.
    """
    order = np.argsort(hashes & mask, kind="stable")  # stable: of two that agree, the earlier comes first
    keys, ordered = (hashes & mask)[order], hashes[order]
    found = [np.empty(0, np.int64)]
    step, low = 1, np.arange(len(keys) - 1)
    while len(low := low[keys[low] == keys[low + step]]):
        near = low[_ones(ordered[low] ^ ordered[low + step]) <= within]
        found.append(order[near + step] * len(keys) + order[near])
        step += 1
        low = low[low + step < len(keys)]
    return np.concatenate(found)


def _ones(words: UInt64[np.ndarray, "n"]) -> UInt64[np.ndarray, "n"]:
    """How many bits are set in each."""
    return ONES[words.view(np.uint16)].reshape(-1, BITS // 16).sum(axis=1, dtype=np.uint64)


def _first(pairs: Int[np.ndarray, "p"], count: int) -> Int[np.ndarray, "n"]:
    """Go through the pairs, the earliest of the later ones first: who is near one that stays leaves."""
    first = list(range(count))
    for start in range(0, len(pairs), HELD):
        later, earlier = np.divmod(pairs[start : start + HELD], count)
        for one, other in zip(earlier.tolist(), later.tolist(), strict=True):
            if first[one] == one and first[other] == other:
                first[other] = one
    return np.array(first, np.int64)
