"""Distillation: agree with a teacher (ALBEF, arXiv:2107.07651, section 3.4)."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def agree(student: Float[Tensor, "n v"], teacher: Float[Tensor, "n v"]) -> Float[Tensor, ""]:
    """Mean cross-entropy of the student's logits against what the teacher's say, which get no gradient."""
    return F.cross_entropy(student, teacher.detach().softmax(dim=1))
