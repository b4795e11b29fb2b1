"""Point clouds: groups of neighbours as tokens of a transformer (Point-BERT, arXiv:2111.14819, section 3.1).

    points ─ farthest: centres ─┬─ nearest: groups around them ─ mini-PointNet ─ linear ─ [class | groups] ─┐
                                └─ position: MLP of where the centre is ────────────────────────────────────┤
    AllGroups  ─ every token  ┐                                                                             │
    SinglePoint ─ one vector  ┴─ norm ─ (+ position ─ norm ─ attend ─ + ─ norm ─ MLP ─ +) x depth ──────────┘

ULIP-2 (arXiv:2305.08275) reads this shape out as one vector, and so does the released X-InstructBLIP: a
Q-Former above it has nothing to choose among. `AllGroups` gives it the tokens instead.

Positions are added before every layer, not once. The released q, k and v have no biases: ours are read as zeros.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from chiasm.nn.block import PreNormLayer, Stack
from chiasm.nn.init import normal
from chiasm.nn.linear import Linear
from chiasm.nn.mlp import Activation


def farthest(points: Float[Tensor, "b n 3"], count: int) -> Int[Tensor, "b count"]:
    """`count` points spread over the whole: each is the one farthest from all before it; the first is point 0.

    PointNet++'s farthest point sampling (arXiv:1706.02413, section 3.2). A tie goes to the point that comes first.
    """
    chosen = torch.zeros(len(points), count, dtype=torch.long, device=points.device)
    gap = torch.full(points.shape[:2], torch.inf, dtype=points.dtype, device=points.device)
    rows = torch.arange(len(points), device=points.device)
    axes = points.mT.contiguous().unbind(1)  # three thin passes are faster than one over triples
    for place in range(1, count):
        last = chosen[:, place - 1]
        x, y, z = ((axis - axis[rows, last][:, None]).square() for axis in axes)
        gap = torch.minimum(gap, x + y + z)
        chosen[:, place] = gap.argmax(dim=1)
    return chosen


def nearest(centres: Float[Tensor, "b g 3"], points: Float[Tensor, "b n 3"], count: int) -> Int[Tensor, "b g count"]:
    """The `count` points nearest to each centre, in no order that matters."""
    # without the matrix product: it rounds small distances, and differently in batches of other sizes
    distance = torch.cdist(centres, points, compute_mode="donot_use_mm_for_euclid_dist")
    return distance.topk(count, dim=-1, largest=False, sorted=False).indices


def take(points: Float[Tensor, "b n 3"], places: Int[Tensor, "b *some"]) -> Float[Tensor, "b *some 3"]:
    """Row by row the points at some places."""
    rows = torch.arange(len(points), device=points.device)
    return points[rows.view(-1, *[1] * (places.ndim - 1)), places]


class MiniPointNet(nn.Module):
    """One vector for a group of points, whatever their order: each alone, each beside the largest of all, the largest.

    Its widths are those of the two layers before the first maximum and of the two before the second (PointNet,
    arXiv:1612.00593, in little).
    """

    def __init__(self, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.alone = _shared(3, *widths[:2])
        self.beside = _shared(2 * widths[1], *widths[2:])

    def forward(self, groups: Float[Tensor, "b g k 3"]) -> Float[Tensor, "b g c"]:
        each = self.alone(groups.flatten(0, 1).transpose(1, 2))
        whole = each.amax(dim=2, keepdim=True).expand_as(each)
        return self.beside(torch.cat([whole, each], dim=1)).amax(dim=2).unflatten(0, groups.shape[:2])


@dataclass(frozen=True, kw_only=True)
class AllGroups:
    """Every state is given on, the class token's first."""


@dataclass(frozen=True, kw_only=True)
class SinglePoint:
    """One vector is: the class token beside the largest of all groups, projected. ULIP-2 compares it with pictures."""

    dim: int = 512


