"""ALBEF's graph against slow plain loops: who is read alone, who beside a picture, and what the twin says."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from chiasm.archetypes.align import Alignment
from chiasm.archetypes.fusion import Fusion, MaskedFusion
from chiasm.core.types import ImageText, Markers, Text
from chiasm.nn.bert import Bert
from chiasm.nn.vit import PatchStem, ViT

MARKERS = Markers(pad=0, cls=1, sep=2, mask=3, dec=4, enc=5)
VISION = ViT.Config(dim=16, depth=1, heads=2, image=8, stem=PatchStem(patch=4), std=0.3)
WORDS = Bert.Config(vocab=30, image_dim=16, dim=16, depth=4, heads=2, reads=(2, 3), max_len=12, dropout=0.0, std=0.3)
LEARNS = Alignment.Config(queue=6, momentum=0.9, ramp=2)
ALIGN = Fusion.Config(vision=VISION, text=WORDS, markers=MARKERS, embed=8, alignment=LEARNS)
WRONG = (torch.tensor([1, 2, 3, 4, 0]), torch.tensor([4, 3, 0, 1, 2]))  # texts, pictures


def _batch(rows: int = 5) -> ImageText:
    rng = torch.Generator().manual_seed(0)
    lengths = torch.tensor([8, 3, 5, 4, 7])[:rows, None]
    mask = torch.arange(8)[None] < lengths
    ids = torch.randint(6, 30, (rows, 8), generator=rng).masked_fill(~mask, MARKERS.pad)
    ids[:, 0] = MARKERS.cls
    ids[torch.arange(rows), lengths[:, 0] - 1] = MARKERS.sep
    return ImageText(torch.randn(rows, 3, 8, 8, generator=rng), Text(ids, mask), torch.arange(rows))


@pytest.fixture
def model() -> MaskedFusion:
    torch.manual_seed(0)
    return MaskedFusion.Config(fusion=ALIGN).build()


def _words(batch: ImageText, row: int) -> Tensor:
    """`[CLS] words`, with neither [SEP] nor padding."""
    return batch.text.ids[row][batch.text.mask[row]][None, :-1]


def _states(encoder: Bert, ids: Tensor, seen: Tensor | None) -> Tensor:
    """Layer by layer: the lower half alone, the upper half beside a picture, if there is one."""
    mask = torch.ones(1, 1, 1, ids.shape[1], dtype=torch.bool)
    x = encoder.embed(ids, torch.arange(ids.shape[1])[None])
    for number, layer in enumerate(encoder.layers):
        if seen is None and number == 2:
            break
        x = layer(x, layer.remember(x), mask, None if number < 2 else layer.recall(seen))
    return x


def test_matching_reads_the_right_three_sets_of_pairs(model: MaskedFusion, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = iter(WRONG)
    monkeypatch.setattr("chiasm.archetypes.align.hard_negatives", lambda *_, **__: next(wrong))
    batch, total, fusion = _batch(), 0.0, model.fusion
    pairs = [(i, i, 1) for i in range(5)]
    pairs += [(image, text, 0) for text, image in enumerate(WRONG[1].tolist())]
    pairs += [(image, text, 0) for image, text in enumerate(WRONG[0].tolist())]
    for image, text, truth in pairs:
        states = _states(fusion.towers.encoder, _words(batch, text), model.see(batch.images[image : image + 1]))
        total -= fusion.match_head(states[0, 0]).log_softmax(0)[truth]
    torch.testing.assert_close(model(batch)["match"], total / 15, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_contrast_compares_what_the_lower_half_says(model: MaskedFusion) -> None:
    batch, fusion = replace(_batch(), identity=torch.tensor([0, 1, 0, 3, 4])), model.fusion
    texts = torch.cat([_states(fusion.towers.encoder, _words(batch, i), None)[:, 0] for i in range(5)])
    texts = torch.nn.functional.normalize(fusion.towers.text_head(texts), dim=-1)
    images = torch.nn.functional.normalize(fusion.towers.image_head(model.see(batch.images)[:, 0]), dim=-1)
    torch.testing.assert_close(model.embed_text(batch.text), texts, rtol=1e-4, atol=1e-5)
    keys = [
        torch.cat([own, queue.vectors])
        for own, queue in ((texts, fusion.alignment.text_queue), (images, fusion.alignment.image_queue))
    ]
    labels = torch.zeros(5, 11)  # at first the twin is the model, and is not trusted
    for i, right in enumerate(([0, 2], [1], [0, 2], [3], [4])):
        labels[i, right] = 1 / len(right)
    expected = sum(
        -(labels * (own @ key.T / 0.07).log_softmax(1)).sum(1).mean() / 2
        for own, key in zip((images, texts), keys, strict=True)
    )
    torch.testing.assert_close(model(batch)["contrast"], expected, rtol=1e-4, atol=1e-5)


def test_hidden_words_are_guessed_as_a_loop_guesses_them(model: MaskedFusion, monkeypatch: pytest.MonkeyPatch) -> None:
    asked_ = []

    def hide(ids: Tensor, may: Tensor, _noise: Tensor, *, mask: int, vocab: int) -> tuple[Tensor, Tensor]:
        assert (mask, vocab) == (MARKERS.mask, 30)
        asked_.append(may)
        asked = may & (torch.arange(ids.shape[1]) % 2 == 1)
        return ids.masked_fill(asked, mask), asked

    model(_batch())  # the second forward trusts the twin by half of 0.4
    monkeypatch.setattr("chiasm.archetypes.fusion.masked", hide)
    batch, fusion = _batch(), model.fusion
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    losses = model(batch)
    teacher, total, count = fusion.twin.copy, 0.0, 0
    for row in range(5):
        ids = _words(batch, row)
        hidden = ids.clone()
        hidden[:, 1::2] = MARKERS.mask
        said = _states(fusion.towers.encoder, hidden, model.see(batch.images[row : row + 1]))
        taught = _states(teacher.encoder, hidden, teacher.vision(batch.images[row : row + 1]))
        for place in range(1, ids.shape[1], 2):
            log = model.word_head(said[0, place]).log_softmax(0)
            belief = model.slow_head(taught[0, place]).softmax(0)
            total -= 0.8 * log[ids[0, place]] + 0.2 * (belief * log).sum()
            count += 1
    torch.testing.assert_close(losses["masked"], total / count, rtol=1e-4, atol=1e-5)
    (may,) = asked_
    assert may.int().tolist() == [
        [0, 1, 1, 1, 1, 1, 1],
        [0, 1, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 0, 0],
        [0, 1, 1, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 1, 0],
    ]


def test_no_word_to_guess_is_no_loss(model: MaskedFusion) -> None:
    text = Text(torch.tensor([[MARKERS.cls, MARKERS.sep]] * 3), torch.ones(3, 2, dtype=torch.bool))
    losses = model(replace(_batch(3), text=text))
    assert float(losses["masked"].detach()) == 0.0
    torch.stack(list(losses.values())).sum().backward()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in model.parameters())


def test_every_twin_follows(model: MaskedFusion) -> None:
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1.0)
    before = {name: buffer.clone() for name, buffer in model.named_buffers() if "copy" in name}
    model(_batch())
    after = dict(model.named_buffers())
    assert len(before) > 20
    assert all(torch.allclose(after[name], old + 0.1, atol=1e-5) for name, old in before.items())


@torch.inference_mode()
def test_verbs_are_those_of_training_and_need_no_sep(model: MaskedFusion) -> None:
    batch, seen = _batch(), model.eval().see(_batch().images)
    encoder = model.fusion.towers.encoder
    logits, fused = model.match(seen, batch.text, torch.arange(5)), model.fuse(seen, batch.text)
    for row in range(5):
        ids = _words(batch, row)
        states = _states(encoder, ids, seen[row : row + 1])
        torch.testing.assert_close(logits[row], model.fusion.match_head(states[0, 0]), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(fused[row, : ids.shape[1]], states[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            model.read(batch.text)[row, : ids.shape[1]], _states(encoder, ids, None)[0], rtol=1e-4, atol=1e-5
        )
    shared = model.match(seen[:1], batch.text, torch.zeros(5, dtype=torch.long))
    torch.testing.assert_close(shared, model.match(seen[:1].expand(5, -1, -1), batch.text, torch.arange(5)))


@torch.no_grad()
def test_hardness_decides_how_wrong_pairs_are_drawn() -> None:
    """At 0 every wrong pair is as likely; at 1 the most similar is drawn almost always."""
    batch, shares = _batch(), []
    for hardness in (0.0, 1.0):
        torch.manual_seed(0)
        model = replace(ALIGN, alignment=replace(LEARNS, hardness=hardness, momentum=1.0)).build()
        fast = model.towers(model.see(batch.images), model.towers.encoder.begin(batch.text.unclosed()))
        best = (fast.image @ fast.text.T).fill_diagonal_(-2.0).argmax(1)
        aligned = partial(model.alignment, fast, fast, batch.identity, model.temperature)
        drawn = torch.stack([aligned().wrong_text.ours for _ in range(400)])
        assert (drawn != torch.arange(5)).all()
        shares.append((drawn == best).float().mean(0))
    assert (shares[0] - 0.25).abs().max() < 0.08
    assert (shares[1] > shares[0] + 0.1).all()
