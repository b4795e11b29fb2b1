"""What captioner and filter did to the web's texts, held against the truth where it is known."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from chiasm.bootstrap.sidecar import Row, Status
from chiasm.bootstrap.store import Store
from chiasm.data.pairs import Pair, Source
from chiasm.data.sources import open_source
from chiasm.data.sources.chance import chance
from chiasm.data.text import clean
from chiasm.data.writers import encoded
from chiasm.demo.results import CaptionerQuality, Example, FilterQuality, Judged, Pairs
from chiasm.evaluation.filtering import THRESHOLD, auc, by_kind, histogram, precision, roc, sensitivity

SHOWN = 48  # examples in the report


@dataclass(frozen=True)
class Verdicts:
    """What is to be said of one run of CapFilt; the first two are None where the truth is not known."""

    filter: FilterQuality | None
    captioner: CaptionerQuality | None
    examples: tuple[Example, ...]


def judge(folder: Path, seed: int) -> Verdicts:
    """Read a finished run of CapFilt."""
    store = Store(folder)
    rows = [
        (shard.start + i, row)
        for shard, done in store.finished()
        for i, row in enumerate(store.rows(shard, done))
        if row.status is Status.OK
    ]
    tags = [json.loads(row.tags) for _, row in rows]
    examples = _examples(rows, tags, store.manifest.open(open_source), seed)
    if not rows or not all("truth" in known for known in tags):
        return Verdicts(None, None, examples)
    web = torch.tensor([_number(row, row.web_itm) for _, row in rows])
    synthetic = torch.tensor(
        [_number(row, row.synthetic[0].itm) for _, row in rows]
    )  # one caption a picture is asked for
    fits = torch.tensor([not known["noise"] for known in tags])
    right = torch.tensor([_right(row.synthetic[0].text, known) for (_, row), known in zip(rows, tags, strict=True)])
    quality = FilterQuality(
        seed=seed,
        auc=auc(web, fits),
        roc=roc(web, fits),
        web=_judged(web, fits),
        synthetic=_judged(synthetic, right),
        kinds=by_kind(web, [known["noise"] for known in tags]),
        right=histogram(web[fits]),
        wrong=histogram(web[~fits]),
    )
    kept = right[synthetic >= THRESHOLD]
    after = kept.double().mean().item() if len(kept) else 0.0
    return Verdicts(quality, CaptionerQuality(seed=seed, before=right.double().mean().item(), after=after), examples)


def counted(source: Source) -> tuple[Pairs, float | None]:
    """How many texts a training set has of each origin, and the share of them that is wrong."""
    counts, wrong, known = {"web": 0, "synthetic": 0, "human": 0}, 0, True
    for i in range(len(source)):
        pair = source[i]
        origin = _origin(pair)
        counts[origin] += 1
        known = known and "truth" in pair.tags
        if known and origin != "human":
            wrong += not _right(pair.text, pair.tags)
    return Pairs(**counts), wrong / len(source) if known else None


def _origin(pair: Pair) -> str:
    if pair.human:
        return "human"
    return "synthetic" if pair.tags.get("origin") == "synthetic" else "web"


def _right(text: str, tags: Mapping[str, Any]) -> bool:
    """A web text that was left alone may be worded in its own way; any other must be the truth."""
    return tags.get("noise") == "" or clean(text) == clean(tags["truth"])


def _number(row: Row, value: float | None) -> float:
    if value is None:
        raise ValueError(f"pair {row.id} was not judged: the filter has no matching head")
    return value


def _judged(probability: Float[Tensor, " n"], right: Bool[Tensor, " n"]) -> Judged:
    return Judged(precision=precision(probability, right), recall=sensitivity(probability, right))


def _examples(
    rows: Sequence[tuple[int, Row]], tags: Sequence[Mapping[str, Any]], source: Source, seed: int
) -> tuple[Example, ...]:
    """Some rows by lot, whatever became of them."""
    chosen = chance("examples", seed).sample(range(len(rows)), min(SHOWN, len(rows)))
    return tuple(_example(*rows[place], tags[place], source) for place in sorted(chosen))


def _example(index: int, row: Row, tags: Mapping[str, Any], source: Source) -> Example:
    said = row.synthetic[0]
    web, synthetic = _number(row, row.web_itm), _number(row, said.itm)
    return Example(
        picture=encoded(source[index].image),
        web=row.web,
        web_probability=web,
        web_kept=web >= THRESHOLD,
        synthetic=said.text,
        synthetic_probability=synthetic,
        synthetic_kept=synthetic >= THRESHOLD,
        noise=tags.get("noise"),
        synthetic_right=clean(said.text) == clean(tags["truth"]) if "truth" in tags else None,
    )
