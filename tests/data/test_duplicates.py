"""Groups of near hashes against all pairs compared one by one."""

from itertools import combinations

import numpy as np
import pytest

from chiasm.data.duplicates import first_alike
from chiasm.data.quality import distance


def slowly(hashes: list[int], within: int) -> list[int]:
    """All pairs, and groups that grow until nothing changes."""
    first = list(range(len(hashes)))
    near = [(i, j) for i, j in combinations(range(len(hashes)), 2) if distance(hashes[i], hashes[j]) <= within]
    changed = True
    while changed:
        changed = False
        for i, j in near:
            if first[i] != first[j]:
                first[i] = first[j] = min(first[i], first[j])
                changed = True
    return first


def flipped(rng: np.random.Generator, number: int, bits: int) -> int:
    for bit in rng.choice(64, bits, replace=False):
        number ^= 1 << int(bit)
    return number


def planted(seed: int, strangers: int, within: int) -> list[int]:
    """Strangers, families around some of them at every distance up to twice `within`, and exact copies."""
    rng = np.random.default_rng(seed)
    numbers = [int(word) for word in rng.integers(0, 1 << 64, strangers, dtype=np.uint64)]
    family = [flipped(rng, number, bits) for number in numbers[:6] for bits in range(2 * within + 3)]
    together = numbers + family + numbers[:5]
    return [together[place] for place in rng.permutation(len(together))]


@pytest.mark.parametrize("within", [0, 1, 2, 3, 4, 8, 14])
@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_is_missed_and_nothing_added(seed: int, within: int) -> None:
    hashes = planted(seed, 100, within)
    found = first_alike(np.array(hashes, np.uint64), within=within).tolist()
    assert found == slowly(hashes, within)
    assert len({*found}) < len({*hashes}) or within == 0


def test_hashes_that_crowd_are_compared_too() -> None:
    rng = np.random.default_rng(0)
    hashes = [flipped(rng, 0, int(rng.integers(0, 10))) for _ in range(300)]
    assert first_alike(np.array(hashes, np.uint64), within=2).tolist() == slowly(hashes, 2)


def test_a_chain_is_one_group() -> None:
    chain = [(1 << length) - 1 for length in range(0, 64, 3)]
    assert first_alike(np.array(chain[::-1], np.uint64), within=3).tolist() == [0] * len(chain)
    assert first_alike(np.array(chain, np.uint64), within=2).tolist() == list(range(len(chain)))


@pytest.mark.parametrize("hashes", [[], [7], [7, 7, 7], [0, (1 << 64) - 1]])
def test_few(hashes: list[int]) -> None:
    assert first_alike(np.array(hashes, np.uint64)).tolist() == slowly(hashes, 3)


def test_a_distance_that_all_pairs_have_is_refused() -> None:
    with pytest.raises(ValueError, match="within 0 to 62 bits, but 63"):
        first_alike(np.zeros(2, np.uint64), within=63)
