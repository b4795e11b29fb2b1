"""Judging equals a slow loop, row by row, of one picture and of two; and two readers beat one picture hidden."""

import copy
from dataclasses import replace

import pytest
import torch

from chiasm.archetypes.answer import Opening
from chiasm.archetypes.judge import ENTAILMENT, TRUTH, DistilledJudge, Judge, of_two_pictures
from chiasm.archetypes.med import MED
from chiasm.core.ability import Judges
from chiasm.core.config import from_json, to_json
from chiasm.core.stage import Stage
from chiasm.core.types import Labelled, Text
from chiasm.systems import albef, blip
from chiasm.training.inherit import inherit

TINY = blip.tiny()
PAIR = blip.judge(TINY, merges=1)
ONE = Judge.Config(
    vision=TINY.retriever.vision, text=TINY.retriever.text, markers=TINY.retriever.markers, labels=ENTAILMENT,
    opening=Opening.CLS,
)  # fmt: skip

TURNS = albef.of_two(albef.tiny(), TRUTH)


def _batch(cfg: Judge.Config) -> Labelled:
    torch.manual_seed(1)
    pictures = cfg.text.pictures
    text = Text(torch.randint(7, 200, (4, 6)), torch.arange(6)[None] < torch.tensor([[6], [4], [5], [2]]))
    return Labelled(torch.randn(4, pictures, 3, 32, 32), text, torch.arange(4) % len(cfg.labels))


