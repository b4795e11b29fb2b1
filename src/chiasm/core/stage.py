"""What a stage of a method trains, and from which losses: a property of the method, not of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A named step of a method.

    `preset` names a preset whose graph the stage trains (the smallest; other sizes have the same
    graph). `train` maps module paths to multipliers of the run's learning rate (`*` stands for one
    component of a path); what it does not name is frozen and stays in eval mode. `losses` weighs
    what the graph's `forward` returns. `inherit` maps a path of this stage's model to the path, in
    the previous stage's model, whose weights it starts from ("" is the whole model; a `*` there
    stands for what it stood for here, and `-*` for that counted from the end: the last layers).
    """

    name: str
    preset: str
    train: Mapping[str, float]
    losses: Mapping[str, float]
    inherit: Mapping[str, str] = field(default_factory=dict[str, str])
