"""From a name to a `Predictor`: a folder of one's own, or a published size with random weights."""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import nn

from chiasm.archetypes.spliced import SplicedLM
from chiasm.core.errors import unknown
from chiasm.core.system import Config
from chiasm.core.types import Markers
from chiasm.data.images import Resize
from chiasm.data.text import Tokenizer, beside
from chiasm.predictor.catalogue import catalogue, config_of, systems
from chiasm.predictor.device import device_of, dtype_of
from chiasm.predictor.parts import markers_of, pixels_of, vocab_of
from chiasm.predictor.published import completed, read_published
from chiasm.predictor.verbs import Predictor
from chiasm.predictor.words import usual_tokenizer
from chiasm.weights.folder import HINTS, ModelCard, is_ours, last_finished, load_model, skeleton
from chiasm.weights.hub import fetch, fetch_words
from chiasm.weights.state import assign, state

ITM_TOKENS = ("enc", "cls")
BERTS = {"sep": 102, "dec": 30_522, "enc": 30_523}  # what stands in for what a form does not say
METHODS = {"fast": Resize.FAST, "exact": Resize.EXACT}


@runtime_checkable
class FitsAny(Protocol):
    """A config that can be had for any vocabulary that has a mark for the end of a text."""

    def worded(self, vocab: int, end: int) -> Config: ...


@runtime_checkable
class Fits(Protocol):
    """A config that can be had for another vocabulary of BERT's kind."""

    def fitted(self, vocab: int, markers: Markers) -> Config: ...


def load(
    source: str | Path,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    preprocess: Literal["fast", "exact"] = "fast",
    tokenizer: str | Path | Tokenizer | None = None,
    revision: str | None = None,
    token: str | None = None,
    offline: bool = False,
    itm_token: Literal["enc", "cls"] = "enc",
    base: str | Path | None = None,
) -> Predictor:
    """A model by its name on the hub, or from the disk: a folder or file of others, or a run folder of ours.

    A path that exists wins; a run folder stands for its last finished run. `device=None` is the GPU
    if there is one; `dtype=None` is the file's. `preprocess="exact"` resizes pictures by Pillow to the
    last bit, which is slower. `tokenizer` is a path or a name on the hub; where none lies beside the
    weights either, that of their family is fetched at the first text. `revision`, `token` and `offline`
    are for the hub. `itm_token` opens a text that is read beside a picture: [ENC] as BLIP was trained, or
    [CLS] as `transformers` leaves it. `base` is the rest of a model of which LAVIS saved only what was trained.
    """
    for name, asked, known in (("preprocess", preprocess, METHODS), ("itm_token", itm_token, ITM_TOKENS)):
        if asked not in known:
            raise unknown(name, asked, known)
    _require_named(source, "load takes a path, or a name on the hub")
    if base is not None:
        _require_part(source, base)
    place, kind = device_of(device), dtype_of(dtype)
    path = located(source if base is None else base, revision=revision, token=token, offline=offline)
    if is_ours(path):
        module, card = load_model(path, device=place, dtype=kind)
    else:
        module, card = read_published(path, kind)
        module = module.to(device=place, dtype=kind)
    if base is not None:
        module, card = completed(module, card, Path(source))
    home = path if path.is_dir() else path.parent
    given = _located(tokenizer, token=token, offline=offline)
    words, hints = _tokenizer(beside(home) if given is None else given), _hints(given) or _hints(home)
    if not is_ours(path) and words is not None:
        module, card = _framed(module, card, words)
    _require_known(words, card.config)
    if itm_token == "cls":
        module, card = _opened_by_cls(module, card)
    usual = partial(usual_tokenizer, card, token=token, offline=offline)
    return Predictor(module, card, usual if words is None else words, hints=hints, method=METHODS[preprocess])


def _opened_by_cls(module: nn.Module, card: ModelCard) -> tuple[nn.Module, ModelCard]:
    """The same weights, with [CLS] wherever [ENC] would stand."""
    config = card.config
    if isinstance(config, Fits) and (words := markers_of(config)):
        config = config.fitted(vocab_of(config), replace(words, enc=words.cls))
    return _rebuilt(module, card, config)


def _framed(module: nn.Module, card: ModelCard, words: Tokenizer) -> tuple[nn.Module, ModelCard]:
    """The same weights, and texts that begin and end as the tokenizer has it: configs are not always right there."""
    match card.config, words.around:
        case SplicedLM.Config(wording=said) as theirs, (start, close):
            config = replace(theirs, wording=replace(said, start=start, close=close))
        case theirs, _:
            config = marked(theirs, words)
    return (module, card) if config == card.config else _rebuilt(module, card, config)


