"""Groups of points equal slow loops, and the encoder one written group by group and head by head."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from chiasm.core.config import from_json, to_json
from chiasm.nn.points import AllGroups, MiniPointNet, PointEncoder, SinglePoint, farthest, nearest, take

CFG = PointEncoder.Config(
    end=AllGroups(), width=12, depth=2, heads=3, groups=5, neighbours=4, widths=(4, 6, 8, 10), place=7, drop_path=0.0
)  # fmt: skip


def _cloud(rows: int = 3, count: int = 20) -> Tensor:
    return torch.randn(rows, count, 3, generator=torch.Generator().manual_seed(0))


def _spread(cloud: list[list[float]], count: int) -> list[int]:
    """Farthest point sampling from its definition: all pairs, one cloud."""

    def apart(one: int, other: int) -> float:
        return sum((a - b) ** 2 for a, b in zip(cloud[one], cloud[other], strict=True))

    chosen = [0]
    while len(chosen) < count:
        gaps = [min(apart(place, past) for past in chosen) for place in range(len(cloud))]
        chosen.append(gaps.index(max(gaps)))
    return chosen


def test_farthest_points_are_those_of_a_slow_loop() -> None:
    points = _cloud(rows=4, count=31)
    assert farthest(points, 9).tolist() == [_spread(cloud, 9) for cloud in points.double().tolist()]
    assert farthest(points, 1).tolist() == [[0]] * 4
    assert sorted(farthest(points, 31)[0].tolist()) == list(range(31))


def test_of_equal_points_the_first_is_taken() -> None:
    corners = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [-1, 0, 0], [1, 0, 0]]])
    assert farthest(corners, 3).tolist() == [[0, 1, 2]]


def test_the_nearest_are_those_of_a_slow_loop() -> None:
    points = _cloud() + 1000.0  # far from the origin a matrix product would round what is near
    centres = take(points, torch.tensor([[0, 7], [3, 3], [19, 1]]))
    found = nearest(centres, points, 6)
    for row, cloud in enumerate(points.double()):
        for group, centre in enumerate(centres[row].double()):
            order = sorted(range(len(cloud)), key=lambda i: float((cloud[i] - centre).square().sum()))
            assert set(found[row, group].tolist()) == set(order[:6])


def test_a_group_has_no_order() -> None:
    torch.manual_seed(0)
    part = MiniPointNet((4, 6, 8, 10)).eval()
    groups = torch.randn(2, 3, 5, 3)
    torch.testing.assert_close(part(groups[:, :, torch.randperm(5)]), part(groups))
    torch.testing.assert_close(part(groups[1:, :1]), part(groups)[1:, :1])  # nor does it know others


def _by_hand(model: PointEncoder, cloud: Tensor) -> Tensor:
    """One cloud, written from the papers: group by group, head by head."""
    centres = [cloud[i] for i in _spread(cloud.tolist(), 5)]
    tokens = [
        _group(model.group, torch.stack(sorted(cloud - c, key=lambda p: float(p.square().sum()))[:4])) for c in centres
    ]
    x = torch.stack([model.first[0, 0], *(model.enter.weight @ token + model.enter.bias for token in tokens)])
    enter, _, leave = model.position
    place = torch.stack([leave.weight @ F.gelu(enter.weight @ c + enter.bias) + leave.bias for c in centres])
    place = torch.cat([model.first_position[0], place])
    for layer in model.layers:
        x = x + place
        seen = F.layer_norm(x, (12,), layer.attend_norm.weight, layer.attend_norm.bias, 1e-5)
        q, k, v = (part(seen) for part in (layer.attend.q, layer.attend.k, layer.attend.v))
        heads = [slice(4 * head, 4 * head + 4) for head in range(3)]
        x = x + layer.attend.out(torch.cat([(q[:, h] @ k[:, h].T / 2).softmax(-1) @ v[:, h] for h in heads], dim=-1))
        seen = F.layer_norm(x, (12,), layer.mlp_norm.weight, layer.mlp_norm.bias, 1e-5)
        x = x + layer.mlp.down(F.gelu(layer.mlp.up(seen)))
    return F.layer_norm(x, (12,), model.norm.weight, model.norm.bias, 1e-5)


def _group(part: MiniPointNet, points: Tensor) -> Tensor:
    def apply(layers: torch.nn.Sequential, point: Tensor) -> Tensor:
        widen, norm, _, leave = layers
        hidden = widen.weight[:, :, 0] @ point + widen.bias
        hidden = (hidden - norm.running_mean) / (norm.running_var + 1e-5).sqrt() * norm.weight + norm.bias
        return leave.weight[:, :, 0] @ hidden.relu() + leave.bias

    each = [apply(part.alone, point) for point in points]
    whole = torch.stack(each).amax(0)
    return torch.stack([apply(part.beside, torch.cat([whole, one])) for one in each]).amax(0)


def _random(cfg: PointEncoder.Config) -> PointEncoder:
    torch.manual_seed(0)
    model = cfg.build()
    model(_cloud())  # batch norms have seen something
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return model.eval()


@torch.no_grad()
def test_the_encoder_is_the_papers() -> None:
    model, points = _random(CFG), _cloud()
    expected = torch.stack([_by_hand(model, cloud) for cloud in points])
    torch.testing.assert_close(model(points), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model(points[1:2]), model(points)[1:2], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_two_ends() -> None:
    one = _random(replace(CFG, end=SinglePoint(dim=9)))
    every = CFG.build().eval()
    every.load_state_dict({name: value for name, value in one.state_dict().items() if name != "end.project"})
    states, vector = every(_cloud()), one(_cloud())
    assert (states.shape, vector.shape) == ((3, CFG.tokens, CFG.dim), (3, 1, 9))
    summary = torch.cat([states[:, 0], states[:, 1:].amax(1)], dim=-1)
    torch.testing.assert_close(vector[:, 0], summary @ one.end.project)


def test_published_sizes() -> None:
    """ULIP-2's Point-BERT: what the papers' shapes come to, and 3 x 384 biases a layer that are zeros there."""
    with torch.device("meta"):
        model = PointEncoder.Config(end=SinglePoint()).build()
    layer = 4 * 384 * 384 + 384 + 2 * 4 * 384 * 384 + 5 * 384 + 4 * 384  # q k v out, its bias, MLP, biases and norms
    group = (3 + 1 + 2) * 128 + (128 + 1) * 256 + (512 + 1 + 2) * 512 + (512 + 1) * 256
    rest = (256 + 1) * 384 + (3 + 1) * 128 + (128 + 1) * 384 + 2 * 384 + 2 * 384 + 768 * 512
    assert sum(p.numel() for p in model.parameters()) == 12 * (layer + 3 * 384) + group + rest
    assert (PointEncoder.Config(end=SinglePoint()).tokens, PointEncoder.Config(end=AllGroups()).tokens) == (1, 513)


def test_configs_are_kept() -> None:
    assert from_json(to_json(CFG)) == CFG
    assert from_json(to_json(replace(CFG, end=SinglePoint()))).end == SinglePoint()


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="clouds of 4 points for a model of 5 groups of 4: give at least 5"):
        CFG.build()(_cloud(count=4))
