"""To agree with a teacher is a plain sum, whose gradient reaches the student only."""

import torch

from chiasm.objectives.distillation import agree


def test_is_the_plain_sum() -> None:
    student, teacher = torch.randn(5, 7), torch.randn(5, 7)
    rows = [
        -sum(p * q for p, q in zip(theirs.softmax(0), ours.log_softmax(0), strict=True))
        for ours, theirs in zip(student, teacher, strict=True)
    ]
    torch.testing.assert_close(agree(student, teacher), torch.stack(rows).mean())


def test_pulls_the_student_and_never_the_teacher() -> None:
    student, teacher = torch.zeros(1, 3, requires_grad=True), torch.tensor([[2.0, 0.0, 0.0]], requires_grad=True)
    agree(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert student.grad[0, 0] < 0 < student.grad[0, 1]


def test_one_row_of_one_word_costs_nothing() -> None:
    assert agree(torch.zeros(1, 1), torch.zeros(1, 1)) == 0
