"""ALBEF answers what it has the tensors for, and orders candidates by matching alone."""

from typing import Any

import numpy as np
import pytest
import torch

import chiasm
from chiasm import AbilityError
from chiasm.archetypes.fusion import MaskedFusion
from chiasm.predictor.verbs import Predictor

Pictures = list[np.ndarray[Any, Any]]


@pytest.fixture(scope="module")
def albef() -> Predictor:
    return chiasm.create("albef/tiny", seed=3, device="cpu")


def test_verbs_are_those_of_its_tensors(albef: Predictor, pictures: Pictures) -> None:
    assert albef.abilities == ("match", "embed", "classify", "rerank", "features")
    assert chiasm.create("albef/tiny-retrieve").abilities == albef.abilities
    with pytest.raises(AbilityError, match="no weights to caption with; these have: blip, blip2"):
        albef.caption(pictures[0])


def test_candidates_are_ordered_by_the_logit_alone(albef: Predictor, pictures: Pictures, words: list[str]) -> None:
    logits = albef.match(pictures[1], words).itm_logits[:, 1]
    found = albef.rerank(pictures[1], words)
    assert list(found.indices) == logits.argsort(descending=True, stable=True).tolist()
    assert found.scores == pytest.approx(logits.sort(descending=True).values.tolist(), abs=1e-5)
    by_text = albef.rerank(words[0], pictures, 3)
    expected = albef.match(pictures, words[0]).itm_logits[:, 1]
    assert by_text.scores == pytest.approx([expected[i].item() for i in by_text.indices], abs=1e-5)


def test_features_leave_the_sep_out(albef: Predictor, pictures: Pictures, words: list[str]) -> None:
    found = albef.features(images=pictures, texts=words, batch_size=4)
    assert isinstance(albef.module, MaskedFusion)
    heads = albef.module.fusion
    with torch.no_grad():
        logits = heads.match_head(found["fusion"][:, 0])
        texts = torch.nn.functional.normalize(heads.towers.text_head(found["texts"][:, 0]), dim=1)
    torch.testing.assert_close(logits, albef.match(pictures, words).itm_logits, rtol=0.0, atol=1e-5)
    torch.testing.assert_close(texts, albef.embed(texts=words), rtol=0.0, atol=1e-5)
    read = [len(albef.tokenizer.encode([word]).ids[0]) - 1 for word in words]
    assert found["mask"].sum(1).tolist() == read
    assert found["mask"].shape == found["texts"].shape[:2] == found["fusion"].shape[:2]


def test_a_batch_changes_no_row(albef: Predictor, pictures: Pictures, words: list[str]) -> None:
    together = albef.match(pictures, words)
    for i, (picture, text) in enumerate(zip(pictures, words, strict=True)):
        alone = albef.match(picture, text)
        torch.testing.assert_close(together.itm_logits[i], alone.itm_logits[0], rtol=0.0, atol=1e-5)
        torch.testing.assert_close(together.itc_cosine[i], alone.itc_cosine[0], rtol=0.0, atol=1e-5)
