"""Any language model of `transformers`, behind the Protocol `Language` (chiasm[hf]).

    causal        [ given ─ said ] ─ trunk ─ head
    seq2seq       given ─ encoder ─ decoder ─ head
                              said ─┘

Trunk, encoder and decoder are asked for states, so that only those from which something is to be learned reach the
head. What a model does to its logits besides (T5 scales, Gemma 2 bends, BART shifts them) is done by its own code:
`logits` runs the whole model with its trunk taken out.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from enum import Enum
from functools import cache, partial
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from chiasm.backbones.memory import Memory, copied
from chiasm.backbones.packing import EightBit, FourBit, options, settled
from chiasm.core.types import Text


class Precision(Enum):
    """Of the weights, while they lie in memory."""

    FP32 = torch.float32
    BF16 = torch.bfloat16
    FP16 = torch.float16


@dataclass(frozen=True, kw_only=True)
class Config:
    """A folder that `transformers` wrote, or a name on the hub with a branch, tag or commit.

    `build` reads the weights too, but for the meta device, where there are none. `dtype=None` is the files'.
    What is `packed` stays as it is, beside what learns; a model folder holds this config of it, and no weights.
    """

    name: str
    revision: str | None = None
    dtype: Precision | None = None
    packed: EightBit | FourBit | None = None

    @property
    def dim(self) -> int:
        return _width(self.name, self.revision)

    def build(self) -> "Causal | Seq2Seq":
        theirs = _outlined(self) if torch.get_default_device().type == "meta" else _read(self)
        kind = Seq2Seq if theirs.config.is_encoder_decoder else Causal
        return kind(theirs, lender=_lender(self, theirs.config))


class Causal(nn.Module):
    """A model that reads the given and the said in a row."""

    def __init__(self, model: Any, *, lender: str = "") -> None:
        super().__init__()
        self.model, self.lender = model, lender
        takes = signature(self._trunk.forward).parameters
        if "past_key_values" not in takes:
            raise _forgets(model)
        self._placed = "position_ids" in takes

    @property
    def dim(self) -> int:
        return self.words.embedding_dim

    @property
    def words(self) -> Any:
        return self.model.get_input_embeddings()

    @property
    def _trunk(self) -> Any:
        return self.model.get_decoder()

    def embed(self, ids: Int[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        return self.words(ids)

    def predict(self, given: Float[Tensor, "b n d"], present: Bool[Tensor, "b n"], said: Text) -> Float[Tensor, "m c"]:
        if given.shape[1] == 0:
            raise ValueError("nothing is given, and the first token comes from it: give the token that opens a text")
        x = torch.cat([given.to(self.words.weight.dtype), self.embed(said.ids[:, :-1])], dim=1)
        out = self._through({"inputs_embeds": x}, torch.cat([present, said.mask[:, :-1]], dim=1), use_cache=False)
        return out.last_hidden_state[:, given.shape[1] - 1 :][said.mask]

    def logits(self, states: Float[Tensor, "*m c"]) -> Float[Tensor, "*m v"]:
        headed = without(self.model, self._trunk)
        flat = states.reshape(1, -1, states.shape[-1])
        return headed(inputs_embeds=flat, use_cache=False).logits.reshape(*states.shape[:-1], -1)

    def listen(
        self, given: Float[Tensor, "b n d"], present: Bool[Tensor, "b n"]
    ) -> tuple[Float[Tensor, "b v"], Memory]:
        return self._further({"inputs_embeds": given.to(self.words.weight.dtype)}, present, None)

    def speak(self, ids: Int[Tensor, "n t"], state: Memory) -> tuple[Float[Tensor, "n v"], Memory]:
        present = torch.cat([state.present, torch.ones_like(ids, dtype=torch.bool)], dim=1)
        return self._further({"input_ids": ids}, present, state)

    def _further(
        self, words: dict[str, Tensor], present: Bool[Tensor, "n t"], before: Memory | None
    ) -> tuple[Float[Tensor, "n v"], Memory]:
        past = None if before is None else copied(before.cache)
        out = self._through(words, present, use_cache=True, past_key_values=past)
        if out.past_key_values is None:
            raise _forgets(self.model)
        k = 1 if before is None else before.k
        return self.logits(out.last_hidden_state[:, -1]), Memory(out.past_key_values, present, k=k)

    def _through(self, words: dict[str, Tensor], present: Bool[Tensor, "n t"], **rest: Any) -> Any:
        (new,) = (value.shape[1] for value in words.values())
        if self._placed:
            rest["position_ids"] = (present.cumsum(dim=1) - 1).clamp(min=0)[:, -new:]
        return self._trunk(**words, attention_mask=present.long(), **rest)


class Seq2Seq(nn.Module):
    """A model that encodes the given and decodes the said.

    Padding is moved to the right first: there are encoders that count places by themselves.
    """

    def __init__(self, model: Any, *, lender: str = "") -> None:
        super().__init__()
        self.model, self.lender = model, lender
        starts = (model.generation_config.decoder_start_token_id, model.config.to_dict().get("decoder_start_token_id"))
        known = [start for start in starts if start is not None]
        if not known:
            raise ValueError(
                f"{model.config.name_or_path or type(model).__name__} does not say which token a text begins with: "
                "set decoder_start_token_id in its config.json"
            )
        self.start = int(known[0])

    @property
    def dim(self) -> int:
        return self.words.embedding_dim

    @property
    def words(self) -> Any:
        return self._encoder.get_input_embeddings()

    @property
    def _encoder(self) -> Any:
        return self.model.get_encoder()

    @property
    def _decoder(self) -> Any:
        return self.model.get_decoder()

    def embed(self, ids: Int[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        return self.words(ids)

    def predict(self, given: Float[Tensor, "b n d"], present: Bool[Tensor, "b n"], said: Text) -> Float[Tensor, "m c"]:
        begun = torch.cat([torch.full_like(said.ids[:, :1], self.start), said.ids[:, :-1]], dim=1)
        return self._decode(begun, self._encode(given, present), use_cache=False).last_hidden_state[said.mask]

    def logits(self, states: Float[Tensor, "*m c"]) -> Float[Tensor, "*m v"]:
        headed = without(self.model, self._decoder)
        flat = states.reshape(1, -1, states.shape[-1])
        told = headed(encoder_outputs=(flat,), decoder_inputs_embeds=flat, use_cache=False).logits
        return told.reshape(*states.shape[:-1], -1)

    def listen(
        self, given: Float[Tensor, "b n d"], present: Bool[Tensor, "b n"]
    ) -> tuple[Float[Tensor, "b v"], Memory]:
        first = torch.full((len(given), 1), self.start, device=given.device)
        return self.speak(first, self._encode(given, present))

    def speak(self, ids: Int[Tensor, "n t"], state: Memory) -> tuple[Float[Tensor, "n v"], Memory]:
        past = None if state.cache is None else copied(state.cache)
        out = self._decode(ids, state, use_cache=True, past_key_values=past)
        after = Memory(out.past_key_values, state.present, state.encoded, state.k)
        return self.logits(out.last_hidden_state[:, -1]), after

    def _encode(self, given: Float[Tensor, "b n d"], present: Bool[Tensor, "b n"]) -> Memory:
        order = (~present).long().argsort(dim=1, stable=True)
        present, x = present.gather(1, order), given.gather(1, order[..., None].expand_as(given))
        out = self._encoder(inputs_embeds=x.to(self.words.weight.dtype), attention_mask=present.long())
        return Memory(None, present, out.last_hidden_state)

    def _decode(self, ids: Int[Tensor, "n t"], state: Memory, **rest: Any) -> Any:
        return self._decoder(
            input_ids=ids, encoder_hidden_states=state.encoded, encoder_attention_mask=state.present.long(), **rest
        )


def without(model: nn.Module, part: nn.Module) -> nn.Module:
    """The model, its weights shared, one part of which returns what it is given as its states."""
    twin = copy(model)
    if model is part:
        vars(twin)["forward"] = _given
    else:
        parts = dict(model.named_children())
        holders = {name: child for name, child in parts.items() if any(module is part for module in child.modules())}
        vars(twin)["_modules"] = parts | {name: without(child, part) for name, child in holders.items()}
    return twin


class States(tuple[Tensor]):
    """What a trunk returns, where a model looks for it; nothing is known of caches, routers and the like."""

    __slots__ = ()

    @property
    def last_hidden_state(self) -> Tensor:
        return self[0]

    def __getattr__(self, _name: str) -> None:
        return None


def _given(*_: Any, inputs_embeds: Float[Tensor, "b n d"], **__: Any) -> States:
    return States((inputs_embeds,))


def _forgets(model: nn.Module) -> ValueError:
    return ValueError(
        f"{type(model).__name__} keeps no keys and values of what it has read, and without them it cannot go on from "
        "there: take a decoder that attends"
    )


def _read(config: Config) -> Any:
    """The model with its weights."""
    about, kind = _about(config.name, config.revision)
    dtype = "auto" if config.dtype is None else config.dtype.value
    more = dict[str, Any]()
    if config.packed is not None:
        more = options(config.packed, (about.dtype or torch.float32) if config.dtype is None else config.dtype.value)
    call = partial(kind.from_pretrained, config.name, config=about, revision=config.revision, dtype=dtype, **more)
    read = partial(_asked, call, config.name, config.revision)
    if not _lender(config, about):
        return read()
    if config.revision is None and not Path(config.name).is_dir():
        raise ValueError(
            f"a model folder will only name {config.name}, whose branches move: say which commit, `revision`"
        )
    return settled(read)


def _lender(config: Config, about: Any) -> str:
    """Whose weights they are, if they are packed: by us, or by whoever saved them."""
    if config.packed is None and "quantization_config" not in about.to_dict():
        return ""
    how = "packed weights" if config.packed is None else type(config.packed).__name__
    return f"{how} of {_named(config.name, config.revision)}"


def _outlined(config: Config) -> Any:
    """The model without its tensors' memory."""
    about, kind = _about(config.name, config.revision)
    dtype = about.dtype if config.dtype is None else config.dtype.value
    return _asked(partial(kind.from_config, about, dtype=dtype), config.name, config.revision)


