"""Models of 8 and 4 bits: they say what transformers' own say, stay as they are, and teach what learns beside them."""

import logging
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

import chiasm
from chiasm.archetypes.spliced import SplicedLM, seeing
from chiasm.backbones.hf import Config, EightBit, FourBit, Precision
from chiasm.core.config import from_json, to_json
from chiasm.core.stage import Stage
from chiasm.core.types import Pixels, Text, Wording
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.instructions import Instructions
from chiasm.data.loader import PairLoader
from chiasm.data.prompts import Prompter
from chiasm.data.sources import open_source
from chiasm.data.text import Tokenizer
from chiasm.nn.connector import LinearConnector
from chiasm.nn.vit import PatchStem, ViT
from chiasm.training.adapters import LoRA
from chiasm.training.run import Brought, Run, Step
from chiasm.training.train import train
from chiasm.weights.folder import load_model, outline
from chiasm.weights.state import moved, state

WORDS = Tokenizer.builtin()
TOKENS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 0}
PIXELS = Pixels(size=8, mean=CLIP_MEAN, std=CLIP_STD)
WORDING = Wording(start=None, close=None, end=3, pad=0)
STAGE = Stage(name="generate", preset="tiny", train={"senses.*.connector": 1.0}, losses={"language": 1.0})
ASKED: dict[EightBit | FourBit, dict[str, Any]] = {
    EightBit(): {"load_in_8bit": True},
    FourBit(): {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
}
BOTH = pytest.mark.parametrize("packed", [*ASKED], ids=["8", "4"])
SLOW_4 = pytest.mark.parametrize(
    "packed", [EightBit(), pytest.param(FourBit(), marks=pytest.mark.slow)], ids=["8", "4"]
)
SLOW_8 = pytest.mark.parametrize(
    "packed", [FourBit(), pytest.param(EightBit(), marks=pytest.mark.slow)], ids=["4", "8"]
)


def llama() -> Any:
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    return transformers.LlamaConfig(vocab_size=WORDS.vocab, **sizes, **TOKENS)


def neox() -> Any:
    """Its matrices have biases."""
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4}
    return transformers.GPTNeoXConfig(vocab_size=WORDS.vocab, **sizes, **TOKENS)


def mt5() -> Any:
    sizes = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 1, "num_heads": 4}
    return transformers.MT5Config(vocab_size=WORDS.vocab, **sizes, **TOKENS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[], Any]], Path]:
    """Where a small model of that kind was saved, its matrices large enough that words differ."""
    root = tmp_path_factory.mktemp("wide")

    @cache
    def saved(make: Callable[[], Any]) -> Path:
        torch.manual_seed(0)
        model = kind(make).from_config(make())
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.1 * torch.randn_like(weight))
        model.save_pretrained(root / make.__name__)
        return root / make.__name__

    return saved


def kind(make: Callable[[], Any]) -> Any:
    return transformers.AutoModelForSeq2SeqLM if make is mt5 else transformers.AutoModelForCausalLM


def ours(place: Path, packed: EightBit | FourBit | None, dtype: Precision | None = None) -> Any:
    return Config(name=str(place), packed=packed, dtype=dtype).build().eval()


def codes(module: nn.Module) -> dict[str, Tensor]:
    """What is packed: codes, scales and all."""
    return {name: value.clone() for name, value in module.state_dict().items() if ".model." in f".{name}"}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(value.equal(other[name]) for name, value in one.items())


def spliced(place: Path, packed: EightBit | FourBit | None) -> SplicedLM.Config:
    tower = ViT.Config(dim=16, depth=1, heads=2, image=8, stem=PatchStem(patch=4))
    return seeing(tower, LinearConnector.Config(), Config(name=str(place), packed=packed), WORDING)


def run(place: Path, packed: EightBit | FourBit, **changes: Any) -> Run:
    pairs, form = open_source("world:single?count=8&pixels=8"), Instructions(Prompter(WORDS, WORDING, {"image": ""}))
    plain: dict[str, Any] = {
        "name": "generate", "system": "blip2", "preset": "tiny", "stage": STAGE, "model": spliced(place, packed),
        "data": lambda: PairLoader(pairs, ImageProcessor(PIXELS), WORDS, batch=8, seed=0, form=form),
        "pixels": PIXELS, "tokenizer": WORDS, "steps": 6, "lr": 0.03, "checkpoint_every": 2,
    }  # fmt: skip
    return Run(**plain | changes)


