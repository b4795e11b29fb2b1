"""What queries learn equals slow loops over the paper's words, and a frozen tower is left alone."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from chiasm.archetypes.queries import QueryAligner, QueryRetriever
from chiasm.core.types import ImageText, Markers, Text
from chiasm.nn.qformer import QFormer, Words
from chiasm.nn.vit import Bare, PatchStem, ViT

MARKERS = Markers(pad=0, cls=1, sep=2, mask=3, dec=4, enc=1)
VISION = ViT.Config(dim=14, depth=1, heads=2, image=8, stem=PatchStem(patch=4), end=Bare(), std=0.3)
LOOK = QFormer.Config(
    image_dim=14,
    text=Words(vocab=30, max_len=12),
    queries=3,
    dim=18,
    depth=2,
    heads=3,
    reads=(0,),
    dropout=0.0,
    std=0.3,
)
TOWERS = QueryRetriever.Config(vision=VISION, qformer=LOOK, markers=MARKERS, embed=7)
CFG = QueryAligner.Config(retriever=TOWERS)


@pytest.fixture
def model() -> QueryAligner:
    torch.manual_seed(0)
    return CFG.build()


@pytest.fixture
def batch() -> ImageText:
    rng = torch.Generator().manual_seed(0)
    mask = torch.arange(6)[None] < torch.tensor([6, 4, 5, 3])[:, None]
    ids = torch.randint(5, 30, (4, 6), generator=rng).masked_fill(~mask, 0)
    ids[:, 0] = MARKERS.cls
    return ImageText(torch.randn(4, 3, 8, 8, generator=rng), Text(ids, mask), torch.tensor([0, 1, 0, 3]))


def test_contrast_is_a_loop_over_the_nearest_queries(model: QueryAligner, batch: ImageText) -> None:
    images, texts = model.embed_seen(model.see(batch.images)), model.embed_text(batch.text)
    assert images.shape == (4, 3, 7)
    torch.testing.assert_close(images.norm(dim=-1), torch.ones(4, 3))
    logits = torch.stack([torch.stack([(one @ text).max() / 0.07 for text in texts]) for one in images])
    loss = torch.zeros(())
    for i, mine in enumerate(batch.identity):
        right = (batch.identity == mine).float()
        truth = 0.9 * right / right.sum() + 0.1 / 4
        loss = loss - (truth * logits[i].log_softmax(0)).sum() / 8 - (truth * logits[:, i].log_softmax(0)).sum() / 8
    torch.testing.assert_close(model(batch)["contrast"], loss)


def test_rows_of_others_get_no_gradient_from_contrast(model: QueryAligner, batch: ImageText) -> None:
    """A picture learns from its own choice of a text alone, not from the texts that choose among pictures."""
    alone = replace(batch, identity=torch.arange(4))
    model(alone)["contrast"].backward()
    image = model.retriever.image_head.weight.grad
    seen, texts = model.see(batch.images), model.embed_text(batch.text).detach()
    logits = (model.embed_seen(seen) @ texts.T).amax(dim=1) / model.retriever.temperature.detach()
    loss = F.cross_entropy(logits, torch.arange(4), label_smoothing=0.1) / 2
    (expected,) = torch.autograd.grad(loss, model.retriever.image_head.weight)
    torch.testing.assert_close(image, expected)


def test_matching_is_the_mean_of_what_queries_say(model: QueryAligner, batch: ImageText) -> None:
    seen = model.see(batch.images)
    states = model.fuse(seen, batch.text)
    expected = torch.stack([model.retriever.match_head(row).mean(dim=0) for row in states])
    torch.testing.assert_close(model.match(seen, batch.text, torch.arange(4)), expected)
    one = model.match(seen[1:2], batch.text, torch.zeros(4, dtype=torch.long))
    torch.testing.assert_close(one, model.match(seen, batch.text, torch.ones(4, dtype=torch.long)))


def test_matching_knows_three_pairs_a_row_with_the_hardest_wrong_ones(
    model: QueryAligner, batch: ImageText, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[right, wrong picture, wrong text]: the wrong ones are not of the same identity."""
    asked = list[tuple[torch.Tensor, Text]]()
    together = QFormer.together

    def spy(self: QFormer, memory: object, text: Text) -> torch.Tensor:
        asked.append((memory[0].k, text))
        return together(self, memory, text)

    monkeypatch.setattr(QFormer, "together", spy)
    model(batch)
    ((k, text),) = asked
    pictures = [next(j for j in range(4) if torch.equal(one, k[j])) for one in k]
    words = [next(j for j in range(4) if torch.equal(row, text.ids[j])) for row in text.ids]
    assert (pictures[:4], words[:4]) == ([0, 1, 2, 3], [0, 1, 2, 3])
    assert (pictures[8:], words[4:8]) == ([0, 1, 2, 3], [0, 1, 2, 3])
    for row, (picture, word) in enumerate(zip(pictures[4:8], words[8:], strict=True)):
        assert batch.identity[picture] != batch.identity[row] != batch.identity[word]


def test_generating_scores_every_word_after_dec(model: QueryAligner, batch: ImageText) -> None:
    seen, loss, count = model.see(batch.images), torch.zeros(()), 0
    for i in range(4):
        state, ids = model.recall(seen[i : i + 1]), batch.text.ids[i, : int(batch.text.mask[i].sum())]
        given = torch.tensor([[MARKERS.dec]])
        for word in ids[1:]:
            logits, state = model.speak(given, state)
            loss = loss + F.cross_entropy(logits, word[None], label_smoothing=0.1)
            given, count = word[None, None], count + 1
    torch.testing.assert_close(model(batch)["generate"], loss / count, rtol=1e-4, atol=1e-5)


def test_without_the_third_head_the_others_are_the_same(model: QueryAligner, batch: ImageText) -> None:
    torch.manual_seed(1)
    losses = model(batch)
    torch.manual_seed(1)
    alone = model.retriever(batch)
    assert alone == {"contrast": losses["contrast"], "match": losses["match"]}


def test_a_tower_that_does_not_learn_leaves_no_graph(model: QueryAligner, batch: ImageText) -> None:
    model.retriever.vision.requires_grad_(requires_grad=False)
    seen = model.retriever.vision(batch.images)
    assert seen.grad_fn is None
    assert not seen.requires_grad
    torch.stack(list(model(batch).values())).sum().backward()
    assert all(weight.grad is None for weight in model.retriever.vision.parameters())
    assert model.retriever.vision_norm.weight.grad is not None


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="needs a text half and pictures of the tower's width 14"):
        replace(TOWERS, qformer=replace(LOOK, image_dim=20))
    with pytest.raises(ValueError, match="this one has text None"):
        replace(TOWERS, qformer=replace(LOOK, text=None))
    with pytest.raises(ValueError, match="batches of at least 2"):
        CFG.build()(
            ImageText(
                torch.randn(1, 3, 8, 8), Text(torch.ones(1, 3).long(), torch.ones(1, 3).bool()), torch.tensor([0])
            )
        )
