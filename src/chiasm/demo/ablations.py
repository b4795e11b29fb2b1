"""Tables 2, 3 and 4 of the paper (arXiv:2201.12086): what happens when CapFilt is done otherwise."""

from collections.abc import Iterator, Sequence

from chiasm.demo.judge import Verdicts, judge
from chiasm.demo.results import Ablation
from chiasm.demo.steps import Place

NUMBERS = {"R@1, re-ranked": "itm_mean@1", "R@1 by cosine": "itc_mean@1", "captions exact": "caption_exact"}


def ablations(places: Sequence[Place], verdicts: Sequence[Verdicts]) -> Iterator[Ablation]:
    """Means over the seeds, on the first test set; `verdicts` are those of CapFilt done as in the paper."""
    nucleus = _measured(places, "train-both") | _written(verdicts)
    yield Ablation(
        title="How the captioner writes",
        about="Table 2 of the paper: nucleus sampling gave noisier and more surprising texts, and better models.",
        rows={
            "beam search": _measured(places, "train-beam") | _written(_judged(places, "capfilt-beam")),
            "nucleus sampling": nucleus,
        },
    )
    yield Ablation(
        title="What text encoder and decoder share",
        about="Table 3 of the paper: all but self-attention was best; without cleaning.",
        rows={
            "everything": _measured(places, "share-all"),
            "all but self-attention": _measured(places, "pretrain"),
            "nothing": _measured(places, "share-none"),
        },
    )
    yield Ablation(
        title="Whether captioner and filter share weights",
        about="Table 4 of the paper: a model that judges its own texts keeps more of its mistakes.",
        rows={
            "one model for both": _measured(places, "train-together-both")
            | _written(_judged(places, "capfilt-together")),
            "two models": nucleus,
        },
    )


def _measured(places: Sequence[Place], step: str) -> dict[str, float]:
    test = next(iter(places[0].read("data")["tests"]))
    records = [place.read(step)["metrics"] for place in places]
    return {
        title: sum(record[f"{test}/{number}"] for record in records) / len(records) for title, number in NUMBERS.items()
    }


def _judged(places: Sequence[Place], name: str) -> list[Verdicts]:
    return [judge(place.folder / name, place.seed) for place in places]


def _written(verdicts: Sequence[Verdicts]) -> dict[str, float]:
    """How many of the new texts are right, where that is known."""
    known = [one.captioner for one in verdicts if one.captioner]
    if not known:
        return {}
    return {
        "new texts that are right": sum(one.before for one in known) / len(known),
        "of those kept": sum(one.after for one in known) / len(known),
    }