@BOTH
@pytest.mark.parametrize("make", [llama, neox, mt5])
@torch.inference_mode()
def test_it_says_what_theirs_says(make: Callable[[], Any], packed: EightBit | FourBit, folder: Any) -> None:
    """Of one row: 8 bits ask the whole batch what sticks out."""
    place = folder(make)
    model, wide = ours(place, packed), kind(make).from_pretrained(place)
    packing = transformers.BitsAndBytesConfig(**ASKED[packed])
    theirs = kind(make).from_pretrained(place, quantization_config=packing, device_map={"": "cpu"}).eval()
    ids, words = torch.randint(4, WORDS.vocab, (1, 7)), torch.randint(4, WORDS.vocab, (1, 5))
    present, said = torch.ones_like(ids, dtype=torch.bool), Text(words, torch.ones_like(words, dtype=torch.bool))
    logits = model.logits(model.predict(model.embed(ids), present, said))
    if make is mt5:
        expected, unpacked = (each(input_ids=ids, labels=words).logits[0] for each in (theirs, wide))
    else:
        row = torch.cat([ids, words[:, :-1]], dim=1)
        expected, unpacked = (each(input_ids=row).logits[0, 6:] for each in (theirs, wide))
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert 1e-3 < (logits - unpacked).norm() / unpacked.norm() < 0.6  # packed, and of the same model
    told, (first, memory) = list[int](), model.listen(model.embed(ids), present)
    for _ in range(6):
        told.append(int(first.argmax()))
        first, memory = model.speak(torch.tensor([told[-1:]]), memory)
    row = theirs.generate(input_ids=ids, max_new_tokens=6, min_new_tokens=6, do_sample=False, eos_token_id=None)[0]
    assert told == row.tolist()[-6:]


@BOTH
def test_it_is_small_and_says_nothing_of_it(
    packed: EightBit | FourBit, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    about = llama()
    about.hidden_size, about.intermediate_size = 256, 512
    transformers.LlamaForCausalLM(about).save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING):
        model, wide = ours(tmp_path, packed), ours(tmp_path, None)
        model.listen(torch.randn(1, 3, 256), torch.ones(1, 3, dtype=torch.bool))
    assert caplog.messages == []
    matrices = [name for name, weight in wide.named_parameters() if "_proj" in name and weight.ndim == 2]
    sizes = [
        sum(value.nbytes for name, value in each.state_dict().items() if any(part[:-7] in name for part in matrices))
        for each in (model, wide)
    ]
    assert sizes[0] / sizes[1] == pytest.approx({EightBit(): 1 / 4, FourBit(): 1 / 8}[packed], rel=0.08)
    assert {type(each.model.lm_head) for each in (model, wide)} == {nn.Linear}


@BOTH
def test_other_dtypes_touch_nothing_that_is_packed(packed: EightBit | FourBit, folder: Any) -> None:
    model = ours(folder(llama), packed)
    given, present = torch.randn(2, 4, 64), torch.ones(2, 4, dtype=torch.bool)
    before, (expected, _) = codes(model), model.listen(given, present)
    for move in (lambda: model.to(dtype=torch.bfloat16), model.half, lambda: model.to("cpu"), model.float):
        move()
        assert model.words.weight.dtype is not torch.int8
        logits, _ = model.listen(given, present)
        torch.testing.assert_close(logits.float(), expected, rtol=0.1, atol=0.1)
    after = codes(model)
    assert all(value.equal(after[name]) for name, value in before.items() if not value.is_floating_point())


def test_a_processor_with_halves_must_not_pack_anew(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """There bitsandbytes packs again at the first product without gradients, rounds scales, and gives none after it."""
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)
    model = ours(folder(llama), FourBit())
    before, given, present = codes(model), torch.randn(1, 3, 64), torch.ones(1, 3, dtype=torch.bool)
    with torch.no_grad():
        model.listen(given, present)
    assert same(codes(model), before)
    logits, _ = model.listen(given.requires_grad_(), present)
    logits.sum().backward()
    assert given.grad is not None
    assert given.grad.abs().sum() > 0


@SLOW_4
def test_a_connector_learns_beside_it_through_kills(packed: EightBit | FourBit, folder: Any, tmp_path: Path) -> None:
    place, lines = folder(llama), list[Step]()
    model = train([run(place, packed)], tmp_path / "straight", on_step=lines.append)
    assert lines[-1].total < lines[0].total - 0.3
    untouched = spliced(place, packed).build()
    assert same(codes(model.lm), codes(untouched.lm))
    assert not any(weight.requires_grad for weight in untouched.lm.parameters())
    with pytest.raises(_KilledError):
        train([run(place, packed)], tmp_path / "cut", on_step=_kill)
    checkpoint = next((tmp_path / "cut").rglob("step-*.safetensors"))
    assert checkpoint.stat().st_size < 50_000
    train([run(place, packed)], tmp_path / "cut")
    for name in ("model/model.safetensors", "metrics.jsonl", "done.json"):
        assert len({(tmp_path / way / "1-generate" / name).read_bytes() for way in ("straight", "cut")}) == 1
    with torch.no_grad():
        again, _ = load_model(tmp_path / "cut/1-generate/model")
        batch = next(run(place, packed).data())
        assert again(batch)["language"].equal(model(batch)["language"])
        assert again(batch)["language"] < untouched.eval()(batch)["language"] - 0.3