class Single(nn.Module):
    """The one vector of `SinglePoint`, as a row of one."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.project = nn.Parameter(torch.empty(2 * dim, width))  # not as torch has it, but as ULIP stores it
        nn.init.normal_(self.project, std=width**-0.5)

    def forward(self, states: Float[Tensor, "b p d"]) -> Float[Tensor, "b 1 c"]:
        return torch.cat([states[:, :1], states[:, 1:].amax(dim=1, keepdim=True)], dim=-1) @ self.project


class PointEncoder(nn.Module):
    """Point-BERT's transformer over groups of points; the sizes below are ULIP-2's."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        end: AllGroups | SinglePoint
        width: int = 384  # of the stream
        depth: int = 12
        heads: int = 6
        groups: int = 512
        neighbours: int = 32  # points in a group
        widths: tuple[int, int, int, int] = (128, 256, 512, 256)  # of the mini-PointNet
        place: int = 128  # width of the position's MLP
        drop_path: float = 0.1
        eps: float = 1e-5
        std: float = 0.02

        def build(self) -> "PointEncoder":
            return PointEncoder(self)

        @property
        def dim(self) -> int:
            """The width of what comes out."""
            return self.end.dim if isinstance(self.end, SinglePoint) else self.width

        @property
        def tokens(self) -> int:
            """How many vectors a cloud becomes."""
            return 1 if isinstance(self.end, SinglePoint) else 1 + self.groups

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.groups, self.neighbours = cfg.groups, cfg.neighbours
        self.group = MiniPointNet(cfg.widths)
        self.enter = Linear(cfg.widths[-1], cfg.width)
        self.first = nn.Parameter(torch.empty(1, 1, cfg.width))
        self.first_position = nn.Parameter(torch.empty(1, 1, cfg.width))
        self.position = nn.Sequential(Linear(3, cfg.place), nn.GELU(), Linear(cfg.place, cfg.width))
        rates = [cfg.drop_path * i / max(1, cfg.depth - 1) for i in range(cfg.depth)]
        self.layers = Stack[PreNormLayer](
            PreNormLayer(
                cfg.width, cfg.heads, hidden=4 * cfg.width, activation=Activation.GELU, eps=cfg.eps, drop_path=rate
            )
            for rate in rates
        )
        self.norm = nn.LayerNorm(cfg.width, eps=cfg.eps)
        self.end = Single(cfg.width, cfg.end.dim) if isinstance(cfg.end, SinglePoint) else nn.Identity()
        normal(self.layers, std=cfg.std)
        for free in (self.first, self.first_position):
            nn.init.trunc_normal_(free, std=0.02)

    def forward(self, points: Float[Tensor, "b n 3"]) -> Float[Tensor, "b p c"]:
        if points.shape[1] < max(self.groups, self.neighbours):
            raise ValueError(
                f"clouds of {points.shape[1]} points for a model of {self.groups} groups of {self.neighbours}: "
                f"give at least {max(self.groups, self.neighbours)}"
            )
        centres = take(points, farthest(points, self.groups))
        groups = take(points, nearest(centres, points, self.neighbours)) - centres[:, :, None]
        kind = self.first.dtype  # where points are is worked out in their own precision, the rest in the model's
        tokens = self.enter(self.group(groups.to(kind)))
        first, place = (free.expand(len(points), -1, -1) for free in (self.first, self.first_position))
        x = torch.cat([first, tokens], dim=1)
        position = torch.cat([place, self.position(centres.to(kind))], dim=1)
        for layer in self.layers:
            x = layer(x + position)
        return self.end(self.norm(x))


def tiny(end: AllGroups | SinglePoint) -> PointEncoder.Config:
    """Clouds of a few hundred points, minutes on a CPU."""
    return PointEncoder.Config(
        end=end, width=64, depth=2, heads=2, groups=32, neighbours=16, widths=(32, 64, 128, 64), place=32,
        drop_path=0.0, std=0.18,
    )  # fmt: skip


def _shared(width: int, hidden: int, out: int) -> nn.Sequential:
    """The same two linear maps for every point."""
    return nn.Sequential(nn.Conv1d(width, hidden, 1), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Conv1d(hidden, out, 1))
