"""Verbs give what the module gives for one picture and one text alone, whatever the batch."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

import chiasm
from chiasm import AbilityError, Caption, MediaError
from chiasm.archetypes.med import MED
from chiasm.nn import linear
from chiasm.nn.bert import Bert
from chiasm.nn.vit import PatchStem
from chiasm.predictor import inputs
from chiasm.predictor.verbs import Predictor

CLOSE = {"atol": 1e-5, "rtol": 0.0}
Pictures = list[np.ndarray[Any, Any]]


def med(model: Predictor) -> MED:
    assert isinstance(model.module, MED)
    return model.module


@torch.no_grad()
def slow_greedy(model: Predictor, picture: Any, prompt: str, *, steps: int) -> Caption:
    """Everything from the start for each token."""
    module, tokenizer = med(model), model.tokenizer
    said, logprob = tokenizer.prompt([prompt]).ids, 0.0
    opened = said.shape[1]
    for _ in range(steps):
        logits, _ = module.speak(said, module.recall(module.see(model.processor([picture]))))
        token = logits.argmax(dim=1, keepdim=True)
        logprob += logits.log_softmax(dim=1)[0, token].item()
        if token.item() == module.end:
            break
        said = torch.cat([said, token], dim=1)
    return Caption(tokenizer.decode(said[0, opened:].tolist()), logprob)


@torch.no_grad()
def slow_match(model: Predictor, picture: Any, text: str) -> tuple[float, Tensor]:
    module, words = med(model), model.tokenizer.encode([text])
    seen = module.see(model.processor([picture]))
    cosine = (module.embed_seen(seen) @ module.embed_text(words).T).item()
    return cosine, module.match(seen, words, torch.tensor([0]))[0]


def test_greedy_captions_equal_the_slow_loop(model: Predictor, pictures: Pictures) -> None:
    prompts = ["", "a red", "the", "", "a picture of a", "x"]
    said = model.caption(pictures, prompts, max_new_tokens=6, batch_size=4)
    for one, picture, prompt in zip(said, pictures, prompts, strict=True):
        expected = slow_greedy(model, picture, prompt, steps=6)
        assert one.text == expected.text
        assert one.logprob == pytest.approx(expected.logprob, abs=1e-4)


def test_the_prompt_is_not_part_of_the_caption(model: Predictor, pictures: Pictures) -> None:
    assert model.caption(pictures[0], "", max_new_tokens=3) == model.caption(pictures[0], max_new_tokens=3)
    assert model.caption(pictures[0], "a red circle", max_new_tokens=0) == Caption("", 0.0)


@pytest.mark.parametrize("strategy", ["greedy", "beam", "nucleus"])
def test_a_batch_changes_no_caption(model: Predictor, pictures: Pictures, strategy: str) -> None:
    every = [
        model.caption(pictures, strategy=strategy, seed=5, max_new_tokens=8, batch_size=size) for size in (1, 4, 32)
    ]
    assert every[0] != [every[0][0]] * len(pictures)
    for said in every[1:]:
        assert [one.text for one in said] == [one.text for one in every[0]]
        torch.testing.assert_close(
            torch.tensor([one.logprob for one in said]), torch.tensor([one.logprob for one in every[0]]), **CLOSE
        )


def test_seeds_fix_rows(model: Predictor, pictures: Pictures) -> None:
    def say(images: Any, seed: Any) -> list[str]:
        said = model.caption(images, strategy="nucleus", seed=seed, max_new_tokens=8)
        return [one.text for one in (said if isinstance(said, list) else [said])]

    derived = inputs.seeds(7, len(pictures))
    assert say(pictures, 7) == say(pictures, derived)
    assert say(pictures, 7) != say(pictures, 8)
    assert say([pictures[2], pictures[0]], [5, 6]) == [say(pictures[2:3], [5])[0], say(pictures[:1], [6])[0]]
    assert say(pictures[0], 7) == say(pictures[:1], 7) == say(pictures, 7)[:1]
    torch.manual_seed(0)
    unseeded = say(pictures[0], None)
    assert say(pictures[0], None) != unseeded


def test_several_captions_a_picture(model: Predictor, pictures: Pictures) -> None:
    said = model.caption(pictures[:2], strategy="beam", num_beams=4, num_return_sequences=3, max_new_tokens=5)
    assert [len(row) for row in said] == [3, 3]
    assert len({one.text for one in said[0]}) > 1
    alone = model.caption(pictures[0], strategy="beam", num_beams=4, num_return_sequences=3, max_new_tokens=5)
    assert [one.text for one in alone] == [one.text for one in said[0]]
    with pytest.raises(ValueError, match="greedy decoding has one text"):
        model.caption(pictures[0], num_return_sequences=2)


def test_match_is_pair_by_pair(model: Predictor, pictures: Pictures, words: list[str]) -> None:
    for images, texts, pairs in (
        (pictures, words, list(zip(pictures, words, strict=True))),
        (pictures[1], words, [(pictures[1], word) for word in words]),
        (pictures, words[2], [(picture, words[2]) for picture in pictures]),
        ([pictures[1]], words, [(pictures[1], word) for word in words]),
        (again := [pictures[i] for i in (0, 0, 1, 3, 3, 0)], words, list(zip(again, words, strict=True))),
        (pictures[1], words[2], [(pictures[1], words[2])]),
    ):
        for size in (2, 32):
            found = model.match(images, texts, batch_size=size)
            assert found.itc_cosine is not None
            assert found.itm_logits is not None
            assert found.itm_prob is not None
            expected = [slow_match(model, picture, text) for picture, text in pairs]
            torch.testing.assert_close(found.itc_cosine, torch.tensor([cosine for cosine, _ in expected]), **CLOSE)
            torch.testing.assert_close(found.itm_logits, torch.stack([logits for _, logits in expected]), **CLOSE)
            torch.testing.assert_close(found.itm_prob, found.itm_logits.softmax(1)[:, 1])


def test_a_picture_is_read_once(
    model: Predictor, pictures: Pictures, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, rows = med(model), Counter[str]()
    see = module.see

    def counted(images: Tensor) -> Tensor:
        rows["seen"] += len(images)
        return see(images)

    monkeypatch.setattr(module, "see", counted)
    for verb, expected in (
        (lambda: model.match(pictures[0], words * 20), 1),
        (lambda: model.match(pictures, words), len(pictures)),
        (lambda: model.match([pictures[0], pictures[1]] * 3, words), 2),
        (lambda: model.caption([pictures[0], pictures[1]] * 3, max_new_tokens=1), 2),
        (lambda: model.rerank("a", pictures, batch_size=2), len(pictures)),
        (lambda: model.rerank(pictures[0], words, batch_size=2), 1),
        (lambda: model.classify(pictures, words, ["a {}", "the {}"]), len(pictures)),
    ):
        rows.clear()
        verb()
        assert rows["seen"] == expected


def test_embeddings_are_unit_vectors_and_plain_tensors(model: Predictor, pictures: Pictures, words: list[str]) -> None:
    images, texts = model.embed(images=pictures, batch_size=4), model.embed(texts=words, batch_size=4)
    assert images.shape == texts.shape == (6, 64)
    assert images.dtype == torch.float32
    torch.testing.assert_close(images.norm(dim=1), torch.ones(6))
    torch.testing.assert_close(images, torch.cat([model.embed(images=picture) for picture in pictures]), **CLOSE)
    torch.testing.assert_close(texts, torch.cat([model.embed(texts=word) for word in words]), **CLOSE)
    torch.testing.assert_close((images * texts).sum(1), model.match(pictures, words).itc_cosine, **CLOSE)
    probe = torch.nn.Linear(64, 1)
    probe(images).sum().backward()  # would fail on a tensor of inference mode


def test_classify_is_a_softmax_over_cosines(model: Predictor, pictures: Pictures) -> None:
    labels, templates = ["cat", "red dog", "house"], ["a {}", "a picture of the {}"]
    images = model.embed(images=pictures)
    for given, texts in (
        (None, [labels]),
        (templates, [[form.replace("{}", x) for x in labels] for form in templates]),
    ):
        classes = torch.stack([model.embed(texts=row) for row in texts]).mean(0)
        classes = classes / classes.norm(dim=1, keepdim=True)
        expected = (images @ classes.T / med(model).retriever.temperature.detach()).softmax(1)
        found = model.classify(pictures, labels, given, batch_size=4)
        for row, ranking in zip(expected, found, strict=True):
            assert list(ranking.scores) == sorted(ranking.scores, reverse=True)
            assert ranking.items == tuple(labels[i] for i in ranking.indices)
            torch.testing.assert_close(torch.tensor(ranking.scores), row[list(ranking.indices)], **CLOSE)
            assert sum(ranking.scores) == pytest.approx(1)
    assert model.classify(pictures[0], "cat").scores == (1.0,)


@pytest.mark.parametrize("k", [1, 3, 128])
@pytest.mark.parametrize("size", [1, 4, 32])
def test_rerank_equals_judging_every_candidate(
    model: Predictor, pictures: Pictures, words: list[str], k: int, size: int
) -> None:
    images = [Image.fromarray(picture) for picture in pictures]
    for query, candidates, pairs in (
        ("a red circle", images, [(picture, "a red circle") for picture in pictures]),
        (images[2], words, [(pictures[2], word) for word in words]),
    ):
        judged = [slow_match(model, picture, text) for picture, text in pairs]
        short = sorted(range(6), key=lambda i: -judged[i][0])[:k]
        scores = {i: judged[i][0] + judged[i][1][1].item() for i in short}
        expected = sorted(short, key=lambda i: -scores[i])
        found = model.rerank(query, candidates, k, batch_size=size)
        assert list(found.indices) == expected
        assert all(found.items[i] is candidates[expected[i]] for i in range(len(expected)))
        assert found.scores == pytest.approx([scores[i] for i in expected], abs=1e-5)


def test_features_are_what_the_heads_read(model: Predictor, pictures: Pictures, words: list[str]) -> None:
    found = model.features(images=pictures, texts=words, batch_size=4)
    heads = med(model).retriever
    with torch.no_grad():
        logits = heads.match_head(found["fusion"][:, 0])
        images = torch.nn.functional.normalize(heads.towers.image_head(found["images"][:, 0]), dim=1)
        texts = torch.nn.functional.normalize(heads.towers.text_head(found["texts"][:, 0]), dim=1)
    torch.testing.assert_close(logits, model.match(pictures, words).itm_logits, **CLOSE)
    torch.testing.assert_close(images, model.embed(images=pictures), **CLOSE)
    torch.testing.assert_close(texts, model.embed(texts=words), **CLOSE)
    assert found["mask"].sum(1).tolist() == [len(model.tokenizer.encode([word]).ids[0]) for word in words]
    assert found["mask"].dtype == torch.bool
    assert model.features(images=pictures[0], texts=words)["fusion"].shape[0] == 6
    assert model.features(images=pictures[:1]).keys() == {"images"}
    assert model.features(texts=words).keys() == {"texts", "mask"}


def test_nothing_in_nothing_out(model: Predictor, pictures: Pictures) -> None:
    assert model.caption([]) == []
    assert model.classify([], ["cat"]) == []
    assert model.rerank("a", []).items == model.rerank(pictures[0], []).items == ()
    assert model.embed(images=[]).shape == model.embed(texts=[]).shape == (0, 64)
    for images, texts in (([], []), ([], "a"), (pictures[0], [])):
        found = model.match(images, texts)
        assert [tuple(part.shape) for part in vars(found).values()] == [(0,), (0, 2), (0,)]
    assert {len(states) for states in model.features(images=[], texts=[]).values()} == {0}


def test_every_form_of_a_picture_is_the_same_picture(model: Predictor, tmp_path: Path) -> None:
    array = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(array).save(path)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    forms = [array, path, str(path), path.read_bytes(), Image.fromarray(array), tensor, tensor / 255]
    expected = model.embed(images=array)
    for form in forms:
        assert torch.equal(model.embed(images=form), expected)
        assert isinstance(model.caption(form, max_new_tokens=1), Caption)
    for several in (np.stack([array] * 7), torch.stack([tensor] * 7), iter(forms), tuple(forms)):
        torch.testing.assert_close(model.embed(images=several), expected.repeat(7, 1), **CLOSE)


def test_long_and_strange_texts_are_read(model: Predictor, pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "truncate", True)
    odd = ["word " * 10_000, "x" * 10_000, "\x00\x1b[31m", "żółć 図", "\ud800", "   "]
    assert torch.isfinite(model.embed(texts=odd)).all()
    assert model.match(pictures[0], odd).itm_prob is not None


def test_a_model_shows_itself_in_a_line(model: Predictor) -> None:
    assert repr(model) == (
        "<chiasm.Predictor blip/tiny in torch.float32 on cpu: caption, match, embed, classify, rerank, features>"
    )
    assert "nothing that a verb asks for" in repr(chiasm.create("blip2/tiny-lm", device="cpu"))


def test_what_a_model_cannot_is_said(pictures: Pictures) -> None:
    captioner = chiasm.create("blip/tiny-caption", device="cpu")
    retriever = chiasm.create("blip/tiny-retrieve", device="cpu")
    assert captioner.abilities == ("caption", "features")
    assert "caption" not in retriever.abilities
    for ask, verb, able in (
        (lambda: captioner.match(pictures[0], "a"), "match", "blip/tiny-retrieve, blip/base"),
        (lambda: captioner.embed(images=pictures[0]), "embed", "blip/base"),
        (lambda: captioner.embed(texts="a"), "embed", "albef, blip2, clip"),
        (lambda: captioner.classify(pictures[0], ["a"]), "classify", "blip/tiny"),
        (lambda: captioner.rerank("a", pictures), "rerank", "blip/tiny"),
        (lambda: captioner.features(texts="a"), "features of texts by themselves", "blip/tiny-retrieve"),
        (lambda: retriever.caption(pictures[0]), "caption", "blip/tiny-caption"),
        (lambda: chiasm.create("blip2/tiny-lm").features(images=pictures[0]), "features", "blip2, albef, blip, clip"),
        (lambda: chiasm.create("blip2/tiny-lm").features(texts="a"), "features", "blip2, albef, blip, clip"),
        (lambda: chiasm.create("blip2/tiny").features(texts="a"), "features of texts", "albef, blip, clip"),
        (lambda: chiasm.create("instructblip/tiny").match(pictures[0], "a"), "match", "albef, blip, blip2, clip"),
    ):
        with pytest.raises(AbilityError, match=rf"{verb}.*{able}\b"):
            ask()


def test_an_unreadable_picture_is_named_by_its_place(model: Predictor, pictures: Pictures, tmp_path: Path) -> None:
    empty = tmp_path / "empty.png"
    empty.touch()
    for ask in (
        lambda images: model.caption(images, batch_size=2),
        lambda images: model.embed(images=images, batch_size=2),
        lambda images: model.match(images, "a", batch_size=2),
        lambda images: model.rerank("a", images, batch_size=2),
    ):
        with pytest.raises(MediaError, match=r"empty\.png") as told:
            ask([*pictures, empty])
        assert (told.value.index, told.value.path) == (6, str(empty))


def test_wrong_input_names_both_sides(model: Predictor, pictures: Pictures) -> None:
    for ask, message in (
        (lambda: model.match(pictures[:3], ["a", "b"]), "3 pictures and 2 texts"),
        (lambda: model.match([], ["a", "b"]), "0 pictures and 2 texts"),
        (lambda: model.features(images=pictures[:3], texts=["a", "b"]), "3 pictures and 2 texts"),
        (model.features, "images, texts, or both"),
        (model.embed, "images or texts"),
        (lambda: model.embed(images=pictures, texts="a"), "images or texts"),
        (lambda: model.embed(images=pictures, batch_size=0), "batch_size is 0"),
        (lambda: model.embed(images=3), "no int"),
        (lambda: model.classify(pictures, []), "no labels"),
        (lambda: model.classify(pictures, ["a"], "a photo"), "'a photo' does not"),
        (lambda: model.rerank("a", pictures, 0), "k is 0"),
        (lambda: model.caption(pictures, ["a", "b"]), "2 prompts and 6 pictures"),
        (lambda: model.caption(pictures, seed=[1]), "1 seeds and 6 pictures"),
        (lambda: model.caption(pictures, strategy="bean"), "did you mean 'beam'"),
        (lambda: model.caption(pictures, top_p=2.0), "top_p is 2.0"),
        (lambda: model.caption(pictures, max_new_tokens=80), "80 new tokens after a prompt of 1.* takes 64"),
        (lambda: model.caption(pictures, max_new_tokens=3, min_new_tokens=4), "min_new_tokens is 4"),
    ):
        with pytest.raises(ValueError, match=message):
            ask()


def test_half_precision_answers_in_float32(pictures: Pictures) -> None:
    model = chiasm.create("blip/tiny", device="cpu").to(dtype=torch.bfloat16)
    assert model.dtype == torch.bfloat16
    assert model.embed(images=pictures).dtype == torch.float32
    found = model.match(pictures, "a red circle")
    assert [part.dtype for part in vars(found).values()] == [torch.float32] * 3
    assert len(model.rerank("a", pictures, 2).scores) == 2
    assert len(model.caption(pictures, max_new_tokens=2)) == 6


def test_a_picture_is_read_once_for_all_texts(
    model: Predictor, pictures: Pictures, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recall, read = Bert.recall, list[int]()
    monkeypatch.setattr(Bert, "recall", lambda bert, image: read.append(len(image)) or recall(bert, image))
    model.match(pictures[0], words, batch_size=2)
    model.rerank(Image.fromarray(pictures[0]), words, batch_size=2)
    assert read == [1, 1]


@pytest.mark.parametrize("form", ["chiasm", "hf"])
def test_halves_only_round_the_weights(
    pictures: Pictures, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a processor that cannot multiply them; and what is written then is what was read."""
    monkeypatch.setattr(linear, "CLUMSY", True)
    card, words = (one := chiasm.create("blip/tiny-caption", device="cpu")).card, one.tokenizer
    card = replace(card, config=replace(card.config, vision=replace(card.config.vision, stem=PatchStem(patch=8))))
    wide = Predictor(card.config.build(), card, words)
    before = wide.caption(pictures)
    first = chiasm.export(wide.to(dtype=torch.bfloat16), tmp_path / "first", format=form)
    half, rounded = (chiasm.load(first, device="cpu", dtype=dtype, tokenizer=words) for dtype in (None, torch.float32))
    assert half.dtype == torch.bfloat16
    assert half.caption(pictures) == rounded.caption(pictures) != before
    again = chiasm.export(half, tmp_path / "again", format=form)
    files = [load_file(folder / "model.safetensors") for folder in (first, again)]
    assert {value.dtype for value in files[0].values() if value.is_floating_point()} == {torch.bfloat16}
    assert files[0].keys() == files[1].keys()
    assert all(torch.equal(value, files[1][key]) for key, value in files[0].items())
    assert half.caption(pictures) == rounded.caption(pictures)


def test_texts_longer_than_the_model(model: Predictor, pictures: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    long = "red circle " * 70
    for ask in (lambda: model.match(pictures[:1], long), lambda: model.embed(texts=["a", long])):
        with pytest.raises(ValueError, match=r"a text has 142 tokens, .* at most 64: .*truncate.*: 'red circle red"):
            ask()
    monkeypatch.setattr(model, "truncate", True)
    assert torch.equal(model.embed(texts=long), model.embed(texts="red circle " * 31))
