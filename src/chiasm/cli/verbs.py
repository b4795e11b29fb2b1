"""Commands that ask a model about pictures: caption, answer, match, classify, embed."""

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch

from chiasm.cli import options
from chiasm.cli.errors import UsageError
from chiasm.cli.pictures import Picture, Readable, find
from chiasm.cli.progress import progress, silence
from chiasm.cli.rows import Plain, Row, rows
from chiasm.data.clips import Both
from chiasm.predictor.inputs import seed_of
from chiasm.predictor.open import load
from chiasm.predictor.verbs import Predictor

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
Ask = Callable[[list[Picture]], Sequence[Sequence[Row]]]  # one or more rows for each picture


def caption(asked: options.Caption) -> None:
    """One row a picture."""
    paths, model = find(asked.pictures), _model(asked.model, asked.computed)

    def ask(pictures: list[Picture]) -> list[list[Row]]:
        said = model.caption(
            [picture.pixels for picture in pictures],
            asked.prompt,
            strategy=asked.strategy,
            num_beams=asked.num_beams,
            top_p=asked.top_p,
            repetition_penalty=asked.repetition_penalty,
            length_penalty=asked.length_penalty,
            max_new_tokens=asked.max_new_tokens,
            min_new_tokens=asked.min_new_tokens,
            seed=[seed_of(asked.seed, picture.index) for picture in pictures],
        )
        return [[{"caption": one.text, "logprob": round(one.logprob, 4)}] for one in said]

    _answer(paths, ask, asked.written, asked.computed, plain=lambda row: row["caption"])


def answer(asked: options.Answer) -> None:
    """One row for each picture and question."""
    if not asked.questions:
        raise UsageError("no question was given; chiasm answer MODEL PICTURES QUESTION ...")
    paths, model = find([asked.pictures]), _model(asked.model, asked.computed)

    def answers(picture: Picture) -> list[Row]:
        seen = picture.pixels if asked.second is None else Both(picture.pixels, asked.second)
        said = model.answer(
            [seen],
            asked.questions,
            asked.candidates or None,
            strategy=asked.strategy,
            num_beams=asked.num_beams,
            max_new_tokens=asked.max_new_tokens,
            batch_size=asked.computed.batch_size,
        )
        columns = zip(asked.questions, said, strict=True)
        return [{"question": question, "answer": one.text, "logprob": one.logprob} for question, one in columns]

    _answer(paths, lambda batch: [answers(one) for one in batch], asked.written, asked.computed, plain=_said)


def _said(row: Row) -> str:
    return str(row["answer"])


def match(asked: options.Match) -> None:
    """One row for each picture and text."""
    if not asked.texts:
        raise UsageError("no text to match with was given; chiasm match MODEL PICTURES TEXT ...")
    paths, model = find([asked.pictures]), _model(asked.model, asked.computed)

    def fits(picture: Picture) -> list[Row]:
        fit = model.match(picture.pixels, asked.texts, batch_size=asked.computed.batch_size)
        cosine = [None] * len(asked.texts) if fit.itc_cosine is None else fit.itc_cosine.tolist()
        probability = [None] * len(asked.texts) if fit.itm_prob is None else fit.itm_prob.tolist()
        columns = zip(asked.texts, probability, cosine, strict=True)
        return [{"text": text, "itm_prob": itm, "itc_cosine": itc} for text, itm, itc in columns]

    def plain(row: Row) -> str:
        told = (f"{name} {row[name]:.4f}" for name in ("itm_prob", "itc_cosine") if row[name] is not None)
        return "  ".join([*told, row["text"]])

    _answer(paths, lambda batch: [fits(one) for one in batch], asked.written, asked.computed, plain=plain)


def classify(asked: options.Classify) -> None:
    """One row for each picture and label, best first."""
    if not asked.labels:
        raise UsageError("no label to choose from was given; chiasm classify MODEL PICTURES LABEL ...")
    if asked.top is not None and asked.top < 1:
        raise UsageError(f"--top is {asked.top}, and at least 1 label must be shown")
    paths, model = find([asked.pictures]), _model(asked.model, asked.computed)
    classify = model.classifier(asked.labels, asked.template, batch_size=asked.computed.batch_size)

    def ask(pictures: list[Picture]) -> list[list[Row]]:
        rankings = classify([picture.pixels for picture in pictures])
        return [
            [
                {"label": label, "probability": probability}
                for label, probability in zip(ranking.items[: asked.top], ranking.scores[: asked.top], strict=True)
            ]
            for ranking in rankings
        ]

    _answer(paths, ask, asked.written, asked.computed, plain=lambda row: f"{row['probability']:.4f}  {row['label']}")


def embed(asked: options.Embed) -> None:
    """One row for each picture or text."""
    if bool(asked.pictures) == bool(asked.texts):
        raise UsageError("give pictures or --texts: one of the two; chiasm embed MODEL PICTURES ...")
    paths, model = find(asked.pictures) if asked.pictures else [], _model(asked.model, asked.computed)
    if asked.texts:
        vectors = model.embed(texts=asked.texts, batch_size=asked.computed.batch_size).tolist()
        with rows(asked.written, None) as write:
            for text, vector in zip(asked.texts, vectors, strict=True):
                write({"text": text, "vector": vector})
        return

    def ask(pictures: list[Picture]) -> list[list[Row]]:
        return [[{"vector": one}] for one in model.embed(images=[picture.pixels for picture in pictures]).tolist()]

    _answer(paths, ask, asked.written, asked.computed, plain=lambda row: " ".join(map(str, row["vector"])))


def _model(source: str, computed: options.Machine) -> Predictor:
    dtype = None if computed.dtype is None else DTYPES[computed.dtype]
    return load(source, device=computed.device, dtype=dtype)


def _answer(paths: list[Path], ask: Ask, written: options.Output, computed: options.Machine, *, plain: Plain) -> None:
    """Ask about the pictures batch by batch, write down what comes back, and say what was left out."""
    readable = Readable(paths, batch=computed.batch_size)
    alone = len(paths) == 1
    shows_itself = alone or (written.out is None and sys.stdout.isatty())
    with rows(written, plain if alone else None) as write, nullcontext(silence) if shows_itself else progress() as tell:
        for batch in readable:
            for picture, answers in zip(batch, ask(batch), strict=True):
                for answer in answers:
                    write({"picture": str(picture.path)} | dict(answer))
            tell("pictures", batch[-1].index + 1, len(paths), "")
    if not alone:
        print(f"{len(paths)} pictures, {readable.broken} skipped", file=sys.stderr)
