"""How good a model is on pairs it never saw: retrieval by both heads, and captions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from chiasm.data.pairs import Pair, Source
from chiasm.evaluation.captioning import Facts, captioning
from chiasm.evaluation.intervals import bootstrap
from chiasm.evaluation.retrieval import equal_texts, found, rerank, wanted
from chiasm.objectives.contrastive import cosines
from chiasm.predictor.verbs import Predictor

SHORT = 32  # candidates that the matching head orders, of a few hundred; BLIP's 128 are of 5000
BATCH = 250

Scores = dict[str, Float[Tensor, " _"]]  # what each test pair adds to a number's mean


def measure(
    model: Predictor, tests: Mapping[str, Source], parse: Callable[[str], Facts | None]
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Means over the test pairs, as `<test set>/<number>`, and the intervals of these means."""
    metrics: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    for name, source in tests.items():
        for number, items in _scores(model, [source[i] for i in range(len(source))], parse).items():
            metrics[f"{name}/{number}"] = items.mean().item()
            intervals[f"{name}/{number}"] = bootstrap(items)
    return metrics, intervals


def _scores(model: Predictor, pairs: Sequence[Pair], parse: Callable[[str], Facts | None]) -> Scores:
    images, texts = [pair.image for pair in pairs], [pair.text for pair in pairs]
    itc = cosines(model.embed(images=images, batch_size=BATCH), model.embed(texts=texts, batch_size=BATCH))
    right = equal_texts(texts)
    by_text, by_picture = _matched(model, images, texts, itc)
    said = [caption.text for caption in model.caption(images, batch_size=BATCH)]
    facts = [pair.tags.get("facts", {}) for pair in pairs]
    return {
        **{f"itc_{name}": items for name, items in found(itc, right).items()},
        **{f"itm_{name}": items for name, items in found(by_text, right, pictures=by_picture).items()},
        **captioning(said, texts, [parse(text) for text in said], facts),
    }


def _matched(
    model: Predictor, images: Sequence[Any], texts: Sequence[str], itc: Float[Tensor, "n n"]
) -> tuple[Float[Tensor, "n n"], Float[Tensor, "n n"]]:
    """The cosines of both directions, each short list re-ranked by the matching head."""
    k = min(SHORT, len(texts))
    logits = torch.zeros_like(itc)
    for i, (image, row) in enumerate(zip(images, wanted(itc, k), strict=True)):
        columns: list[int] = row.nonzero()[:, 0].tolist()
        matched = model.match(image, [texts[j] for j in columns], batch_size=BATCH)
        if matched.itm_logits is None:
            raise ValueError("a model without a matching head cannot be re-ranked by it")
        logits[i, columns] = matched.itm_logits[:, 1]
    return rerank(itc, logits, k), rerank(itc.T, logits.T, k)