def _about(name: str, revision: str | None) -> tuple[Any, Any]:
    """The model's own config, and the class that reads models of its kind."""
    try:
        theirs = import_module("transformers")  # an extra, and seconds to import
    except ImportError as error:
        raise ValueError("a language model of transformers needs it: pip install 'chiasm[hf]'") from error
    if Path(name).is_absolute() and not Path(name).exists():
        raise ValueError(f"there is no {name} any more: put the language model back, or write where it is now")
    ask = partial(theirs.AutoConfig.from_pretrained, name, revision=revision, trust_remote_code=False)
    about = _asked(ask, name, revision)
    kind = theirs.AutoModelForSeq2SeqLM if about.is_encoder_decoder else theirs.AutoModelForCausalLM
    return about, kind


def _asked(call: Callable[[], Any], name: str, revision: str | None) -> Any:
    """What they answer; what they refuse in one sentence."""
    try:
        return call()
    except (OSError, ValueError) as error:
        at, first = _named(name, revision), str(error).strip().splitlines()[0]
        raise ValueError(f"{at} is no language model that transformers reads: {first}") from error


def _named(name: str, revision: str | None) -> str:
    return f"{name} at revision {revision}" if revision else name


@cache
def _width(name: str, revision: str | None) -> int:
    """Of the word vectors, which is not always that of the layers."""
    with torch.device("meta"):
        return Config(name=name, revision=revision).build().dim
