"""What one of two ranks finds out: `ranks_alone.py FOLDER`, with torchrun's variables in the environment."""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from chiasm.core import ranks


def rows() -> Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


def model() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(4, 3)


def contrast(features: Tensor, everyone: Tensor, first: int) -> Tensor:
    """Our rows, the first of which is row `first` of everyone's, against all."""
    return nn.functional.cross_entropy(features @ everyone.T, first + torch.arange(len(features)))


def words(number: int) -> Tensor:
    """The losses of a rank's words; the last rank has none."""
    return rows()[: 3 * (1 - number), 0].clone().requires_grad_()


def wanted(number: int) -> Tensor:
    """Rows that a rank asks for: of both, one of them twice; the last rank wants none of its own."""
    return torch.tensor([[5, 0, 0], [1, 2, 2]])[number]


def valued(rows: Tensor, number: int) -> Tensor:
    """Some loss that looks at the rows that a rank asked for."""
    return (rows * (wanted(number)[:, None] + torch.arange(1.0, 4.0)) * (number + 1)).sum()


def main() -> None:
    dist.init_process_group("gloo")
    number = ranks.rank()
    linear, mine = model(), rows()[3 * number :][:3]
    features = linear(mine)
    loss = contrast(features, ranks.gather_learning(features), 3 * number)
    loss.backward()
    torch.manual_seed(number)
    drawn = ranks.agreed(torch.rand(2))
    lost = words(number)
    mean = ranks.fair(lost.mean() if number == 0 else lost.sum() / 0, len(lost))
    mean.backward()
    none = torch.ones(1, requires_grad=True)
    ranks.fair(none.mean(), 0).backward()
    told = {"none": none.grad}
    told |= {"mean": mean.detach(), "weights": lost.grad, "first": ranks.told(number), "all": ranks.everyones(number)}
    told |= {"average": ranks.average(torch.tensor([1.0, number]))}
    told |= {"loss": loss.detach(), "gradient": linear.weight.grad, "rows": ranks.gather(mine), "drawn": drawn}
    lent = linear(mine).detach().requires_grad_()
    asked, other = ranks.ask(wanted(number), number * torch.ones(3, dtype=torch.long))
    lost = asked.of(lent)
    valued(lost, number).backward()
    told |= {"asked": asked.by, "lent": lost.detach(), "returned": lent.grad, "other": other.of(mine)}
    told |= {"several": ranks.gather_all(mine > 0, torch.full((3,), number), mine)}
    torch.save(told | {"rank": number, "world": ranks.world()}, Path(sys.argv[1]) / str(number))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
