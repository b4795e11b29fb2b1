"""A language model that is shown things: against rows put together by hand, and what learns."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from chiasm.archetypes.spliced import Sense, SplicedLM
from chiasm.core.types import Instructed, Prompt, Text, Wording
from chiasm.decoding.generate import generate
from chiasm.decoding.ranking import rank
from chiasm.decoding.strategies import Beam, Greedy, Limits
from chiasm.nn import encdec
from chiasm.nn.connector import LinearConnector, QFormerConnector
from chiasm.nn.qformer import QFormer, Words
from chiasm.nn.vit import PatchStem, ViT

VIT = ViT.Config(dim=8, depth=1, heads=2, image=8, stem=PatchStem(patch=4), std=0.3)
QFORMER = QFormer.Config(
    image_dim=8, text=Words(vocab=40, max_len=16), queries=3, dim=16, depth=2, heads=2, reads=(0,), dropout=0.0, std=0.3
)
WORDING = Wording(start=None, close=1, end=1, pad=0)
CONFIG = SplicedLM.Config(
    senses=(
        Sense.Config(name="image", encoder=VIT, connector=QFormerConnector.Config(qformer=QFORMER)),
        Sense.Config(name="other", encoder=VIT, connector=LinearConnector.Config(), cue="other:"),
    ),
    lm=encdec.tiny(40),
    wording=WORDING,
)


def text(rows: list[list[int]], *, left: bool = False) -> Text:
    width = max(map(len, rows))
    filled = [[0] * (width - len(row)) + row if left else row + [0] * (width - len(row)) for row in rows]
    ids = torch.tensor(filled)
    return Text(ids, ids != 0)


PROMPTS = [[-1, 5, 6, 1], [7, -2, -1, 8, 9, 1], [4, 1]]
SAID = [[10, 1], [11, 12, 13, 1], [1]]
HINTS = [[2, 20, 3], [2, 21, 22, 23, 3], [2, 3]]


@pytest.fixture(scope="module")
def model() -> SplicedLM:
    torch.manual_seed(0)
    return CONFIG.build().eval()


@pytest.fixture(scope="module")
def batch() -> Instructed:
    torch.manual_seed(1)
    shown = {"image": torch.randn(2, 2, 3, 8, 8), "other": torch.randn(1, 1, 3, 8, 8)}
    return Instructed(shown, Prompt(text(PROMPTS, left=True), text(HINTS)), text(SAID))


def by_hand(model: SplicedLM, batch: Instructed) -> list[Tensor]:
    """What the language model reads of each row, one row and one frame after the other."""
    queue, rows = {name: iter(media) for name, media in batch.shown.items()}, list[Tensor]()
    for tokens, hint in zip(PROMPTS, HINTS, strict=True):
        pieces = list[Tensor]()
        for token in tokens:
            if token >= 0:
                pieces.append(model.lm.embed(torch.tensor([[token]])))
                continue
            sense = model.senses["image" if token == -1 else "other"]
            for frame in next(queue["image" if token == -1 else "other"]):
                pieces.append(sense.connector(sense.encoder(frame[None]), text([hint])))
        rows.append(torch.cat(pieces, dim=1))
    return rows


def test_the_loss_is_that_of_rows_put_together_by_hand(model: SplicedLM, batch: Instructed) -> None:
    losses = list[Tensor]()
    for given, said in zip(by_hand(model, batch), SAID, strict=True):
        here = torch.ones(given.shape[:2], dtype=torch.bool)
        logits = model.lm.logits(model.lm.predict(given, here, text([said])))
        losses.append(F.cross_entropy(logits, torch.tensor(said), reduction="none"))
    torch.testing.assert_close(model(batch)["language"], torch.cat(losses).mean(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("strategy", [Greedy(), Beam(3)])
def test_what_is_said_to_a_batch_is_said_to_each_row(
    model: SplicedLM, batch: Instructed, strategy: Greedy | Beam
) -> None:
    nothing = torch.empty(3, 0, dtype=torch.long)
    perceived = {name: model.perceive(name, media) for name, media in batch.shown.items()}
    given, teller = model.listen(perceived, batch.prompt)
    together = generate(teller, given, Text(nothing, nothing.bool()), strategy, Limits(5))
    for row, own in enumerate(by_hand(model, batch)):
        here = torch.ones(own.shape[:2], dtype=torch.bool)
        heard = replace(
            teller,
            heard=replace(teller.heard, **dict(zip(("logits", "state"), model.lm.listen(own, here), strict=True))),
        )
        alone = generate(heard, own, Text(nothing[:1], nothing[:1].bool()), strategy, Limits(5))
        assert [one.ids for one in together[row]] == [one.ids for one in alone[0]]


def test_candidates_are_ranked_by_what_the_loss_says_of_them(model: SplicedLM, batch: Instructed) -> None:
    nothing = torch.empty(3, 0, dtype=torch.long)
    perceived = {name: model.perceive(name, media) for name, media in batch.shown.items()}
    given, teller = model.listen(perceived, batch.prompt)
    words = [[10], [10, 11], [12, 13, 14], [15]]
    ranked = rank(teller, given, Text(nothing, nothing.bool()), words, k=4)
    for row, own in enumerate(by_hand(model, batch)):
        here = torch.ones(own.shape[:2], dtype=torch.bool)
        for place, score in zip(ranked[row].places, ranked[row].scores, strict=True):
            said = [*words[place], 1]
            logits = model.lm.logits(model.lm.predict(own, here, text([said])))
            assert score == pytest.approx(
                -F.cross_entropy(logits, torch.tensor(said), reduction="sum").item(), abs=1e-3
            )


def test_a_hint_changes_what_is_seen_and_padding_does_not(model: SplicedLM, batch: Instructed) -> None:
    perceived = {"image": model.perceive("image", batch.shown["image"][:1])}
    words = text([[-1, 5]])
    one, other, wider = (
        model.splice(perceived, Prompt(words, text([hint])))[0] for hint in ([2, 20, 3], [2, 25, 3], [2, 20, 3, 0])
    )
    assert not torch.allclose(one[:, :3], other[:, :3])
    torch.testing.assert_close(one, wider)


def test_things_may_have_as_many_frames_as_they_like(model: SplicedLM, batch: Instructed) -> None:
    one, other = model.perceive("image", batch.shown["image"])
    words = text([[-1, 5, -1, 6], [-1, 7]], left=True)
    prompt = Prompt(words, text([[2, 20, 3], [2, 21, 3]]))
    given, present = model.splice({"image": [one, other[:1], one[:1]]}, prompt)
    first, _ = model.splice({"image": one[None]}, Prompt(text([[-1, 5]]), text([[2, 20, 3]])))
    second, _ = model.splice({"image": other[None, :1]}, Prompt(text([[-1, 6]]), text([[2, 20, 3]])))
    third, _ = model.splice({"image": one[None, :1]}, Prompt(text([[-1, 7]]), text([[2, 21, 3]])))
    assert present.sum(dim=1).tolist() == [2 * 3 + 1 + 3 + 1, 3 + 1]
    torch.testing.assert_close(given[0], torch.cat([first[0], second[0]]))
    torch.testing.assert_close(given[1][present[1]], third[0])
    with pytest.raises(ValueError, match="3 places for image, but 2"):
        model.splice({"image": [one, other[:1]]}, prompt)


def test_frozen_parts_pass_gradients_on_and_keep_none(batch: Instructed) -> None:
    model = CONFIG.build()
    for part in (model.lm, *(sense.encoder for sense in model.senses.values())):
        part.requires_grad_(requires_grad=False)
    model(batch)["language"].backward()
    learned = {name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert {name.split(".")[2] for name in learned} == {"connector"}
    assert any("other" in name for name in learned)
    assert "senses.image.connector.qformer.queries" in learned


def test_numbers_and_senses_that_do_not_fit_are_told(model: SplicedLM, batch: Instructed) -> None:
    with pytest.raises(ValueError, match="2 places for image, but 1 of that kind"):
        model(replace(batch, shown={**batch.shown, "image": batch.shown["image"][:1]}))
    with pytest.raises(ValueError, match="no sense for smell: it has image, other"):
        model(replace(batch, shown={"smell": batch.shown["image"]}))
    with pytest.raises(ValueError, match="reads states of width 8, but these have 9"):
        QFormerConnector.Config(qformer=QFORMER).build(9, 16)
