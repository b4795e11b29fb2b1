"""BLIP-2's first stage answers by the nearest of a picture's queries, and by what they say together."""

from typing import Any

import numpy as np
import pytest
import torch

import chiasm
from chiasm.archetypes.queries import QueryAligner
from chiasm.predictor.verbs import Predictor

Pictures = list[np.ndarray[Any, Any]]
TIGHT = {"rtol": 0.0, "atol": 1e-5}


@pytest.fixture(scope="module")
def blip2() -> Predictor:
    return chiasm.create("blip2/tiny-aligner", seed=3, device="cpu")


@pytest.fixture
def nearest(blip2: Predictor, pictures: Pictures, words: list[str]) -> torch.Tensor:
    """Cosines of all pictures with all texts, by hand."""
    images, texts = blip2.embed(images=pictures), blip2.embed(texts=words)
    assert (images.shape, texts.shape) == ((6, 8, 64), (6, 64))
    torch.testing.assert_close(images.norm(dim=2), torch.ones(6, 8), **TIGHT)
    return torch.stack([torch.stack([max(query @ text for query in one) for text in texts]) for one in images])


def test_verbs_are_those_of_its_tensors(blip2: Predictor) -> None:
    assert blip2.abilities == ("caption", "match", "embed", "classify", "rerank", "features")


def test_the_nearest_query_counts_in_every_verb(
    blip2: Predictor, nearest: torch.Tensor, pictures: Pictures, words: list[str]
) -> None:
    torch.testing.assert_close(blip2.match(pictures, words).itc_cosine, nearest.diag(), **TIGHT)
    torch.testing.assert_close(blip2.match(pictures[2], words, batch_size=4).itc_cosine, nearest[2], **TIGHT)
    names = [word or "nothing" for word in words]
    texts = blip2.embed(texts=names)
    assert isinstance(blip2.module, QueryAligner)
    own = torch.stack([(query @ texts.T) for query in blip2.embed(images=pictures[1])[0]]).amax(dim=0)
    chances = (own / blip2.module.retriever.temperature.detach()).softmax(dim=0)
    found = blip2.classify(pictures[1], names)
    assert found.scores == pytest.approx([chances[i].item() for i in found.indices], abs=1e-5)


def test_candidates_are_ordered_by_logit_and_nearest_query(
    blip2: Predictor, nearest: torch.Tensor, pictures: Pictures, words: list[str]
) -> None:
    scores = blip2.match(pictures[1], words).itm_logits[:, 1] + nearest[1]
    found = blip2.rerank(pictures[1], words, k=6)
    assert list(found.indices) == scores.argsort(descending=True, stable=True).tolist()
    assert found.scores == pytest.approx(scores.sort(descending=True).values.tolist(), abs=1e-5)
    by_text = blip2.rerank(words[0], pictures, 3)
    assert set(by_text.indices) == set(nearest[:, 0].topk(3).indices.tolist())
    expected = blip2.match(pictures, words[0]).itm_logits[:, 1] + nearest[:, 0]
    assert by_text.scores == pytest.approx([expected[i].item() for i in by_text.indices], abs=1e-5)


def test_features_are_those_of_queries(blip2: Predictor, pictures: Pictures, words: list[str]) -> None:
    found = blip2.features(images=pictures, texts=words, batch_size=4)
    assert isinstance(blip2.module, QueryAligner)
    with torch.no_grad():
        logits = blip2.module.retriever.match_head(found["fusion"]).mean(dim=1)
    torch.testing.assert_close(logits, blip2.match(pictures, words).itm_logits, **TIGHT)
    assert blip2.features(images=pictures).keys() == {"images", "queries"}
    with torch.no_grad():
        heads = torch.nn.functional.normalize(blip2.module.retriever.image_head(found["queries"]), dim=-1)
    torch.testing.assert_close(heads, blip2.embed(images=pictures), **TIGHT)
    assert {len(states) for states in blip2.features(images=[], texts=[]).values()} == {0}
    assert blip2.embed(images=[]).shape == (0, 8, 64)
    assert blip2.match([], []).itm_logits.shape == (0, 2)


@pytest.mark.parametrize("strategy", ["greedy", "beam"])
def test_a_batch_changes_no_caption_and_no_match(
    blip2: Predictor, pictures: Pictures, words: list[str], strategy: str
) -> None:
    """Words stand behind what the queries saw; beams of a picture share it."""
    prompts = ["a", "", "the blue", "two cats", "x", "a heart, small"]
    said = blip2.caption(pictures, prompts, strategy=strategy, max_new_tokens=6)
    assert len({one.text for one in said}) > 1
    together = blip2.match(pictures, words)
    for i, (picture, text, prompt) in enumerate(zip(pictures, words, prompts, strict=True)):
        alone = blip2.caption(picture, prompt, strategy=strategy, max_new_tokens=6)
        assert (alone.text, alone.logprob) == (said[i].text, pytest.approx(said[i].logprob, abs=1e-4))
        torch.testing.assert_close(together.itm_logits[i], blip2.match(picture, text).itm_logits[0], **TIGHT)