@torch.no_grad()
@pytest.mark.parametrize("cfg", [PAIR, TURNS, ONE], ids=["side by side", "in turns", "one picture"])
def test_the_loss_is_a_loop_over_rows(cfg: Judge.Config) -> None:
    torch.manual_seed(0)
    model, batch, total = cfg.build().eval(), _batch(cfg), torch.zeros(())
    for row in range(4):
        seen = torch.cat([model.vision(image[None]) for image in batch.images[row]], dim=1)
        ids = batch.text.ids[row][batch.text.mask[row]][None].clone()
        ids[0, 0] = cfg.markers.enc if cfg is PAIR else cfg.markers.cls
        ids = ids if cfg is PAIR else ids[:, :-1]
        states = model.encoder.encode(Text(ids, torch.ones_like(ids).bool()), model.encoder.recall(seen))
        hidden = (states[0, 0] @ model.head[0].weight.T + model.head[0].bias).clamp(min=0)
        logits = hidden @ model.head[2].weight.T + model.head[2].bias
        total -= logits.log_softmax(0)[batch.label[row]]
    torch.testing.assert_close(model(batch)["label"], total / 4, rtol=1e-4, atol=1e-5)
    assert isinstance(model, Judges)
    seen = torch.cat([model.see(picture) for picture in batch.images.unbind(1)], dim=1)
    turned = torch.tensor([2, 0, 3, 1])
    judged = model.judge(seen, batch.text, turned)
    torch.testing.assert_close(judged, model.judge(seen[turned], batch.text, torch.arange(4)), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(judged, model.judge(seen, batch.text, torch.arange(4)), atol=1e-3)
    assert (model.labels, model.pictures) == (cfg.labels, 1 if cfg is ONE else 2)


@torch.no_grad()
def test_both_readers_start_from_the_only_one() -> None:
    torch.manual_seed(0)
    pretrained, model = TINY.build(), PAIR.build()
    assert isinstance(pretrained, MED)
    stage = Stage(name="s", preset="p", train={}, losses={}, inherit=of_two_pictures(towers="retriever.towers"))
    inherit(model, pretrained, stage)
    for ours, theirs in zip(model.encoder.layers, pretrained.retriever.towers.encoder.layers, strict=True):
        for reader in (ours.read.f.first, ours.read.f.second):
            assert all(torch.equal(a, b) for a, b in zip(reader.parameters(), theirs.read.f.parameters(), strict=True))
    assert model.encoder.layers[0].read.f.merge.state_dict() == {}


@torch.no_grad()
@pytest.mark.parametrize("cfg", [TURNS, ONE], ids=["in turns", "one picture"])
def test_distillation_mixes_what_the_twin_believes(cfg: Judge.Config) -> None:
    torch.manual_seed(0)
    model, batch = DistilledJudge.Config(student=cfg, momentum=0.9, ramp=4).build(), _batch(cfg)
    torch.testing.assert_close(model(batch), model.student(batch), msg="nothing is trusted before the first step")
    twin = copy.deepcopy(model.student)
    for moved in range(1, 6):
        for slow, weight in zip(twin.parameters(), model.student.parameters(), strict=True):
            weight.add_(0.05 * torch.randn_like(weight))
            slow.copy_(0.9 * slow + 0.1 * weight)
        said, taught = model.student.logits(batch), twin.logits(batch)
        alpha, total = 0.4 * min(1.0, moved / 4), 0.0
        for logits, advice, label in zip(said, taught, batch.label, strict=True):
            odds = (advice - advice.max()).exp()
            truth = alpha * odds / odds.sum()
            truth[label] += 1 - alpha
            total -= sum(share * (logit - logits.logsumexp(0)) for share, logit in zip(truth, logits, strict=True))
        torch.testing.assert_close(model(batch)["label"], total / 4, rtol=1e-4, atol=1e-5)
    assert int(model.forwards) == 6


def test_a_distilled_judge_is_its_student() -> None:
    cfg = DistilledJudge.Config(student=TURNS, ramp=3)
    assert from_json(to_json(cfg)) == cfg
    assert cfg.fitted(300, replace(TURNS.markers, cls=7)).student == TURNS.fitted(300, replace(TURNS.markers, cls=7))
    torch.manual_seed(0)
    model, batch = cfg.build(), _batch(TURNS)
    assert isinstance(model, Judges)
    assert (model.labels, model.pictures) == (TRUTH, 2)
    model(batch)["label"].backward()
    assert all(name.startswith("student.") and weight.grad is not None for name, weight in model.named_parameters())
    assert not any(buffer.requires_grad for buffer in model.buffers())
    seen, rows = torch.randn(4, 128, 64), torch.arange(4)
    assert torch.equal(model.judge(seen, batch.text, rows), model.student.judge(seen, batch.text, rows))


def _colours(rows: int, rng: torch.Generator) -> Labelled:
    """Two flat pictures, and `the same?` as the only text."""
    level = torch.randint(2, (rows, 2), generator=rng)
    images = (level * 2.0 - 1)[:, :, None, None, None].expand(rows, 2, 3, 32, 32)
    ids = torch.tensor([[2, 10, 3]]).expand(rows, 3)
    return Labelled(images, Text(ids, torch.ones_like(ids).bool()), (level[:, 0] == level[:, 1]).long())


def _learned(cfg: Judge.Config, *, hidden: bool) -> float:
    """The loss after a few steps, perhaps with the second picture replaced by a stranger's."""
    torch.manual_seed(0)
    rng, losses = torch.Generator().manual_seed(0), list[float]()
    model = cfg.build()
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(60):
        batch = _colours(16, rng)
        if hidden:
            strangers = torch.stack([batch.images[:, 0], batch.images[:, 1].roll(1, 0)], dim=1)
            batch = replace(batch, images=strangers)
        loss = model(batch)["label"]
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    return sum(losses[-10:]) / 10


@pytest.mark.parametrize(
    "cfg",
    [
        pytest.param(blip.judge(TINY, merges=0), id="side by side"),
        pytest.param(TURNS, id="in turns", marks=pytest.mark.slow),
    ],
)
def test_it_learns_to_compare(cfg: Judge.Config) -> None:
    assert _learned(cfg, hidden=False) < _learned(cfg, hidden=True) - 0.2


def test_labels_of_the_papers() -> None:
    assert (TRUTH[1], ENTAILMENT[2]) == ("true", "entailment")
