"""Commands that ask a model about pictures: caption, answer, match, classify, embed."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import pyarrow as pa

from chiasm.cli import options
from chiasm.cli.asking import Verb, ask_all, note
from chiasm.cli.errors import UsageError
from chiasm.cli.pictures import Seen, find
from chiasm.cli.rows import Row
from chiasm.data.clips import Both
from chiasm.predictor.inputs import seed_of
from chiasm.predictor.open import load
from chiasm.predictor.verbs import Predictor


def caption(asked: options.Caption) -> None:
    """A row a picture, or as many as were asked for."""
    pictures, model = find(asked.pictures), _model("caption", asked.model, asked.computed)

    def ask(seen: Sequence[Seen]) -> list[list[Row]]:
        said = model.caption(
            [one.square for one in seen],
            asked.prompt,
            strategy=asked.strategy,
            num_beams=asked.num_beams,
            top_p=asked.top_p,
            repetition_penalty=asked.repetition_penalty,
            length_penalty=asked.length_penalty,
            max_new_tokens=asked.max_new_tokens,
            min_new_tokens=asked.min_new_tokens,
            num_return_sequences=asked.num_return_sequences,
            seed=[seed_of(asked.seed, one.index) for one in seen],
        )
        several = said if asked.num_return_sequences > 1 else [[one] for one in said]
        return [[{"caption": one.text, "logprob": round(one.logprob, 4)} for one in each] for each in several]

    verb = Verb(ask, {"caption": pa.string(), "logprob": pa.float64()}, plain=lambda row: row["caption"])
    ask_all(pictures, model, verb, asked)


def answer(asked: options.Answer) -> None:
    """One row for each picture and question."""
    if not asked.questions:
        raise UsageError("no question was given; chiasm answer MODEL PICTURES QUESTION ...")
    pictures, model = find([asked.pictures]), _model("answer", asked.model, asked.computed)

    def answers(one: Seen) -> list[Row]:
        said = model.answer(
            [one.square if asked.second is None else Both(one.square, asked.second)],
            asked.questions,
            asked.candidates or None,
            strategy=asked.strategy,
            num_beams=asked.num_beams,
            max_new_tokens=asked.max_new_tokens,
            batch_size=asked.computed.batch_size,
        )
        columns = zip(asked.questions, said, strict=True)
        return [{"question": question, "answer": each.text, "logprob": each.logprob} for question, each in columns]

    columns = {"question": pa.string(), "answer": pa.string(), "logprob": pa.float64()}
    verb = Verb(lambda seen: [answers(one) for one in seen], columns, plain=lambda row: row["answer"])
    ask_all(pictures, model, verb, asked)


def match(asked: options.Match) -> None:
    """One row for each picture and text."""
    if not asked.texts:
        raise UsageError("no text to match with was given; chiasm match MODEL PICTURES TEXT ...")
    pictures, model = find([asked.pictures]), _model("match", asked.model, asked.computed)

    def fits(one: Seen) -> list[Row]:
        fit = model.match(one.square, asked.texts, batch_size=asked.computed.batch_size)
        cosine = [None] * len(asked.texts) if fit.itc_cosine is None else fit.itc_cosine.tolist()
        probability = [None] * len(asked.texts) if fit.itm_prob is None else fit.itm_prob.tolist()
        columns = zip(asked.texts, probability, cosine, strict=True)
        return [{"text": text, "itm_prob": itm, "itc_cosine": itc} for text, itm, itc in columns]

    def plain(row: Row) -> str:
        told = (f"{name} {row[name]:.4f}" for name in ("itm_prob", "itc_cosine") if row[name] is not None)
        return "  ".join([*told, row["text"]])

    columns = {"text": pa.string(), "itm_prob": pa.float32(), "itc_cosine": pa.float32()}
    ask_all(pictures, model, Verb(lambda seen: [fits(one) for one in seen], columns, plain), asked)


def classify(asked: options.Classify) -> None:
    """One row for each picture and label, best first."""
    if not asked.labels:
        raise UsageError("no label to choose from was given; chiasm classify MODEL PICTURES LABEL ...")
    if asked.top is not None and asked.top < 1:
        raise UsageError(f"--top is {asked.top}, and at least 1 label must be shown")
    pictures, model = find([asked.pictures]), _model("classify", asked.model, asked.computed)
    classify = model.classifier(asked.labels, asked.template, batch_size=asked.computed.batch_size)

    def ask(seen: Sequence[Seen]) -> list[list[Row]]:
        rankings = classify([one.square for one in seen])
        return [
            [
                {"label": label, "probability": probability}
                for label, probability in zip(ranking.items[: asked.top], ranking.scores[: asked.top], strict=True)
            ]
            for ranking in rankings
        ]

    columns = {"label": pa.string(), "probability": pa.float32()}
    verb = Verb(ask, columns, plain=lambda row: f"{row['probability']:.4f}  {row['label']}")
    ask_all(pictures, model, verb, asked)


def embed(asked: options.Embed) -> None:
    """One row for each picture or text."""
    if bool(asked.pictures) == bool(asked.texts):
        raise UsageError("give pictures or --texts: one of the two; chiasm embed MODEL PICTURES ...")
    pictures, model = find(asked.pictures) if asked.pictures else None, _model("embed", asked.model, asked.computed)
    if pictures is None:
        vectors = model.embed(texts=asked.texts, batch_size=asked.computed.batch_size)
        table = pa.schema([("text", pa.string()), ("vector", _cell(vectors))])
        rows = [{"text": text, "vector": one} for text, one in zip(asked.texts, vectors.tolist(), strict=True)]
        note(rows, table, model, asked)
        return
    kind = _cell(model.embed(images=[]))

    def ask(seen: Sequence[Seen]) -> list[list[Row]]:
        return [[{"vector": one}] for one in model.embed(images=[each.square for each in seen]).tolist()]

    verb = Verb(ask, {"vector": kind}, plain=lambda row: " ".join(map(str, _numbers(row["vector"]))))
    ask_all(pictures, model, verb, asked)


def _cell(vectors: Any) -> Any:
    """How a table holds a row of such a tensor: a list of numbers, or one for each query (BLIP-2)."""
    return reduce(pa.list_, reversed(vectors.shape[1:]), pa.float32())


def _numbers(vector: Sequence[Any]) -> list[float]:
    """Of one vector, or of several, one after the other."""
    return [number for one in vector for number in (_numbers(one) if isinstance(one, list) else [one])]


def _model(verb: str, source: str, computed: options.Machine) -> Predictor:
    """The model, if it has the verb: what cannot be is told before any picture is opened."""
    model = load(
        source,
        device=computed.device,
        dtype=computed.dtype,
        preprocess=computed.preprocess,
        tokenizer=computed.tokenizer,
        revision=computed.revision,
        offline=computed.offline,
        itm_token=computed.itm_token,
        base=computed.base,
    )
    if verb not in model.abilities:
        raise model.unable(verb)
    model.truncate = computed.truncate
    return model
