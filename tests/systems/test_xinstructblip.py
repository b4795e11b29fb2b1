"""X-InstructBLIP: the sizes of its parts, what is shared and what is not, and where each sense begins."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from chiasm.archetypes.queries import QueryAligner
from chiasm.archetypes.spliced import Borrowed, SplicedLM
from chiasm.core.types import Instructed, Prompt, Text
from chiasm.data.prompts import Prompter
from chiasm.systems import blip2, xinstructblip
from chiasm.training.inherit import inherit

SYSTEM = xinstructblip.SYSTEM
ATTENDS = 6 * 2 * 768  # rows of keys and values in the six layers that read: the only ones an encoder's width changes


def _built(preset: str = "tiny") -> SplicedLM:
    torch.manual_seed(0)
    return SYSTEM.presets[preset]().build()


def test_what_learns_has_the_size_of_instructblip_s_but_for_how_wide_the_encoders_are() -> None:
    """188.8 M with Vicuna 7B over ViT-g, of which 4.7 M, the last of the words' MLPs, nobody reads."""
    cfg, unread, told = SYSTEM.presets["vicuna-7b"](), 2 * 768 * 3072 + 3072 + 3 * 768, 188.8e6
    widths = {"image": 1408, "video": 1408, "audio": 768, "points": 512}
    for sense in cfg.senses:
        assert [*SYSTEM.stage(sense.name).train] == [f"senses.{sense.name}.connector"]
        with torch.device("meta"):
            connector = sense.connector.build(cfg.widths[sense.perceiver], cfg.lm.dim)
        count = sum(weight.numel() for weight in connector.parameters() if weight.requires_grad)
        assert count == pytest.approx(told - unread - (ATTENDS + 2) * (1408 - widths[sense.name]), abs=5e4), sense.name


def test_videos_are_seen_by_what_sees_pictures() -> None:
    model, film = _built().eval(), torch.randn(2, 5, 3, 32, 32)
    assert not [name for name in model.state_dict() if name.startswith("senses.video.encoder")]
    model.senses["video"].connector.load_state_dict(model.senses["image"].connector.state_dict())
    hint = Text(torch.tensor([[2, 20, 3], [2, 21, 3]]), torch.ones(2, 3, dtype=torch.bool))
    watched = model.senses["video"](model.perceive("video", film), hint)
    seen = [model.senses["image"](model.perceive("image", film[:, [i]]), hint) for i in range(5)]
    torch.testing.assert_close(watched, torch.cat(seen, dim=1), rtol=1e-4, atol=1e-5)
    cfg = SYSTEM.presets["tiny"]()
    blind = replace(cfg, senses=tuple(replace(one, encoder=Borrowed(sense="imag")) for one in cfg.senses[:2]))
    with pytest.raises(ValueError, match="encoder to borrow 'imag'"):
        blind.build()


class Letters:
    """Every letter is a word."""

    def ids(self, texts: list[str]) -> list[list[int]]:
        return [[ord(letter) for letter in text] for text in texts]


def test_a_prompt_begins_once_then_the_cues_then_what_to_do() -> None:
    cues = {sense.name: sense.cue for sense in SYSTEM.presets["vicuna-7b"]().senses}
    prompter = Prompter(Letters(), xinstructblip.VICUNA, cues)
    start, *rest = prompter.tokens(prompter.turn(["points", "image"], "which is larger?"))
    told = "".join(chr(token) if token >= 0 else f"<{token}>" for token in rest)
    assert (start, told) == (2, "USER: 3d: <-4>image: <-1>which is larger?\nASSISTANT:")


def test_senses_begin_at_the_first_stage_and_what_is_not_seen_without_its_attention() -> None:
    aligner = QueryAligner.Config(retriever=blip2.tiny_towers()).build()
    for weight in aligner.parameters():  # so that nothing is what it would be anyway
        nn.init.normal_(weight)
    model, fresh = _built(), _built().state_dict()
    inherit(model, aligner, SYSTEM.stage("image"))
    given = aligner.retriever.qformer.state_dict()
    for sense in model.cues:
        own = model.senses[sense].connector.qformer.state_dict()
        same = {name for name in own if torch.equal(own[name], given[name])}
        kept = {name for name in own if torch.equal(own[name], fresh[f"senses.{sense}.connector.qformer.{name}"])}
        attends = {name for name in own if ".attend." in name or ".read." in name}
        assert same == ({*own} if sense == "image" else set() if sense == "video" else {*own} - attends), sense
        assert kept == {*own} - same
    inherit(later := _built(), model, SYSTEM.stage("video"))
    image, video = (later.senses[sense].connector.state_dict() for sense in ("image", "video"))
    assert all(torch.equal(image[name], video[name]) for name in image)


@pytest.mark.parametrize(("preset", "chooses"), [("tiny", True), ("tiny-single", False)])
def test_a_q_former_over_a_single_vector_has_nothing_to_choose(preset: str, *, chooses: bool) -> None:
    """The weight of the only thing there is is 1, so what asks for it and what it is asked by learn nothing."""
    model, said = _built(preset), Text(torch.tensor([[10, 3]]), torch.ones(1, 2, dtype=torch.bool))
    words = Text(torch.tensor([[model.wording.place([*model.cues].index("points")), 5]]), said.mask)
    hint = Text(torch.tensor([[2, 20, 3]]), torch.ones(1, 3, dtype=torch.bool))
    model(Instructed({"points": torch.randn(1, 1, 64, 3)}, Prompt(words, hint), said))["language"].backward()
    reads = model.senses["points"].connector.qformer.layers[0]
    asked, chosen = (reads.get_submodule(f"{part}.f.q").weight.grad.abs().max() for part in ("attend", "read"))
    assert (chosen > 1e-4 * asked) == chooses
