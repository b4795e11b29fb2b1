"""A model and everything it needs to be asked: pictures and strings in, answers out."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from chiasm.core.ability import Answers, EmbedsImages, EmbedsText, Instructs, Judges, Matches, Picture, Sees, Speaks
from chiasm.core.errors import AbilityError, check_whole
from chiasm.core.results import Answer, Caption, Match, Ranking
from chiasm.core.system import Config
from chiasm.data.clips import together
from chiasm.data.images import ImageProcessor, Resize
from chiasm.data.text import Tokenizer
from chiasm.decoding.generate import generate
from chiasm.decoding.strategies import Beam, Greedy, Limits, Nucleus, check_returns, chosen
from chiasm.nn.linear import restore, spare
from chiasm.objectives.contrastive import cosines, cosines_of_pairs
from chiasm.predictor import inputs
from chiasm.predictor.abilities import Compares, abilities
from chiasm.predictor.answering import Among, Free, answers
from chiasm.predictor.catalogue import able
from chiasm.predictor.device import device_of, dtype_of
from chiasm.predictor.parts import longest_text
from chiasm.predictor.reader import Reader, ranked, slices, whole
from chiasm.predictor.search import pictures_for, texts_for
from chiasm.predictor.states import states
from chiasm.predictor.telling import begun, conversation, heard
from chiasm.predictor.words import usual_hints, usual_tokenizer
from chiasm.weights.folder import ModelCard
from chiasm.weights.state import moved

FEW = 6  # presets that a sentence may name


class Predictor:
    """Answers for one picture or text, or for lists of them; a batch never changes a row's answer.

    What a model lacks the tensors for is an `AbilityError`; a picture that cannot be read is a
    `MediaError` with its place in the list. Tensors in answers are float32 and lie on the CPU.
    """

    def __init__(
        self,
        module: nn.Module,
        card: ModelCard,
        tokenizer: Tokenizer | Callable[[], Tokenizer] | None,
        *,
        hints: Tokenizer | Callable[[], Tokenizer] | None = None,
        method: Resize = Resize.FAST,
    ) -> None:
        self.module = module.eval()
        self._spared = spare(module)
        self.card = card
        self.processor = ImageProcessor(card.pixels, method)
        words = partial(usual_tokenizer, card) if tokenizer is None else tokenizer
        told = partial(usual_hints, card, lambda: self.tokenizer) if hints is None else hints
        self._reader = Reader(module, self.processor, words, hints=told, longest=longest_text(card.config))

    def __repr__(self) -> str:
        verbs = ", ".join(self.abilities) or "nothing that a verb asks for"
        return f"<chiasm.Predictor {self.system}/{self.preset} in {self.dtype} on {self.device}: {verbs}>"

    @property
    def system(self) -> str:
        return self.card.system

    @property
    def preset(self) -> str:
        return self.card.preset

    @property
    def config(self) -> Config:
        return self.card.config

    @property
    def abilities(self) -> tuple[str, ...]:
        """The verbs that this model has the tensors for."""
        return abilities(self.module)

    @property
    def tokenizer(self) -> Tokenizer:
        return self._reader.tokenizer

    @property
    def hints(self) -> Tokenizer | None:
        """The Q-Formers' tokenizer, where they have their own and it is at hand."""
        hints = self._reader.hints
        return hints if isinstance(hints, Tokenizer) and hints is not self._reader.words else None

    @property
    def truncate(self) -> bool:
        """Whether texts longer than the model are cut off; they are an error if not."""
        return self._reader.truncate

    @truncate.setter
    def truncate(self, wanted: bool) -> None:
        self._reader.truncate = wanted

    @property
    def has_tokenizer(self) -> bool:
        """Whether texts can be read and written as it is; pictures always can be seen."""
        return isinstance(self._reader.words, Tokenizer)

    @property
    def device(self) -> torch.device:
        return self._reader.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights; a processor without instructions for halves keeps what is no matrix in float32."""
        weight = self._reader.weight
        return self._spared.get(weight, weight.dtype)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | str | None = None) -> "Predictor":
        """Move the module, in place."""
        place, kind = None if device is None else device_of(device), dtype_of(dtype)
        with self.plain() as module:
            moved(module, device=place, dtype=kind)
        return self

    @contextmanager
    def plain(self) -> Generator[nn.Module]:
        """The module as files hold it, whatever this processor likes better."""
        restore(self._spared)
        try:
            yield self.module
        finally:
            self._spared = spare(self.module)

    def caption(
        self,
        images: Picture,
        prompt: str | Sequence[str] | None = None,
        *,
        strategy: str = "greedy",
        num_beams: int = 3,
        top_p: float = 0.9,
        repetition_penalty: float = 1.0,
        length_penalty: float = 1.0,
        max_new_tokens: int = 20,
        min_new_tokens: int = 0,
        num_return_sequences: int = 1,
        seed: int | Sequence[int] | None = None,
        batch_size: int = 32,
    ) -> Any:
        """A `Caption` for each picture; a list of them for each where `num_return_sequences` is more than one.

        `strategy` is greedy, beam or nucleus; lengths, beams and penalties mean what they mean in
        transformers. A prompt opens every caption, or there is one a picture; none is added. One
        seed fixes every row by its number; several are one a row.
        """
        module = self.module
        if not isinstance(module, (Speaks, Instructs)):
            raise self.unable("caption")
        how = chosen(strategy, Greedy(), Beam(num_beams, length_penalty), Nucleus(top_p))
        check_returns(how, num_return_sequences)
        limits = Limits(max_new_tokens, min_new_tokens, repetition_penalty)
        given = inputs.pictures(images)
        prompts, seeds = inputs.prompts(prompt, len(given)), inputs.seeds(seed, len(given))
        said: list[list[Caption]] = []
        speak, frames = partial(generate, strategy=how, limits=limits), together(given.items)
        with torch.inference_mode():
            for rows, seen in self._reader.see(given.items, batch_size) if given.items else ():
                ready = begun(self._reader, module, seen, prompts[rows], frames=frames, new=max_new_tokens)
                own = None if seeds is None else seeds[rows]
                spoken = speak(ready.model, ready.states, ready.opening, returns=num_return_sequences, seeds=own)
                said += [[Caption(self.tokenizer.decode(one.ids), one.logprob) for one in row] for row in spoken]
        return given.answer(said) if num_return_sequences > 1 else given.answer([row[0] for row in said])

    def answer(
        self,
        images: Picture,
        questions: str | Iterable[str],
        candidates: Iterable[str] | None = None,
        *,
        k: int = 128,
        strategy: str = "greedy",
        num_beams: int = 3,
        length_penalty: float = 1.0,
        max_new_tokens: int = 10,
        batch_size: int = 32,
    ) -> Any:
        """An `Answer` for each picture and question, row by row, or for one of either side with all of the other.

        With candidates, the best of the `k` whose first token is the likeliest (or more: equals are never
        parted), by the probability of all of it; without, whatever the model says, greedy or by beam. A
        model that chooses among labels of its own (true and false, entailment) has no other candidates; one
        that compares pictures takes each row as a `Both`.
        """
        module = self.module
        if not isinstance(module, (Answers, Judges, Instructs)):
            raise self.unable("answer")
        free = Free(chosen(strategy, Greedy(), Beam(num_beams, length_penalty)), Limits(max_new_tokens))
        pictures, words = inputs.pictures(images), inputs.texts(questions, what="questions")
        how = free if candidates is None else Among.of(candidates, k)
        with torch.inference_mode():
            found = answers(self._reader, module, pictures.items, words.items, how, batch=batch_size)
        return inputs.Given(found, alone=pictures.alone and words.alone).answer(found)

    def chat(
        self,
        messages: Any,
        *,
        strategy: str = "greedy",
        num_beams: int = 3,
        top_p: float = 0.9,
        repetition_penalty: float = 1.0,
        length_penalty: float = 1.0,
        max_new_tokens: int = 64,
        seed: int | None = None,
        hint: str | None = None,
    ) -> Answer:
        """What the model says next in a conversation: messages as in transformers, the user's last.

        `{"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": "what is this?"}]}`;
        a content may be a string too, and a type is any of the model's senses: image, video, audio, points. A role
        system may come first, in words alone, where a family marks turns (X-InstructBLIP); others have no place for it.
        `hint` is what Q-Formers are told to look for, where that is not what was asked last: with several things
        in one prompt, X-InstructBLIP asks them for a description of each.
        """
        module = self.module
        if not isinstance(module, Instructs):
            raise self.unable("chat")
        how = chosen(strategy, Greedy(), Beam(num_beams, length_penalty), Nucleus(top_p))
        limits = Limits(max_new_tokens, 0, repetition_penalty)
        pieces, shown, asked = conversation(messages, module)
        with torch.inference_mode():
            perceived = {sense: self._reader.perceive(module, sense, media) for sense, media in shown.items()}
            hints = [asked if hint is None else hint]
            ready = heard(self._reader, module, perceived, [pieces], hints)
            ((one,),) = generate(ready.model, ready.states, ready.opening, how, limits, seeds=inputs.seeds(seed, 1))
        return Answer(self.tokenizer.decode(one.ids), one.logprob)

    def match(self, images: Picture, texts: str | Iterable[str], *, batch_size: int = 32) -> Match:
        """How well pictures and texts fit: row by row, or one of either side with all of the other.

        A picture is read once, however many texts it is held against.
        """
        module = self.module
        if not isinstance(module, (Compares, Matches)):
            raise self.unable("match")
        pictures, words = inputs.pictures(images), inputs.texts(texts)
        frames = together(pictures.items)
        pairs = inputs.pairs(len(pictures), len(words))
        beside = words.items * (pairs if len(words) == 1 else 1)
        home = self._reader.weight
        cosine, logits = [home.new_empty(0)], [home.new_empty(0, 2)]
        with torch.inference_mode():
            for rows, seen in self._reader.see(pictures.items, batch_size) if pairs else ():
                own = beside if len(pictures) == 1 else beside[rows]
                judge = module.pairing(seen) if isinstance(module, Matches) else None
                for part in slices(len(own), batch_size):
                    text = self._reader.read(own[part])
                    index = torch.arange(len(text), device=home.device) % len(seen)
                    if isinstance(module, Compares):
                        vectors = module.embed_seen(whole(seen, frames))[index]
                        cosine.append(cosines_of_pairs(vectors, module.embed_text(text)))
                    if judge is not None:
                        logits.append(judge(text, index))
        itc = _own(torch.cat(cosine)) if isinstance(module, Compares) else None
        itm = _own(torch.cat(logits)) if isinstance(module, Matches) else None
        return Match(itc, itm, None if itm is None else itm.softmax(dim=1)[:, 1])

    def embed(
        self, *, images: Picture | None = None, texts: str | Iterable[str] | None = None, batch_size: int = 32
    ) -> Float[Tensor, "n *q d"]:
        """Unit vectors of pictures or of texts, one a row even for a single one; compare them by dot product.

        BLIP-2 has several for a picture, `[n, queries, d]`, of which the nearest to a text counts.
        """
        module = self.module
        if (images is None) == (texts is None):
            raise ValueError("embed takes images or texts: one of the two, and not both")
        with torch.inference_mode():
            if texts is None and isinstance(module, EmbedsImages):
                vectors = self._reader.embed_images(module, inputs.pictures(images).items, batch_size)
            elif texts is not None and isinstance(module, EmbedsText):
                vectors = self._reader.embed_texts(module, inputs.texts(texts).items, batch_size)
            else:
                raise self.unable("embed")
        return _own(vectors)

    def classify(
        self,
        images: Picture,
        labels: str | Iterable[str],
        templates: str | Iterable[str] | None = None,
        *,
        batch_size: int = 32,
    ) -> Any:
        """A `Ranking` of all labels for each picture; scores are probabilities.

        The softmax is over cosines divided by the model's temperature. Templates, such as "a photo
        of a {}", make texts of a label whose unit vectors are averaged; without, the label is the text.
        "imagenet" stands for CLIP's 80 templates.
        """
        return self.classifier(labels, templates, batch_size=batch_size)(images)

    def classifier(
        self, labels: str | Iterable[str], templates: str | Iterable[str] | None = None, *, batch_size: int = 32
    ) -> Callable[[Picture], Any]:
        """`classify` for pictures that come a few at a time: the texts are embedded once."""
        module, names = self.module, inputs.texts(labels, what="labels").items
        if not isinstance(module, Compares):
            raise self.unable("classify")
        if not names:
            raise ValueError("there are no labels to choose from")
        forms = inputs.filled("{}" if templates is None else templates, names)
        with torch.inference_mode():
            words = self._reader.embed_texts(module, forms, batch_size)
            classes = F.normalize(words.unflatten(0, (-1, len(names))).mean(dim=0), dim=-1)

        def classify(images: Picture) -> Any:
            given = inputs.pictures(images)
            with torch.inference_mode():
                cosine = cosines(self._reader.embed_images(module, given.items, batch_size), classes)
                scores = module.sharpen(cosine).float().softmax(dim=1)
            return given.answer([ranked(names, row) for row in scores])

        return classify

    def rerank(self, query: Picture, candidates: Iterable[Any], k: int = 128, *, batch_size: int = 32) -> Ranking[Any]:
        """The best `k` candidates by cosine, ordered by match logit (ALBEF), or match logit plus cosine (BLIP).

        A model without a matching head, such as CLIP, leaves them in the order of their cosines.
        A `str` is a text that looks for pictures. A picture that looks for texts is anything else: a
        `Path`, an image, an array.
        """
        module = self.module
        if not isinstance(module, Compares):
            raise self.unable("rerank")
        check_whole("k", k, least=1)
        items = (
            inputs.pictures(candidates).items
            if isinstance(query, str)
            else inputs.texts(candidates, what="candidates").items
        )
        if not items:
            return Ranking((), (), ())
        search = pictures_for if isinstance(query, str) else texts_for
        with torch.inference_mode():
            found = search(query, items, module, self._reader, k=k, batch=batch_size)
        return ranked(items, found.scores, found.places.tolist())

    def features(
        self, *, images: Picture | None = None, texts: str | Iterable[str] | None = None, batch_size: int = 32
    ) -> Mapping[str, Tensor]:
        """States before any head: `images` of every patch, `texts` of every word, `mask` True on words.

        With both sides given they are pairs as in `match`, and `fusion` holds the states of what has met: every
        pair's words after they have read the picture, or where a Q-Former reads (BLIP-2's aligner, InstructBLIP)
        its queries beside the text, `[n, queries, d]`. `queries`, of the same shape, are those that a Q-Former
        has for pictures alone (BLIP-2); InstructBLIP's only looks beside an instruction, which may be "".
        """
        if images is None and texts is None:
            raise ValueError("features takes images, texts, or both")
        if not isinstance(self.module, Sees):
            raise self.unable("features", "find features")
        seen = None if images is None else inputs.pictures(images).items
        words = None if texts is None else inputs.texts(texts).items
        with torch.inference_mode():
            found = states(self._reader, seen, words, batch=batch_size)
        if found is None:
            raise self.unable("embed", "find features of texts by themselves")
        return {name: _own(tensor) for name, tensor in found.items()}

    def unable(self, verb: str, deed: str = "") -> AbilityError:
        """What to raise where a verb is not among the abilities: it names the systems that have it."""
        others = {system: presets for system, presets in able(verb).items() if presets}
        own = others.pop(self.system, ())
        named = [f"{self.system}/{preset}" for preset in own] if len(own) <= FEW else [self.system]
        return AbilityError(
            f"{self.system}/{self.preset} has no weights to {deed or verb} with; these have: "
            f"{', '.join([*named, *others])} (chiasm systems tells which of their presets)"
        )


def _own(values: Tensor) -> Tensor:
    """A plain tensor that the caller may do anything with, gradients included."""
    return (values.float() if values.is_floating_point() else values).cpu().clone()