def marked(config: Config, words: Tokenizer) -> Config:
    """The same with special tokens where the tokenizer has them, unless a form of others says where."""
    if not isinstance(config, Fits) or (said := markers_of(config)) is None:
        return config
    here, before = asdict(words.markers), asdict(said)
    assumed = {name for name, usual in BERTS.items() if before[name] == usual}
    now = replace(said, **{name: here[name] for name in {"cls", "mask", *assumed}})  # theirs never say these two
    return config.fitted(vocab_of(config), replace(now, enc=now.cls) if said.enc == said.cls else now)


def _rebuilt(module: nn.Module, card: ModelCard, config: Config) -> tuple[nn.Module, ModelCard]:
    again = skeleton(config)
    assign(again, state(module), source=f"the {card.system} model")
    return again.eval(), replace(card, config=config)


def located(
    source: str | Path, *, revision: str | None = None, token: str | None = None, offline: bool = False
) -> Path:
    """Where the model lies that `load` would open, fetched if it has to be; raises if there is none."""
    path = Path(source)
    if not path.exists():
        path = fetch(_published(source), revision=revision, token=token, offline=offline)
    return last_finished(path) if is_ours(path) else path


def create(
    name: str,
    *,
    seed: int = 0,
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    tokenizer: str | Path | Tokenizer | None = None,
) -> Predictor:
    """`system/preset` with random weights.

    The `tiny` presets have a small tokenizer of their own, and any preset takes the size of the
    vocabulary it is given. The caller's random state stays as it was.
    """
    _require_named(name, "create takes the name of a preset, such as 'blip/tiny'")
    config, place, kind = config_of(name), device_of(device), dtype_of(dtype)
    system, preset = name.split("/")
    given = _located(Tokenizer.builtin() if tokenizer is None and preset.startswith("tiny") else tokenizer)
    words = _tokenizer(given)
    if words is not None:
        config = _fitted(config, words)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module = config.build()
    card = ModelCard(system=system, preset=preset, config=config, pixels=pixels_of(config, systems()[system].fit))
    return Predictor(module.to(device=place, dtype=kind), card, words, hints=_hints(given))


def _require_named(given: Any, told: str) -> None:
    if not isinstance(given, str | Path):
        raise ValueError(f"{given!r} is no name: {told}")


def _fitted(config: Config, words: Tokenizer) -> Config:
    """The config for a vocabulary: where any will do, one of CLIP's too; a language model's own changes nothing."""
    if isinstance(config, SplicedLM.Config) and not words.framed:
        if words.vocab > (known := vocab_of(config)):
            raise ValueError(f"the tokenizer has {words.vocab} words, and the language model knows {known}")
        return config
    if isinstance(config, FitsAny):
        return config.worded(words.vocab, words.end)
    return config.fitted(words.vocab, words.markers) if isinstance(config, Fits) else config


def _require_part(source: str | Path, base: Any) -> None:
    _require_named(base, "base= takes a path, or a name on the hub")
    if not Path(source).exists():
        raise ValueError(f"there is no {source}: where base= (--base) is the rest of a model, it is a file on the disk")


def _require_known(words: Tokenizer | None, config: Config) -> None:
    """Raise where there are words that the model has no vectors for; what was added to them need not have one."""
    if words is None:
        return
    count, known = words.backend.get_vocab_size(with_added_tokens=False), vocab_of(config)
    if 0 < known < count:
        raise ValueError(f"the tokenizer has {count} words, and the model knows {known}: pass its own as tokenizer=")


def _located(
    given: str | Path | Tokenizer | None, *, token: str | None = None, offline: bool = False
) -> Path | Tokenizer | None:
    """What was given as a tokenizer, fetched by its name if there is no such path."""
    if isinstance(given, str) and not Path(given).exists():
        return fetch_words(given, token=token, offline=offline)
    return Path(given) if isinstance(given, str) else given


def _tokenizer(given: Path | Tokenizer | None) -> Tokenizer | None:
    return Tokenizer.load(given) if isinstance(given, Path) else given


def _hints(given: Path | Tokenizer | None) -> Tokenizer | None:
    """What a folder has for Q-Formers, if it has."""
    found = beside(given / HINTS) if isinstance(given, Path) else None
    return None if found is None else Tokenizer.load(found)


def _published(source: str | Path) -> str:
    """What may be a name on the hub, or why it is none."""
    name = str(source)
    system, _, preset = name.partition("/")
    if system in catalogue():
        known = catalogue()[system].presets
        raise ValueError(
            f"{name!r} names a preset, which has no trained weights: "
            f"chiasm.create({f'{system}/{preset if preset in known else known[0]}'!r}) builds it with random ones, "
            "and load takes a path, or a name on the hub"
        )
    if isinstance(source, Path):
        raise ValueError(f"there is no {name}")
    return name