@SLOW_8
def test_a_model_folder_names_it(packed: EightBit | FourBit, folder: Any, tmp_path: Path) -> None:
    """Verbs work in other dtypes too; who moved it is told which, and where that is written."""
    place = tmp_path / "lm"
    place.symlink_to(folder(llama))
    train([run(place, packed, steps=1)], tmp_path / "run")
    for dtype in (None, torch.bfloat16):
        model = chiasm.load(tmp_path / "run", device="cpu", dtype=dtype)
        assert isinstance(model.module, SplicedLM)
        assert model.dtype is (dtype or torch.float32)
        pictures = [open_source("world:single?count=2&pixels=8")[row].image for row in range(2)]
        assert len(model.caption(pictures, max_new_tokens=3)) == 2
        assert model.answer(pictures[0], "what?", ["a", "b"]).text in {"a", "b"}
    with pytest.raises(ValueError, match="was packed on cpu and stays there, but meta was asked for"):
        moved(model.module, device="meta")
    kept = state(model.to(dtype=torch.float32).module)
    assert {name.partition(".")[0] for name in kept} == {"senses"}
    place.unlink()
    with pytest.raises(ValueError, match=rf"config.json describes what cannot be built: there is no {place} any more"):
        chiasm.load(tmp_path / "run", device="cpu")


@BOTH
def test_what_others_packed_is_theirs_too(packed: EightBit | FourBit, folder: Any, tmp_path: Path) -> None:
    """A folder that transformers saved packed is lent as what is packed here is, and says the same."""
    here = ours(folder(llama), packed)
    here.model.save_pretrained(tmp_path)
    there = ours(tmp_path, None)
    assert there.lender == f"packed weights of {tmp_path}"
    assert not state(there)
    assert not state(outline(Config(name=str(tmp_path))))
    assert not any(weight.requires_grad for weight in there.parameters())
    given, present = torch.randn(2, 4, 64), torch.ones(2, 4, dtype=torch.bool)
    assert there.listen(given, present)[0].equal(here.listen(given, present)[0])


def test_what_is_packed_is_neither_given_nor_taken(folder: Any, tmp_path: Path) -> None:
    place, whole = folder(llama), {"inherit": {"": ""}}
    start, again = spliced(place, EightBit()).build(), Stage(**vars(STAGE) | whole)
    same_lender = train([run(place, EightBit(), stage=again, start=start, steps=1)], tmp_path / "same")
    assert state(same_lender).keys() == state(start).keys()
    for other in (None, FourBit()):
        with pytest.raises(ValueError, match="what is packed is neither given nor taken"):
            train([run(place, EightBit(), start=spliced(place, other).build(), stage=again)], tmp_path / f"{other}")
        brought = {"lm": Brought(spliced(place, EightBit()).build(), "lm")}
        with pytest.raises(ValueError, match=r"inherits lm\.model.* EightBit of .* in the previous model"):
            train([run(place, EightBit(), model=spliced(place, other), brought=brought)], tmp_path / f"to {other}")
    with pytest.raises(ValueError, match="all of it is frozen by its module"):
        train([run(place, EightBit(), stage=Stage(**vars(STAGE) | {"train": {"lm": 1.0}}))], tmp_path / "learn")
    with pytest.raises(ValueError, match=r"but those of model\.model.*q_proj are packed: leave `packed` out"):
        LoRA(rank=2, names=("q_proj",)).add(ours(place, FourBit()))


def test_what_is_missing_is_said(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name = str(folder(llama))
    config = Config(name="a/b", revision="c", packed=FourBit())
    assert from_json(to_json(config)) == config
    assert not set(state(outline(Config(name=name, packed=FourBit()))))
    monkeypatch.setattr("chiasm.backbones.hf._about", lambda *_: (llama(), transformers.AutoModelForCausalLM))
    with pytest.raises(ValueError, match="only name a/b, whose branches move: say which commit, `revision`"):
        Config(name="a/b", packed=FourBit()).build()
    monkeypatch.setattr("chiasm.backbones.packing.find_spec", lambda each: None if each == "bitsandbytes" else each)
    with pytest.raises(ValueError, match=r"FourBit weights need bitsandbytes: pip install 'chiasm\[bits\]'"):
        Config(name=name, packed=FourBit()).build()
    monkeypatch.undo()
    monkeypatch.setattr("transformers.quantizers.quantizer_bnb_8bit.is_bitsandbytes_available", lambda: False)
    with pytest.raises(ValueError, match=r"packed weights cannot be had here: .*; pip install -U 'chiasm\[bits\]'"):
        Config(name=name, packed=EightBit()).build()
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"pip install 'chiasm\[hf\]'"):
        Config(name=name, packed=EightBit()).build()


class _KilledError(Exception):
    """As good as a kill: whatever was not written is gone."""


def _kill(step: Step) -> None:
    if step.step == 3:
        raise _KilledError
