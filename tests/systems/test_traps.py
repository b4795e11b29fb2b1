"""What a re-implementer of ALBEF, BLIP and BLIP-2's line gets wrong, one by one.

The same things against other implementations: [ENC] or [CLS] and eps in `tests/layouts/test_blip_hf.py`, smoothing in
`tests/decoding/test_ranking.py`, texts without [SEP] in `tests/archetypes/test_fusion.py`; who sees whom in a Q-Former
in `tests/nn/test_qformer.py`, the nearest query and the mean of queries in `tests/archetypes/test_queries.py`; T5's
activation in `tests/layouts/test_spliced_lavis.py`, tokens that no vocabulary has in `tests/data/test_vocabularies.py`.
"""

from typing import Any

import pytest
import torch

import chiasm
from chiasm.archetypes.fusion import MaskedFusion
from chiasm.archetypes.med import MED
from chiasm.archetypes.spliced import SplicedLM
from chiasm.core.types import Prompt, Text
from chiasm.data.prompts import Prompter
from chiasm.data.text import Tokenizer
from chiasm.nn.vit import Bare
from chiasm.systems import albef, blip, blip2, instructblip

IDS = torch.tensor([[2, 40, 41, 42, 3]])
TEXT = Text(IDS, torch.ones_like(IDS, dtype=torch.bool))


def built(kind: type[Any], config: Any) -> Any:
    torch.manual_seed(0)
    model = config.build().eval()
    assert isinstance(model, kind)
    return model


@torch.no_grad()
def test_albef_reads_no_sep_and_blip_does() -> None:
    assert built(MaskedFusion, albef.tiny()).read(TEXT).shape[1] == 4
    assert built(MED, blip.tiny()).read(TEXT).shape[1] == 5


def test_words_are_berts_and_two_more() -> None:
    cfg = blip.base().retriever
    assert (cfg.text.vocab, cfg.markers.dec, cfg.markers.enc) == (30_524, 30_522, 30_523)
    assert albef.base().fusion.text.vocab == 30_522


@torch.no_grad()
def test_enc_and_dec_take_the_place_of_cls() -> None:
    """The paper says that [Encode] is appended; the code puts it at position 0."""
    model = built(MED, blip.tiny())
    seen, rows, changed = model.see(torch.zeros(1, 3, 32, 32)), torch.tensor([0]), IDS.clone()
    changed[0, 0] = 99
    same = model.match(seen, TEXT, rows), model.match(seen, Text(changed, TEXT.mask), rows)
    assert torch.equal(*same)
    assert not torch.allclose(model.read(TEXT)[:, 0], model.read(Text(changed, TEXT.mask))[:, 0])
    assert (model.start, model.retriever.enc) == (5, 6)


@pytest.mark.parametrize("preset", ["base", "base-caption", "base-vqa"])
def test_eps_and_smoothing_are_those_of_training(preset: str) -> None:
    cfg: Any = blip.SYSTEM.presets[preset]()
    towers = cfg.retriever if preset == "base" else cfg
    assert towers.vision.eps == 1e-6
    assert preset == "base" or cfg.smoothing == 0.1


def test_all_is_shared_but_self_attention() -> None:
    model = built(MED, blip.tiny())
    reader, writer = model.retriever.towers.encoder, model.captioner.decoder
    assert writer.embed is reader.embed
    for ours, theirs in zip(writer.layers, reader.layers, strict=True):
        assert (ours.read is theirs.read, ours.think is theirs.think, ours.attend is theirs.attend) == (
            True,
            True,
            False,
        )


def test_which_layers_read_the_picture() -> None:
    assert blip.base().retriever.text.reads == tuple(range(12))
    assert albef.base().fusion.text.reads == tuple(range(6, 12))


def test_blip_adds_the_cosine_and_albef_does_not() -> None:
    matched, cosine = torch.tensor([0.5, 0.25]), torch.tensor([0.125, 1.0])
    assert built(MED, blip.tiny()).order(matched, cosine).tolist() == [0.625, 1.25]
    assert built(MaskedFusion, albef.tiny()).order(matched, cosine).tolist() == [0.5, 0.25]


