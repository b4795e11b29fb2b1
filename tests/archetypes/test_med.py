"""BLIP's graph against slow plain loops, and what it promises about sharing."""

import math
from dataclasses import replace

import pytest
import torch

from chiasm.archetypes.align import Alignment
from chiasm.archetypes.med import MED, Captioner, Retriever, Sharing
from chiasm.core.types import ImageText, Markers, Text
from chiasm.nn.bert import Bert
from chiasm.nn.vit import PatchStem, ViT

MARKERS = Markers(pad=0, cls=1, sep=2, mask=3, dec=4, enc=5)
VISION = ViT.Config(dim=16, depth=2, heads=2, image=8, stem=PatchStem(patch=4), std=0.3)
WORDS = Bert.Config(vocab=30, image_dim=16, dim=16, depth=2, heads=2, reads=(0, 1), max_len=12, dropout=0.0, std=0.3)
LEARNS = Alignment.Config(queue=6, momentum=0.9, ramp=2)
ALIGN = Retriever.Config(vision=VISION, text=WORDS, markers=MARKERS, embed=8, alignment=LEARNS)
CFG = MED.Config(retriever=ALIGN)


def _batch(rows: int = 5, *, seed: int = 0) -> ImageText:
    rng = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, 9, (rows, 1), generator=rng)
    mask = torch.arange(8)[None] < lengths
    ids = torch.randint(6, 30, (rows, 8), generator=rng).masked_fill(~mask, MARKERS.pad)
    ids[:, 0] = MARKERS.cls
    ids[torch.arange(rows), lengths[:, 0] - 1] = MARKERS.sep
    return ImageText(torch.randn(rows, 3, 8, 8, generator=rng), Text(ids, mask), torch.arange(rows))


@pytest.fixture
def model() -> MED:
    torch.manual_seed(0)
    return CFG.build()


def test_language_is_a_loop_over_unpadded_captions(model: MED) -> None:
    batch, total, words = _batch(), 0.0, 0
    for i in range(5):
        ids = batch.text.ids[i][batch.text.mask[i]][None].clone()
        ids[0, 0] = MARKERS.dec
        for t in range(ids.shape[1] - 1):
            logits, _ = model.speak(ids[:, : t + 1], model.recall(model.see(batch.images[i : i + 1])))
            logs = logits[0].log_softmax(0)
            total, words = total - 0.9 * logs[ids[0, t + 1]] - 0.1 * logs.mean(), words + 1
    torch.testing.assert_close(model(batch)["language"], total / words, rtol=1e-4, atol=1e-5)


def test_contrast_is_two_loops_over_batch_and_queue(model: MED) -> None:
    first, batch = _batch(4, seed=1), replace(_batch(), identity=torch.tensor([0, 1, 0, 11, 3]))
    model(replace(first, identity=torch.tensor([10, 11, 12, 13])))
    part = model.retriever
    with torch.no_grad():  # the second forward moves the twin before it asks
        slow = {n: b.clone() for n, b in part.alignment.twin.copy.named_buffers()}
        for name, weight in part.towers.named_parameters():
            slow[name] = 0.9 * slow[name] + 0.1 * weight
        f, g = part.towers(batch.images, batch.text)
        fm, gm = torch.func.functional_call(part.towers, slow, (batch.images, batch.text))
        images = [*fm, *part.alignment.image_queue.vectors.clone()]
        texts = [*gm, *part.alignment.text_queue.vectors.clone()]
        whose = [0, 1, 0, 11, 3, *part.alignment.text_queue.identity.tolist()]
    trust, temperature, total = 0.4 * 0.5, float(part.temperature.detach()), 0.0  # the ramp's second of two steps
    for fast, teacher, keys in ((f, fm, texts), (g, gm, images)):
        for i in range(5):
            scores = [float(fast[i] @ key) / temperature for key in keys]
            belief = torch.tensor([float(teacher[i] @ key) / temperature for key in keys]).softmax(0)
            right = [whose[j] == whose[i] for j in range(len(keys))]
            log_sum = math.log(sum(math.exp(s - max(scores)) for s in scores)) + max(scores)
            for j, score in enumerate(scores):
                label = right[j] / sum(right)
                total -= (trust * float(belief[j]) + (1 - trust) * label) * (score - log_sum)
    assert float(model(batch)["contrast"].detach()) == pytest.approx(total / 10, rel=1e-4)
    assert part.alignment.image_queue.identity.tolist() == [0, 11, 3, 13, 0, 1]  # a ring of six: four, then five


