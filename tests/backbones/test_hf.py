"""Models of transformers behind our Protocol: they say, and learn from, what they do over there."""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional as F

from chiasm.archetypes.spliced import Heard, Sense, SplicedLM, Teller
from chiasm.backbones.hf import Causal, Config, Precision, Seq2Seq
from chiasm.core.config import from_json, to_json
from chiasm.core.types import Instructed, Pixels, Prompt, Text, Wording
from chiasm.decoding.generate import generate
from chiasm.decoding.strategies import Beam, Limits
from chiasm.nn.connector import LinearConnector
from chiasm.nn.language import Language, LanguageConfig
from chiasm.nn.vit import PatchStem, ViT
from chiasm.training.adapters import LoRA
from chiasm.weights.folder import ModelCard, load_model, save_model

VOCAB, WIDTH, END = 29, 24, 1
CLOSE = {"rtol": 1e-4, "atol": 1e-4}
SIZES = {"vocab_size": VOCAB, "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 3}
TOKENS = {"pad_token_id": 0, "eos_token_id": END, "bos_token_id": 2}


def neox() -> Any:
    return transformers.GPTNeoXConfig(**SIZES, **TOKENS, intermediate_size=32, max_position_embeddings=64)


def gemma() -> Any:
    """Logits that are bent, word vectors that are scaled, windows shorter than what is read."""
    more = {"num_key_value_heads": 1, "head_dim": 8, "sliding_window": 4, "final_logit_softcapping": 2.0}
    return transformers.Gemma2Config(**SIZES, **TOKENS, **more, intermediate_size=32)


def bloom() -> Any:
    """No places at all."""
    return transformers.BloomConfig(vocab_size=VOCAB, hidden_size=WIDTH, n_layer=2, n_head=3, **TOKENS)


def gpt() -> Any:
    """Learned places."""
    return transformers.GPT2Config(vocab_size=VOCAB, n_embd=WIDTH, n_layer=2, n_head=3, n_positions=64, **TOKENS)


def opt() -> Any:
    """Word vectors narrower than its layers, and a head that asks the decoder inside of the trunk."""
    sizes = {"hidden_size": WIDTH, "word_embed_proj_dim": 12, "ffn_dim": 32, "max_position_embeddings": 64}
    return transformers.OPTConfig(vocab_size=VOCAB, num_hidden_layers=2, num_attention_heads=3, **sizes, **TOKENS)


def mixtral() -> Any:
    """Experts, whose routers its head asks for."""
    more = {"intermediate_size": 32, "num_key_value_heads": 1, "num_local_experts": 2}
    return transformers.MixtralConfig(**SIZES, **TOKENS, **more)


def falcon() -> Any:
    """Beside attention a state that it overwrites; logits scaled by its trunk's number."""
    mamba = {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8, "lm_head_multiplier": 2.0}
    return transformers.FalconH1Config(**SIZES, **TOKENS, **mamba, intermediate_size=32, num_key_value_heads=3)


def bart() -> Any:
    """Learned places that the encoder counts by itself, scaled word vectors, shifted logits."""
    halves = {f"{half}_{what}": size for half in ("encoder", "decoder") for what, size in SIZED.items()}
    starts = {"decoder_start_token_id": 2, "forced_eos_token_id": None, "scale_embedding": True}
    return transformers.BartConfig(vocab_size=VOCAB, d_model=WIDTH, **halves, **TOKENS, **starts)


def mt5() -> Any:
    sizes = {"d_model": WIDTH, "d_kv": 6, "d_ff": 32, "num_layers": 2, "num_heads": 3}
    return transformers.MT5Config(vocab_size=VOCAB, **sizes, decoder_start_token_id=0)


SIZED = {"layers": 2, "attention_heads": 3, "ffn_dim": 32}
MODELS = [neox, gemma, bloom, gpt, opt, mixtral, falcon, bart, mt5]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable[[], Any]], Path]:
    """Where a small model of that kind was saved, its weights far from their start."""
    root = tmp_path_factory.mktemp("theirs")

    @cache
    def saved(make: Callable[[], Any]) -> Path:
        torch.manual_seed(0)
        about = make()
        auto = transformers.AutoModelForSeq2SeqLM if about.is_encoder_decoder else transformers.AutoModelForCausalLM
        model = auto.from_config(about)
        with torch.no_grad():
            for weight in (*model.parameters(), *(b for name, b in model.named_buffers() if "logits_bias" in name)):
                weight.add_(0.3 * torch.randn_like(weight))
        model.save_pretrained(root / make.__name__)
        return root / make.__name__

    return saved


def opened(path: Path) -> tuple[Any, Any]:
    ours = Config(name=str(path)).build().eval()
    return ours, ours.model


def prompt(rows: int = 3) -> tuple[Tensor, Tensor]:
    """Ids padded on the left, longer than a window."""
    ids, starts = torch.randint(3, VOCAB, (rows, 7)), torch.tensor([0, 4, 2])[:rows]
    present = torch.arange(7)[None] >= starts[:, None]
    return ids.masked_fill(~present, 0), present


