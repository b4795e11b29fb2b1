"""A model that compares and does not match: CLIP answers every verb of comparison by its cosines."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import chiasm
from chiasm import AbilityError
from chiasm.archetypes.dual import DualEncoder
from chiasm.predictor.verbs import Predictor

Pictures = list[np.ndarray[Any, Any]]


@pytest.fixture(scope="module")
def clip() -> Predictor:
    return chiasm.create("clip/tiny", seed=1, device="cpu")


def test_what_it_can(clip: Predictor, pictures: Pictures) -> None:
    assert clip.abilities == ("match", "embed", "classify", "rerank", "features")
    with pytest.raises(AbilityError, match="clip/tiny has no weights to caption"):
        clip.caption(pictures[0])


@pytest.mark.parametrize("k", [1, 4, 128])
@pytest.mark.parametrize("size", [1, 4, 32])
def test_candidates_are_ordered_by_cosine(
    clip: Predictor, pictures: Pictures, words: list[str], k: int, size: int
) -> None:
    cosines = clip.embed(images=pictures) @ clip.embed(texts=words).T
    for query, candidates, scores in (
        (words[0], [Image.fromarray(picture) for picture in pictures], cosines[:, 0]),
        (Image.fromarray(pictures[2]), words, cosines[2]),
    ):
        order = scores.argsort(descending=True)[:k].tolist()
        found = clip.rerank(query, candidates, k, batch_size=size)
        assert list(found.indices) == order
        assert found.items == tuple(candidates[i] for i in order)
        assert found.scores == pytest.approx(scores[order].tolist(), abs=1e-5)


def test_a_match_has_a_cosine_and_no_logits(clip: Predictor, pictures: Pictures, words: list[str]) -> None:
    found = clip.match(pictures, words, batch_size=4)
    expected = (clip.embed(images=pictures) * clip.embed(texts=words)).sum(dim=1)
    torch.testing.assert_close(found.itc_cosine, expected, atol=1e-5, rtol=0.0)
    assert found.itm_logits is None
    assert found.itm_prob is None


def test_classes_are_means_of_unit_vectors(clip: Predictor, pictures: Pictures) -> None:
    labels = ["cat", "dog"]
    classes = list[torch.Tensor]()
    for label in labels:
        mean = clip.embed(texts=[f"a {label}", f"the {label}"]).mean(dim=0)
        classes.append(mean / mean.norm())
    assert isinstance(clip.module, DualEncoder)
    logits = clip.embed(images=pictures) @ torch.stack(classes).T / 0.07
    for row, ranking in zip(logits.softmax(dim=1), clip.classify(pictures, labels, ["a {}", "the {}"]), strict=True):
        assert ranking.scores == pytest.approx(row[list(ranking.indices)].tolist(), abs=1e-5)
    assert len(clip.classify(pictures[0], labels, "imagenet").items) == 2


def test_a_classifier_reads_its_texts_once(
    clip: Predictor, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, texts, given = clip.module, list[int](), (["cat", "dog"], ["a {}", "the {}"])
    assert isinstance(module, DualEncoder)
    embed = module.embed_text
    monkeypatch.setattr(module, "embed_text", lambda text: texts.append(len(text)) or embed(text))
    classify = clip.classifier(*given)
    found = [classify(picture) for picture in pictures]
    assert texts == [4]
    for one, other in zip(found, clip.classify(pictures, *given), strict=True):
        assert one.items == other.items
        assert one.scores == pytest.approx(other.scores, abs=1e-5)


def test_features_are_what_the_heads_read(clip: Predictor, pictures: Pictures, words: list[str]) -> None:
    found = clip.features(images=pictures, texts=words, batch_size=4)
    assert found.keys() == {"images", "texts", "mask"}
    assert isinstance(clip.module, DualEncoder)
    ends = found["texts"][torch.arange(6), found["mask"].sum(dim=1) - 1]
    with torch.no_grad():
        images, texts = clip.module.image_head(found["images"][:, 0]), clip.module.text_head(ends)
    for heads, verb in ((images, clip.embed(images=pictures)), (texts, clip.embed(texts=words))):
        torch.testing.assert_close(torch.nn.functional.normalize(heads, dim=1), verb, atol=1e-5, rtol=0.0)


def test_a_long_text_keeps_its_end(clip: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "truncate", True)
    assert torch.isfinite(clip.embed(texts="word " * 1000)).all()