def test_blip_2_has_dec_and_no_enc_and_reads_in_every_second_layer() -> None:
    cfg = blip2.SYSTEM.presets["aligner"]().retriever
    assert (cfg.qformer.text.vocab, cfg.markers.dec, cfg.markers.enc) == (30_523, 30_522, cfg.markers.cls)
    assert cfg.qformer.reads == (0, 2, 4, 6, 8, 10)
    assert (cfg.vision.eps, cfg.norm.eps, cfg.qformer.eps, cfg.smoothing) == (1e-6, 1e-5, 1e-12, 0.1)


def test_blip_2_has_no_twin_and_no_queue() -> None:
    assert not list(blip2.SYSTEM.presets["tiny-aligner"]().build().buffers())


@torch.no_grad()
def test_blip_2_s_tower_ends_before_its_last_block_and_all_of_its_states_are_read() -> None:
    (sense,) = blip2.SYSTEM.presets["opt-2.7b"]().senses
    assert (sense.encoder.depth, sense.encoder.end, sense.connector.eps) == (39, Bare(), 1e-5)
    model = built(SplicedLM, blip2.tiny())
    seen, read = model.see(torch.randn(1, 3, 32, 32)), list[int]()
    model.senses["image"].connector.norm.register_forward_hook(lambda _, given, __: read.append(given[0].shape[1]))
    model.splice({"image": seen[:, None]}, Prompt(Text(torch.tensor([[-1, 2]]), torch.ones(1, 2, dtype=torch.bool))))
    assert read == [seen.shape[1]] == [model.senses["image"].encoder.position.shape[1]]


def test_opt_ends_with_a_new_line_and_vicuna_with_what_it_begins_with() -> None:
    opt, vicuna = blip2.SYSTEM.presets["opt-2.7b"](), instructblip.SYSTEM.presets["vicuna-7b"]()
    assert (opt.wording.start, opt.wording.end) == (2, 50_118)
    assert (vicuna.wording.start, vicuna.wording.end, vicuna.wording.pad) == (2, 2, vicuna.lm.vocab - 1)
    words = Tokenizer.builtin()
    prompter = Prompter(words, opt.wording, {"image": ""})
    said = prompter.said(["a red star"]).ids.tolist()[0]
    assert said == [*words.ids(["a red star"])[0], 50_118]
    assert prompter.tokens(prompter.turn(["image"], "a")) == [-1, 2, *words.ids(["a"])[0]], "begun behind the picture"


@torch.no_grad()
def test_instructblip_shows_the_language_model_its_queries_and_not_the_words_beside_them() -> None:
    """In the order: picture, what begins a text, instruction."""
    cfg = instructblip.SYSTEM.presets["tiny"]()
    model, words = built(SplicedLM, cfg), torch.tensor([[-1, 2, 40, 41]])
    shown = {"image": model.perceive("image", torch.randn(1, 1, 3, 32, 32))}
    given, _ = model.splice(shown, Prompt(Text(words, torch.ones_like(words, dtype=torch.bool)), TEXT))
    queries = cfg.senses[0].connector.qformer.queries
    assert given.shape[1] == queries + 3
    torch.testing.assert_close(given[:, queries:], model.lm.embed(words[:, 1:]))


def test_a_length_penalty_below_zero_is_for_short_answers() -> None:
    """The papers answer with -1; nothing is penalised here unless somebody asks."""
    model, picture = chiasm.create("instructblip/tiny-t5", seed=2, device="cpu"), torch.zeros(3, 32, 32)
    said = [
        model.answer(picture, "what?", strategy="beam", num_beams=4, max_new_tokens=6, length_penalty=penalty)
        for penalty in (-9.0, 9.0)
    ]
    lengths = [len(model.tokenizer.ids([one.text])[0]) for one in said]
    assert lengths[0] < lengths[1]
