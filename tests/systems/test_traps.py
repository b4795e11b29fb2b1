"""What a re-implementer of ALBEF, BLIP and BLIP-2 gets wrong, one by one.

The same things against other implementations: [ENC] or [CLS] and eps in `tests/layouts/test_blip_hf.py`, smoothing in
`tests/decoding/test_ranking.py`, texts without [SEP] in `tests/archetypes/test_fusion.py`; who sees whom in a Q-Former
in `tests/nn/test_qformer.py`, the nearest query and the mean of queries in `tests/archetypes/test_queries.py`.
"""

from typing import Any

import pytest
import torch

from chiasm.archetypes.fusion import MaskedFusion
from chiasm.archetypes.med import MED
from chiasm.core.types import Text
from chiasm.systems import albef, blip, blip2

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
