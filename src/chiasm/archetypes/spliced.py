"""A language model that is shown things: vectors of media among the words of its prompt.

    picture ─ encoder ─ connector ─┐
    sound ─── encoder ─ connector ─┼─ splice ─ language model ─ what is said
    prompt ── word vectors ────────┘

BLIP-2's second stage (arXiv:2301.12597, section 3.3), InstructBLIP (arXiv:2305.06500), X-InstructBLIP
(arXiv:2311.18799) and most that came after them. Only what is said is learned from; what the words are
learned with besides is for a stage to say: usually the connectors alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from chiasm.core import ranks
from chiasm.core.ability import State
from chiasm.core.errors import unknown
from chiasm.core.types import Frames, Instructed, Losses, Markers, Media, Perceived, Prompt, Text, Wording
from chiasm.nn.connector import LinearConnector, QFormerConnector
from chiasm.nn.language import AnyWords, Language, LanguageConfig
from chiasm.nn.splice import places, splice
from chiasm.objectives.language import next_token_of

PICTURES = "image"  # the sense that the verbs about pictures use
PICTURE = Frames(count=1)


@runtime_checkable
class Encodes(Protocol):
    """The config of what turns a frame into states."""

    @property
    def dim(self) -> int: ...

    def build(self) -> nn.Module: ...


@dataclass(frozen=True, kw_only=True)
class Borrowed:
    """The encoder of another sense, which is not there twice: videos are seen by what sees pictures."""

    sense: str

    def build(self) -> nn.Module:
        """Nothing of its own."""
        return nn.Identity()


class Sense(nn.Module):
    """An encoder, or one that is borrowed, and what makes words of its states."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        name: str
        encoder: Encodes | Borrowed
        connector: QFormerConnector.Config | LinearConnector.Config
        cue: str = ""  # words that announce what is shown
        media: Media = PICTURE

        @property
        def perceiver(self) -> str:
            """The sense whose encoder it is."""
            return self.encoder.sense if isinstance(self.encoder, Borrowed) else self.name

    def __init__(self, cfg: Config, *, dim: int, out: int) -> None:
        super().__init__()
        self.encoder = cfg.encoder.build()
        self.connector = cfg.connector.build(dim, out)

    def see(self, media: Float[Tensor, "n f ..."]) -> Float[Tensor, "n f p c"]:
        return self.encoder(media.flatten(0, 1)).unflatten(0, media.shape[:2])

    def forward(self, states: Float[Tensor, "n f p c"], hint: Text | None) -> Float[Tensor, "n k d"]:
        """The vectors of all frames in a row; each frame is looked at with the hint of its own row."""
        frames = states.shape[1]
        own = None if hint is None else Text(*(part.repeat_interleave(frames, dim=0) for part in (hint.ids, hint.mask)))
        return self.connector(states.flatten(0, 1), own).unflatten(0, (-1, frames)).flatten(1, 2)


@dataclass(frozen=True)
class Heard:
    """What a language model makes of a prompt before it says anything: the first logits, and its state."""

    logits: Float[Tensor, "b v"]
    state: State


@dataclass(frozen=True)
class Teller:
    """The language model as decoding asks for it; the first logits need no token, all is read."""

    lm: Language
    heard: Heard
    end: int

    def recall(self, _given: Float[Tensor, "b n d"]) -> Heard:
        return self.heard

    def speak(
        self, ids: Int[Tensor, "n t"], state: Any, _present: Bool[Tensor, "n t"] | None = None
    ) -> tuple[Float[Tensor, "n v"], Any]:
        return (state.logits, state.state) if isinstance(state, Heard) else self.lm.speak(ids, state)


