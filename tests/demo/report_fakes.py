"""Results that look like a real run, with no training behind them."""

import io
import math
from random import Random

from PIL import Image

from chiasm.data.noise import Noise
from chiasm.data.sources import world
from chiasm.data.sources.chance import chance
from chiasm.demo.results import FOUR, Ablation, CaptionerQuality, Example, FilterQuality, Judged, Pairs, Results, Row
from chiasm.evaluation.filtering import Kept

LEVEL = {"none": 0.12, "filter": 0.44, "captioner": 0.27, "both": 0.5}
PUBLISHED = {"none": 0.2, "filter": 0.3, "captioner": 0.4, "both": 0.5}
DATA = {"none": (8000, 0, 0.46), "filter": (4210, 0, 0.07), "captioner": (8000, 8000, 0.39), "both": (4210, 5480, 0.05)}
HARDER = {"test": 1.0, "known": 1.0, "combinations": 0.8, "unseen": 0.3}


def results(*, seeds: int = 1, tests: tuple[str, ...] = ("test",), level: dict[str, float] = LEVEL) -> Results:
    """What the demo would hand over: two runs of this give equal results."""
    rng = chance("fakes", seeds)
    return Results(
        command=f"chiasm demo --seeds {seeds}",
        settings={
            "pictures": "made",
            "world": "single",
            "noise": 0.5,
            "minutes": 15,
            "seeds": seeds,
            "ablations": True,
        },
        rows=tuple(row(name, seed, tests, level[name], rng) for seed in range(seeds) for name in FOUR),
        filters=tuple(quality(seed) for seed in range(seeds)),
        captioners=tuple(CaptionerQuality(seed=seed, before=0.71 + seed / 50, after=0.93) for seed in range(seeds)),
        examples=tuple(examples()),
        curves={f"train-{name}": curve(level[name], rng) for name in FOUR},
        ablations=(
            Ablation(
                title="Nucleus or beam",
                about="The paper's table 2: the likeliest captions are safe and say nothing new.",
                rows={"beam": {"noise": 0.19, "R@1": 0.42}, "nucleus": {"noise": 0.25, "R@1": 0.5}},
            ),
        ),
        steps={"pretrain": 1800, "captioner": 300, "filter": 300},
        seconds={"pretrain": 203.0, "captioner": 41.0, "filter": 38.5, "capfilt": 63.1},
    )


def row(name: str, seed: int, tests: tuple[str, ...], level: float, rng: Random) -> Row:
    web, synthetic, noise = DATA[name]
    metrics: dict[str, float] = {}
    for test in tests:
        base = min(0.95, level * HARDER[test] + rng.uniform(-0.01, 0.01))
        for head, plus in (("itc", 0.0), ("itm", 0.06)):
            for k in (1, 5, 10):
                text, image = (1 - (1 - base - plus) ** math.sqrt(k) - drop for drop in (0.0, 0.02))
                metrics |= {f"{test}/{head}_tr@{k}": text, f"{test}/{head}_ir@{k}": image}
                metrics[f"{test}/{head}_mean@{k}"] = (text + image) / 2
        metrics |= {
            f"{test}/caption_{what}": base ** (1 / n) for n, what in ((1, "exact"), (3, "colour"), (2, "place"))
        }
    intervals = {number: (value - 0.04, value + 0.04) for number, value in metrics.items()}
    pairs = Pairs(web=web, synthetic=synthetic, human=800)
    return Row(name=name, seed=seed, pairs=pairs, metrics=metrics, intervals=intervals, noise_left=noise)


def quality(seed: int) -> FilterQuality:
    return FilterQuality(
        seed=seed,
        auc=0.957 + seed / 200,
        roc=((0.0, 0.0), (0.01, 0.55 + seed / 100), (0.05, 0.82), (0.15, 0.95), (0.4, 0.99), (1.0, 1.0)),
        web=Judged(precision=0.94, recall=0.91 + seed / 100),
        synthetic=Judged(precision=0.93, recall=0.88),
        kinds={
            "": Kept(3980, 3630), "swap": Kept(1620, 60), "attribute": Kept(1210, 480), "file": Kept(400, 2),
            "advert": Kept(395, 0), "topic": Kept(395, 1),
        },
        right=(120, 60, 50, 40, 40, 40, 60, 120, 450, 3000),
        wrong=(2900, 300, 120, 80, 60, 60, 60, 70, 120, 250),
    )  # fmt: skip


def examples() -> list[Example]:
    pairs = world.WorldPairs(world.single(), seed=3, count=12, split="train", noise=Noise(rate=0.5))
    return [example(i, pairs[i]) for i in range(len(pairs))]


def example(i: int, pair: world.Pair) -> Example:
    file = io.BytesIO()
    Image.fromarray(pair.image).resize((96, 96), Image.Resampling.NEAREST).save(file, "png")
    wrong = bool(pair.tags["noise"])
    return Example(
        picture=file.getvalue(),
        web=pair.text,
        noise=pair.tags["noise"],
        web_probability=0.93 if i == 5 else 0.08 if wrong else 0.97,
        web_kept=not wrong or i == 5,
        synthetic=pair.tags["truth"] if i % 4 else "a small red heart at the top",
        synthetic_right=bool(i % 4),
        synthetic_probability=0.88 if i % 4 else 0.11,
        synthetic_kept=bool(i % 4),
    )


def curve(level: float, rng: Random) -> dict[str, tuple[tuple[float, float], ...]]:
    return {
        loss: tuple((float(i), high * math.exp(-i * level / 900) + rng.random() * 0.1) for i in range(0, 1800, 15))
        for loss, high in (("contrast", 4.0), ("match", 0.64), ("language", 5.0))
    }