def said(rows: int = 3) -> Text:
    ids, lengths = torch.randint(3, VOCAB, (rows, 5)), torch.tensor([5, 1, 3])[:rows]
    mask = torch.arange(5)[None] < lengths[:, None]
    return Text(ids.masked_fill(~mask, 0), mask)


def alone(theirs: Any, ids: Tensor, words: Tensor) -> Tensor:
    """What their whole model predicts for each of the words, one row without padding."""
    if theirs.config.is_encoder_decoder:
        return theirs(input_ids=ids[None], labels=words[None]).logits[0]
    return theirs(input_ids=torch.cat([ids, words])[None]).logits[0, len(ids) - 1 : -1]


def greedy(ours: Any, ids: Tensor, present: Tensor, steps: int) -> list[list[int]]:
    """By our Protocol, up to the end token."""
    logits, state = ours.listen(ours.embed(ids), present)
    told = []
    for _ in range(steps):
        told.append(logits.argmax(dim=1))
        logits, state = ours.speak(told[-1][:, None], state)
    return [upto(row) for row in torch.stack(told, dim=1).tolist()]


def upto(row: list[int]) -> list[int]:
    return row[: [*row, END].index(END)]


@pytest.mark.parametrize("make", MODELS)
@torch.inference_mode()
def test_it_predicts_what_theirs_predicts_of_each_row_alone(make: Callable[[], Any], folder: Any) -> None:
    ours, theirs = opened(folder(make))
    (ids, present), text = prompt(), said()
    logits = ours.logits(ours.predict(ours.embed(ids), present, text))
    rows = [alone(theirs, ids[i][present[i]], text.ids[i][text.mask[i]]) for i in range(3)]
    torch.testing.assert_close(logits, torch.cat(rows), **CLOSE)


@pytest.mark.parametrize("make", [gemma, gpt, bart])
@torch.inference_mode()
def test_it_says_what_theirs_says(make: Callable[[], Any], folder: Any) -> None:
    ours, theirs = opened(folder(make))
    ids, present = prompt()
    told = []
    for row, real in zip(ids, present, strict=True):
        words = theirs.generate(input_ids=row[real][None], max_new_tokens=9, do_sample=False)[0].tolist()
        told.append(upto(words[1:] if theirs.config.is_encoder_decoder else words[int(real.sum()) :]))
    assert greedy(ours, ids, present, 9) == told


@pytest.mark.parametrize("make", [gemma, falcon, bart])
@torch.inference_mode()
def test_states_are_values(make: Callable[[], Any], folder: Any) -> None:
    """Spread, reordered, thinned and read on: as if read anew; and an older state stays as it was."""
    ours, _ = opened(folder(make))
    ids, present = prompt()
    words = torch.tensor([[5, 6], [7, 8], [9, 4], [3, 3]])
    _, first = ours.listen(ours.embed(ids), present)
    many = first.spread(2).select(torch.tensor([1, 0, 3, 3, 4, 5])).keep(torch.tensor([2, 0]))
    assert many.k == 2
    _, second = ours.speak(words[:, :1], many)
    for _ in range(2):  # the first time must not change what the second one finds
        told, _ = ours.speak(words[:, 1:], second)
        at_once, _ = ours.speak(words, many)
        for row, picture in enumerate([2, 2, 0, 0]):
            one = slice(picture, picture + 1)
            _, state = ours.listen(ours.embed(ids[one]), present[one])
            expected, _ = ours.speak(words[row : row + 1], state)
            torch.testing.assert_close(told[row : row + 1], expected, **CLOSE)
            torch.testing.assert_close(at_once[row : row + 1], expected, **CLOSE)


@pytest.mark.parametrize("make", [neox, mt5])
@torch.inference_mode()
def test_beams_are_theirs(make: Callable[[], Any], folder: Any) -> None:
    ours, theirs = opened(folder(make))
    ids, present = prompt()
    vectors = ours.embed(ids)
    teller = Teller(ours, Heard(*ours.listen(vectors, present)), END)
    opening = Text(torch.zeros(3, 1, dtype=torch.long), torch.ones(3, 1, dtype=torch.bool))
    texts = generate(teller, vectors, opening, Beam(3), Limits(6))
    for text, row, real in zip(texts, ids, present, strict=True):
        words = theirs.generate(input_ids=row[real][None], max_new_tokens=6, num_beams=3, do_sample=False)[0].tolist()
        told = words[1:] if theirs.config.is_encoder_decoder else words[int(real.sum()) :]
        assert [*text[0].ids] == upto(told)


