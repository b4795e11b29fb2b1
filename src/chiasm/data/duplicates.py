"""Groups of near-equal hashes, without comparing all with all.

Deal the bits of each hash out to `within + 2` bands: two hashes that differ in at most `within` bits agree on
at least two whole bands. So it is enough to compare, for each choice of two bands, the hashes that
agree on both, which lie side by side once sorted by them. Nothing is missed.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from jaxtyping import Int64, UInt64

BITS = 64
HELD = 1 << 20  # pairs that are gathered before they are joined
ONES = np.array([number.bit_count() for number in range(1 << 16)], np.uint8)


def first_alike(hashes: UInt64[np.ndarray, "n"], *, within: int = 3) -> Int64[np.ndarray, "n"]:
    """For each hash, the place of the first of its group: its own where it is alone, or is the first itself.

    A group is what is connected by steps of at most `within` bits, so that its ends may be further apart.
    """
    if not 0 <= within <= BITS - 2:
        raise ValueError(f"hashes are compared within 0 to {BITS - 2} bits, but {within} were asked for")
    different, first, which = np.unique(hashes, return_index=True, return_inverse=True)
    groups = np.arange(len(different))
    for mask in _masks(within) if within else ():
        for left, right in _alike(different, mask, within):
            groups = _joined(groups, left, right)
    earliest = np.full(len(different), len(hashes))
    np.minimum.at(earliest, groups, first)
    return earliest[groups][which.reshape(-1)]


def _masks(within: int) -> Iterator[np.uint64]:
    """The bits of each choice of two bands; neighbours go to different ones, since they tell about as much."""
    bands = [sum(1 << bit for bit in range(band, BITS, within + 2)) for band in range(within + 2)]
    return (np.uint64(one | other) for one, other in combinations(bands, 2))


def _alike(
    hashes: UInt64[np.ndarray, "n"], mask: np.uint64, within: int
) -> Iterator[tuple[Int64[np.ndarray, "p"], Int64[np.ndarray, "p"]]]:
    """Places of hashes that agree under the mask and differ in at most `within` bits, many pairs at a time."""
    order = np.argsort(hashes & mask, kind="stable")
    keys, ordered = (hashes & mask)[order], hashes[order]
    held: list[tuple[np.ndarray, np.ndarray]] = []
    step, low = 1, np.arange(len(keys) - 1)
    while len(low := low[keys[low] == keys[low + step]]):
        near = low[_ones(ordered[low] ^ ordered[low + step]) <= within]
        held.append((order[near], order[near + step]))
        if sum(len(left) for left, _ in held) > HELD:
            yield _together(held)
            held = []
        step += 1
        low = low[low + step < len(keys)]
    if held:
        yield _together(held)


def _together(pairs: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([left for left, _ in pairs]), np.concatenate([right for _, right in pairs])


def _ones(words: UInt64[np.ndarray, "n"]) -> UInt64[np.ndarray, "n"]:
    """How many bits are set in each."""
    return ONES[words.view(np.uint16)].reshape(-1, BITS // 16).sum(axis=1, dtype=np.uint64)


def _joined(
    groups: Int64[np.ndarray, "n"], left: Int64[np.ndarray, "p"], right: Int64[np.ndarray, "p"]
) -> Int64[np.ndarray, "n"]:
    """The groups after the two of each pair have become one; a group is called after its lowest member."""
    groups = groups.copy()
    while True:
        a, b = groups[left], groups[right]
        apart = a != b
        if not apart.any():
            return groups
        left, right = left[apart], right[apart]
        np.minimum.at(groups, np.maximum(a, b)[apart], np.minimum(a, b)[apart])
        while (lower := groups[groups] < groups).any():
            groups[lower] = groups[groups[lower]]