def test_matching_reads_the_right_three_sets_of_pairs(model: MED, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = iter([torch.tensor([1, 2, 3, 4, 0]), torch.tensor([4, 3, 0, 1, 2])])
    monkeypatch.setattr("chiasm.archetypes.align.hard_negatives", lambda *_, **__: next(wrong))
    batch, total = _batch(), 0.0
    pairs = [(i, i, 1) for i in range(5)]
    pairs += [(image, text, 0) for text, image in enumerate([4, 3, 0, 1, 2])]
    pairs += [(image, text, 0) for image, text in enumerate([1, 2, 3, 4, 0])]
    for image, text, truth in pairs:
        ids = batch.text.ids[text][batch.text.mask[text]][None].clone()
        ids[0, 0] = MARKERS.enc
        encoder, seen = model.retriever.towers.encoder, model.see(batch.images[image : image + 1])
        states = encoder.encode(Text(ids, torch.ones_like(ids).bool()), encoder.recall(seen))
        total -= model.retriever.match_head(states[0, 0]).log_softmax(0)[truth]
    torch.testing.assert_close(model(batch)["match"], total / 15, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_many_texts_on_one_picture_equal_a_picture_each(model: MED) -> None:
    batch = _batch()
    seen = model.eval().see(batch.images[:1])
    shared = model.match(seen, batch.text, torch.zeros(5, dtype=torch.long))
    torch.testing.assert_close(shared, model.match(seen.expand(5, -1, -1), batch.text, torch.arange(5)))


def test_each_head_alone_has_the_losses_of_the_whole(model: MED) -> None:
    batch = _batch()
    torch.testing.assert_close(model.captioner(batch)["language"], model(batch)["language"])
    speaks = Captioner.Config(vision=VISION, text=WORDS, markers=MARKERS).build()
    speaks.load_state_dict(model.captioner.state_dict())
    torch.testing.assert_close(speaks(batch)["language"], model.captioner(batch)["language"])


def test_a_fixed_prompt_is_given_and_not_learned() -> None:
    torch.manual_seed(0)
    config = Captioner.Config(vision=VISION, text=WORDS, markers=MARKERS, prompt=2)
    model, batch = config.build(), _batch()
    states, _ = model.decoder.decode(batch.text.opened_by(MARKERS.dec).ids, model.recall(model.see(batch.images)))
    learns = batch.text.mask.clone()
    learns[:, :2] = False
    logits = model.word_head(states[:, :-1][learns[:, 1:]])
    expected = torch.nn.functional.cross_entropy(logits, batch.text.ids[:, 1:][learns[:, 1:]], label_smoothing=0.1)
    torch.testing.assert_close(model(batch)["language"], expected)


@pytest.mark.parametrize(
    ("sharing", "same"),
    [
        (Sharing.ALL, {"attend", "read", "think"}),
        (Sharing.ALL_BUT_SELF_ATTENTION, {"read", "think"}),
        (Sharing.ALL_BUT_CROSS_ATTENTION, {"attend", "think"}),
        (Sharing.NONE, set()),
    ],
)
def test_sharing_is_what_it_says(sharing: Sharing, same: set[str]) -> None:
    model, batch = MED.Config(retriever=ALIGN, sharing=sharing).build(), _batch()
    encoder, decoder = model.retriever.towers.encoder, model.captioner.decoder
    for ours, theirs in zip(decoder.layers, encoder.layers, strict=True):
        assert {part for part in ("attend", "read", "think") if getattr(ours, part) is getattr(theirs, part)} == same
    assert (encoder.embed is decoder.embed) == bool(same)
    expected = model.captioner(batch)["language"]  # by the decoder's own reading of the picture
    torch.testing.assert_close(model(batch)["language"], expected)


def test_without_alignment_there_is_nothing_to_learn_from() -> None:
    model = replace(CFG, retriever=replace(ALIGN, alignment=None)).build()
    assert not any("twin" in name or "queue" in name for name in model.state_dict())
    with pytest.raises(ValueError, match="cannot be trained: its config has no `alignment`"):
        model(_batch())


def test_the_temperature_stays_between_its_clamps(model: MED) -> None:
    for wild, tamed in ((9.0, 0.5), (0.0, 0.001)):
        model.retriever.temperature.data.fill_(wild)
        model(_batch())
        assert float(model.retriever.temperature.detach()) == pytest.approx(tamed)


def test_rows_of_one_meaning_are_right_for_each_other(model: MED, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        "chiasm.archetypes.align.hard_negatives",
        lambda _, same, *__, **___: asked.append(same) or torch.roll(torch.arange(5), 1),
    )
    model(replace(_batch(), identity=torch.tensor([7, 8, 7, 9, 8])))
    assert asked[0].int().tolist() == [
        [1, 0, 1, 0, 0],
        [0, 1, 0, 0, 1],
        [1, 0, 1, 0, 0],
        [0, 0, 0, 1, 0],
        [0, 1, 0, 0, 1],
    ]