@torch.inference_mode()
def test_the_config_knows_its_width_before_weights_are_read(folder: Any) -> None:
    config = Config(name=str(folder(bart)), dtype=Precision.BF16)
    assert isinstance(config, LanguageConfig)
    assert config.dim == WIDTH
    assert from_json(to_json(config)) == config
    with torch.device("meta"):
        outline = config.build()
    built = config.build()
    assert isinstance(built, Language)
    assert {name: value.shape for name, value in outline.state_dict().items()} == {
        name: value.shape for name, value in built.state_dict().items()
    }
    assert {value.dtype for value in built.parameters()} == {torch.bfloat16}
    (ids, present), text = prompt(), said()
    states = built.predict(built.embed(ids).float(), present, text)  # vectors of something that learns in fp32
    assert built.logits(states).isfinite().all()


@pytest.mark.parametrize(("make", "kind", "names"), [(neox, Causal, ("query_key_value",)), (mt5, Seq2Seq, ("q", "v"))])
def test_detours_learn_beside_it(make: Callable[[], Any], kind: type, names: tuple[str, ...], folder: Any) -> None:
    """Also that a frozen model passes gradients to what it is given."""
    ours = Config(name=str(folder(make))).build().eval()
    assert type(ours) is kind
    (ids, present), text = prompt(), said()
    vectors = ours.embed(ids).detach().requires_grad_()

    def loss(model: nn.Module) -> Tensor:
        return F.cross_entropy(model.logits(model.predict(vectors, present, text)), text.ids[text.mask])

    adapter, before = LoRA(rank=2, names=names), loss(ours).item()
    adapter.add(ours)
    assert loss(ours).item() == pytest.approx(before, abs=1e-4)
    with torch.no_grad():
        for name, weight in ours.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    loss(ours).backward()
    assert vectors.grad is not None
    assert vectors.grad[present].abs().sum(dim=-1).min() > 0
    learned = {name for name, weight in ours.named_parameters() if weight.grad is not None}
    assert learned == {name for name, _ in ours.named_parameters() if "lora_" in name}
    assert abs(loss(ours).item() - before) > 1e-4
    assert loss(adapter.merged(ours)).item() == pytest.approx(loss(ours).item(), abs=1e-4)


@pytest.mark.parametrize("make", [neox, bart])
def test_it_is_shown_pictures(make: Callable[[], Any], folder: Any) -> None:
    """Frozen in a `SplicedLM`, it teaches what makes words of pictures."""
    tower = ViT.Config(dim=8, depth=1, heads=2, image=8, stem=PatchStem(patch=4), std=0.3)
    sense = Sense.Config(name="image", encoder=tower, connector=LinearConnector.Config())
    wording = Wording(start=None, close=None, end=END, pad=0)
    config = SplicedLM.Config(senses=(sense,), lm=Config(name=str(folder(make))), wording=wording)
    assert from_json(to_json(config)) == config
    model = config.build()
    model.lm.requires_grad_(requires_grad=False)
    words = torch.tensor([[0, -1, 5], [-1, 6, 7]])
    batch = Instructed({"image": torch.randn(2, 1, 3, 8, 8)}, Prompt(Text(words, words != 0)), said(2))
    model(batch)["language"].backward()
    connector = dict(model.senses["image"].connector.named_parameters())
    assert connector
    assert all(weight.grad is not None and weight.grad.any() for weight in connector.values())


def test_what_is_missing_is_said(folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = str(folder(neox))
    with pytest.raises(ValueError, match="is no language model that transformers reads"):
        Config(name=str(tmp_path)).build()
    with pytest.raises(ValueError, match="at revision main is no language model"):
        Config(name="nobody/nothing", revision="main").build()
    transformers.ViTConfig().save_pretrained(tmp_path / "eyes")
    transformers.MambaConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1).save_pretrained(tmp_path / "mamba")
    with torch.device("meta"), pytest.raises(ValueError, match="MambaForCausalLM keeps no keys and values"):
        Config(name=str(tmp_path / "mamba")).build()
    with pytest.raises(ValueError, match="is no language model that transformers reads"):
        Config(name=str(tmp_path / "eyes")).build()
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match="pip install 'chiasm\\[hf\\]'"):
        Config(name=name).build()


def test_a_model_folder_holds_it(folder: Any, tmp_path: Path) -> None:
    """With what was learned of it; tables of places that no file holds are made again."""
    config = Config(name=str(folder(neox)))
    built = config.build()
    with torch.no_grad():
        built.words.weight.add_(1.0)
    pixels = Pixels(size=8, mean=(0.5,) * 3, std=(0.5,) * 3)
    save_model(tmp_path / "m", built, ModelCard(system="blip2", preset="x", config=config, pixels=pixels), None)
    loaded, card = load_model(tmp_path / "m")
    assert card.config == config
    (ids, present), text = prompt(), said()
    with torch.inference_mode():
        expected, told = (model.eval().predict(built.embed(ids), present, text) for model in (built, loaded))
    assert torch.equal(told, expected)
    assert torch.equal(loaded.words.weight, built.words.weight)


def test_a_text_must_begin_somewhere(tmp_path: Path) -> None:
    about = mt5()
    about.decoder_start_token_id = None
    transformers.AutoModelForSeq2SeqLM.from_config(about).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="set decoder_start_token_id"):
        Config(name=str(tmp_path)).build()
