"""Contrast equals its slow loops."""

import math

import torch

from chiasm.objectives.contrastive import (
    contrast,
    cosines,
    cosines_of_pairs,
    shared_labels,
    smoothed,
    soft_targets,
)


def test_no_trust_and_one_positive_is_plain_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, slow = torch.randn(3, 5), torch.randn(3, 5)
    hard = contrast(logits, soft_targets(slow, torch.eye(3, 5).bool(), trust=0.0))
    torch.testing.assert_close(hard, torch.nn.functional.cross_entropy(logits, torch.arange(3)))


def test_positives_share_the_label() -> None:
    positives = torch.tensor([[True, False, True, False], [False, True, False, False]])
    assert shared_labels(positives).tolist() == [[0.5, 0.0, 0.5, 0.0], [0.0, 1.0, 0.0, 0.0]]


def test_smoothing_is_that_of_torch() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(3, 5), torch.tensor([1, 4, 0])
    targets = smoothed(torch.nn.functional.one_hot(labels, 5).float(), 0.1)
    expected = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
    torch.testing.assert_close(contrast(logits, targets), expected)


def test_a_text_meets_the_nearest_vector_of_a_picture() -> None:
    torch.manual_seed(0)
    images, texts = torch.randn(3, 4, 6), torch.randn(5, 6)
    found = cosines(images, texts)
    for i, picture in enumerate(images):
        for j, text in enumerate(texts):
            torch.testing.assert_close(found[i, j], max(vector @ text for vector in picture))
    torch.testing.assert_close(cosines_of_pairs(images, texts[:3]), found[:, :3].diag())
    torch.testing.assert_close(cosines(images[:, 0], texts), images[:, 0] @ texts.T)
    torch.testing.assert_close(cosines_of_pairs(images[:, 0], texts[:3]), (images[:, 0] * texts[:3]).sum(dim=1))
    assert cosines(images[:0], texts).shape == (0, 5)
    assert cosines(images, texts[:0]).shape == (3, 0)
    assert cosines_of_pairs(images[:0], texts[:0]).shape == (0,)


def test_soft_targets_mix_belief_and_labels() -> None:
    slow = torch.tensor([[0.0, math.log(3.0)]])
    targets = soft_targets(slow, torch.tensor([[True, True]]), trust=0.4)
    torch.testing.assert_close(targets, torch.tensor([[0.4 * 0.25 + 0.6 * 0.5, 0.4 * 0.75 + 0.6 * 0.5]]))


def test_a_push_against_the_gradient_brings_the_pair_together() -> None:
    logits = torch.zeros(3, 3, requires_grad=True)
    contrast(logits, soft_targets(torch.zeros(3, 3), torch.eye(3).bool(), trust=0.4)).backward()
    assert (logits.grad.diagonal() < 0).all()
    assert (logits.grad[~torch.eye(3, dtype=torch.bool)] > 0).all()