class SplicedLM(nn.Module):
    """Some senses and one language model."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        lm: LanguageConfig
        senses: tuple[Sense.Config, ...]
        wording: Wording

        def build(self) -> "SplicedLM":
            return SplicedLM(self)

        @property
        def widths(self) -> Mapping[str, int]:
            """Of what the encoders say, by sense."""
            return {sense.name: sense.encoder.dim for sense in self.senses if not isinstance(sense.encoder, Borrowed)}

        def fitted(self, vocab: int, markers: Markers) -> "SplicedLM.Config":
            """The same for another vocabulary, of Q-Formers and language model alike; a published one keeps its own."""
            if not isinstance(self.lm, AnyWords):
                return self
            senses = tuple(replace(sense, connector=sense.connector.worded(vocab)) for sense in self.senses)
            start = None if self.wording.start is None else markers.cls
            close = None if self.wording.close is None else markers.sep
            wording = replace(self.wording, start=start, close=close, end=markers.sep, pad=markers.pad)
            return replace(self, senses=senses, lm=self.lm.worded(vocab), wording=wording)

    def __init__(self, cfg: Config) -> None:
        super().__init__()
        self.perceivers = {sense.name: sense.perceiver for sense in cfg.senses}
        if strange := {*self.perceivers.values()} - cfg.widths.keys():
            raise unknown("sense with an encoder to borrow", min(strange), cfg.widths)
        self.senses = nn.ModuleDict(
            {sense.name: Sense(sense, dim=cfg.widths[sense.perceiver], out=cfg.lm.dim) for sense in cfg.senses}
        )
        self.lm: Any = cfg.lm.build()
        self.cues = {sense.name: sense.cue for sense in cfg.senses}
        self.media = {sense.name: sense.media for sense in cfg.senses}
        self.wording = cfg.wording
        self.hinted = any(sense.connector.hinted for sense in cfg.senses)

    def forward(self, batch: Instructed) -> Losses:
        seen = {sense: self.perceive(sense, media) for sense, media in batch.shown.items()}
        given, present = self.splice({**seen, **batch.perceived}, batch.prompt)
        states = self.lm.predict(given, present, batch.said)
        target = batch.said.ids[batch.said.mask]
        loss = next_token_of(states, target, self.lm.logits, weights=tuple(self.lm.parameters()))
        return {"language": ranks.fair(loss, len(target))}

    def see(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b p c"]:
        return self.perceive(PICTURES, images[:, None])[:, 0]

    def perceive(self, sense: str, media: Float[Tensor, "n f ..."]) -> Float[Tensor, "n f p c"]:
        return self._sense(self.perceivers.get(sense, sense)).see(media)

    def look(self, seen: Float[Tensor, "b p c"]) -> Float[Tensor, "b q d"] | None:
        """States of the queries that look at pictures; None where there are none, or where they want to be told more.

        A Q-Former that learned to look beside instructions has not learned to look without one.
        """
        connector = self._sense(PICTURES).connector
        return connector.look(seen, None) if isinstance(connector, QFormerConnector) and not self.hinted else None

    def fuse(self, seen: Float[Tensor, "b p c"], text: Text) -> Float[Tensor, "b q d"]:
        """States of the queries beside hint `i`, after they have read picture `i`."""
        connector = self._sense(PICTURES).connector
        if not isinstance(connector, QFormerConnector):
            raise ValueError("the model looks at pictures without queries, so there is nobody to be told what for")
        return connector.look(seen, text)

    def encoder(self, sense: str) -> nn.Module:
        """What turns a frame into states."""
        return self._sense(self.perceivers.get(sense, sense)).encoder

    def listen(self, perceived: Perceived, prompt: Prompt) -> tuple[Float[Tensor, "b n d"], Teller]:
        given, present = self.splice(perceived, prompt)
        return given, Teller(self.lm, Heard(*self.lm.listen(given, present)), self.wording.end)

    def splice(self, perceived: Perceived, prompt: Prompt) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"]]:
        """Vectors of what is perceived among those of the prompt's words."""
        names, words = [*self.cues], prompt.words
        shown = dict[str, Tensor | list[Tensor]]()
        for name, states in perceived.items():
            sense = self._sense(name)
            rows = places(words, names.index(name), name, len(states)).nonzero()[:, 0]
            hints = None if prompt.hint is None else prompt.hint[rows]
            if isinstance(states, Tensor):
                shown[name] = sense(states, hints)
            else:  # as many frames as each has
                own = [None if hints is None else hints[i : i + 1] for i in range(len(states))]
                shown[name] = [sense(one[None], hint)[0] for one, hint in zip(states, own, strict=True)]
        return splice(self.lm.embed(words.ids.clamp(min=0)), words, shown, names)

    def _sense(self, name: str) -> Sense:
        if name not in self.cues:
            raise ValueError(f"the model has no sense for {name}: it has {', '.join(self.cues)}")
        return cast(Sense, self.senses[name])


def seeing(
    encoder: Encodes, connector: QFormerConnector.Config | LinearConnector.Config, lm: LanguageConfig, wording: Wording
) -> SplicedLM.Config:
    """A language model with no sense but one for pictures."""
    sense = Sense.Config(name=PICTURES, encoder=encoder, connector=connector)
    return SplicedLM.Config(lm=lm, senses=(sense,), wording=wording)


def of_untold(sense: str) -> dict[str, str]:
    """What a model whose Q-Former reads hints inherits from one whose does not: all but the words."""
    connector = f"senses.{sense}.connector"
    parts = ("norm", "project", "qformer.queries", "qformer.norm", "qformer.layers")
    same = ("lm", f"senses.{sense}.encoder", *(f"{connector}.{part}" for part in parts))
    return dict(zip(same, same, strict=True))
