"""Which distances share a bucket, and where the number of a bucket goes."""

import torch

from chiasm.nn.distances import Distances, backwards, both_ways


def test_buckets_by_hand() -> None:
    """Four distances near, then ever wider: up to 5.3, 6.9, 9.1, and all beyond."""
    distances = torch.tensor([-5, 0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 12, 400])
    assert backwards(-distances, 8, 12).tolist() == [0, 0, 1, 2, 3, 4, 4, 5, 6, 6, 7, 7, 7]
    assert both_ways(torch.tensor([-9, -1, 0, 1, 9]), 16, 12).tolist() == [6, 1, 0, 9, 14]


def test_every_place_looks_like_this() -> None:
    """Behind up to 20 and ahead up to 20: buckets of their own, and wider ones for what is far."""
    part, places = Distances(1, buckets=16, reach=20, kind=both_ways), torch.arange(41)
    part.bias.weight.data = torch.arange(16.0)[:, None]
    from_the_middle = part(places, places, None)[0, 0, 20].int().tolist()
    behind = [*7 * [7], *5 * [6], *3 * [5], 4, 4, 3, 2, 1, 0]
    assert from_the_middle[:21] == behind
    assert from_the_middle[20:] == [0, *(8 + bucket for bucket in behind[-2::-1])]


def test_what_must_not_be_looked_at_is_infinitely_far() -> None:
    part, places = Distances(2, buckets=8, reach=20, kind=backwards), torch.arange(3)
    bias = part(places, places, (places[None] <= places[:, None])[None, None])
    assert torch.isinf(bias[0, 0]).tolist() == [[False, True, True], [False, False, True], [False, False, False]]
