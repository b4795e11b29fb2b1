"""The experiment as steps that depend on each other; each leaves its record and is done once.

    data ─ pretrain ─┬─ captioner ─┐
                     └─ filter ────┴─ capfilt ─┬─ train-filter
                                               ├─ train-captioner
                                               └─ train-both

The pre-trained model is itself the row "none" of the table: trained on everything as it came.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from chiasm.archetypes.med import MED, Sharing
from chiasm.bootstrap.manifest import plan
from chiasm.bootstrap.policy import POLICIES
from chiasm.bootstrap.run import run
from chiasm.bootstrap.select import Selection, select
from chiasm.bootstrap.settings import Settings
from chiasm.core.files import read_record, write_atomic
from chiasm.core.stage import Stage
from chiasm.core.system import Config
from chiasm.core.types import Pixels
from chiasm.data.images import CLIP_MEAN, CLIP_STD, ImageProcessor
from chiasm.data.loader import PairLoader
from chiasm.data.pairs import Source
from chiasm.data.sources.compose import Chain
from chiasm.data.sources.parquet import ParquetSource
from chiasm.data.sources.record import summary
from chiasm.data.text import Tokenizer
from chiasm.data.writers import write_parquet
from chiasm.demo.judge import counted
from chiasm.demo.measure import measure
from chiasm.demo.options import MADE, DemoOptions
from chiasm.demo.pictures import parser, pictures, readable
from chiasm.nn.vit import SOONER
from chiasm.predictor.open import Fits, load
from chiasm.systems import blip
from chiasm.training.run import Run, Step
from chiasm.training.train import train
from chiasm.weights.folder import load_model

BATCH, VOCAB, SHARD = 64, 512, 500
PIXELS = Pixels(size=32, mean=CLIP_MEAN, std=CLIP_STD)
TRAINED = ("filter", "captioner", "both")  # rows of the table that need CapFilt first
PRETRAIN, CAPTION, RETRIEVE = map(blip.SYSTEM.stage, ("pretrain", "caption", "retrieve"))
# one model for both jobs, as table 4 tries it: fine-tuned on all losses at once
TOGETHER = replace(PRETRAIN, name="together", inherit={"": ""})

# Adam moves a lone number by the learning rate, and ours is five times the paper's: left alone, the
# temperature falls so fast that contrast outruns matching.
PACE = 0.1
TEMPERATURES = {"pretrain": "retriever.temperature", "together": "retriever.temperature", "retrieve": "temperature"}

Told = Callable[[int, int], None]  # steps done, steps in all


@dataclass(frozen=True)
class Place:
    """One seed of the experiment: its folder and everything that is asked for."""

    options: DemoOptions
    seed: int

    @property
    def folder(self) -> Path:
        return self.options.out / f"seed-{self.seed}"

    @property
    def noisy(self) -> Path:
        return self.folder / "data" / "noisy"

    @property
    def human(self) -> Path:
        return self.folder / "data" / "human.parquet"

    @property
    def tokenizer(self) -> Path:
        return self.folder / "data" / "tokenizer.json"

    def record(self, step: str) -> Path:
        """Where a step says that it is done, and what came of it."""
        return self.folder / "done" / f"{step}.json"

    def clock(self, step: str) -> Path:
        """How long the step took, when it was last begun."""
        return self.folder / "clock" / f"{step}.json"

    def finished(self, step: str) -> bool:
        return self.record(step).is_file()

    def read(self, step: str) -> dict[str, Any]:
        """What a finished step wrote down."""
        return read_record(self.record(step))


@dataclass(frozen=True)
class Job:
    """A step and the steps it needs; `work` returns what is worth writing down."""

    name: str
    needs: tuple[str, ...]
    work: Callable[[Place, Told], Mapping[str, Any]]


def jobs(options: DemoOptions) -> dict[str, Job]:
    """All steps of one seed, by name."""
    found = [
        Job("data", (), _data),
        Job("pretrain", ("data",), lambda place, told: _student(place, told, "pretrain", ParquetSource(place.noisy))),
        Job("captioner", ("pretrain",), _captioner),
        Job("filter", ("pretrain",), _filter),
        Job("capfilt", ("captioner", "filter"), lambda place, _: _capfilt(place, "capfilt")),
        *(_row(name, "capfilt", name) for name in TRAINED),
    ]
    return {job.name: job for job in found + (_ablations() if options.ablations else [])}


def do(options: DemoOptions, seed: int, name: str, told: Told) -> None:
    """Do a step, unless it is done."""
    place = Place(options, seed)
    if not place.finished(name):
        begun = time.perf_counter()
        record = jobs(options)[name].work(place, told)
        seconds = {"seconds": round(time.perf_counter() - begun, 1)}  # beside the record, which no clock may touch
        write_atomic(place.clock(name), json.dumps(seconds).encode())
        write_atomic(place.record(name), (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())


def _ablations() -> list[Job]:
    """Tables 2, 3 and 4 of the paper."""
    sharings = {"share-all": Sharing.ALL, "share-none": Sharing.NONE}
    return [
        *(Job(name, ("data",), _shared(name, sharing)) for name, sharing in sharings.items()),
        Job("capfilt-beam", ("captioner", "filter"), lambda place, _: _capfilt(place, "capfilt-beam", strategy="beam")),
        _row("beam", "capfilt-beam", "both"),
        Job("together", ("pretrain",), _together),
        Job("capfilt-together", ("together",), lambda place, _: _capfilt(place, "capfilt-together", one="together")),
        _row("together-both", "capfilt-together", "both"),
    ]


def _row(name: str, capfilt: str, policy: str) -> Job:
    def work(place: Place, told: Told) -> Mapping[str, Any]:
        return _student(place, told, f"train-{name}", Selection(place.folder / capfilt, POLICIES[policy]))

    return Job(f"train-{name}", (capfilt,), work)


def _data(place: Place, _: Told) -> Mapping[str, Any]:
    """Write every pair down, so that all later steps, and the user, read files."""
    made, unread = pictures(place.options, place.seed), ()
    if place.options.pictures not in MADE:
        made, unread = readable(made)
    everything = Chain(made.web, made.human)
    write_parquet(made.human, place.human)
    for name, source in made.tests.items():
        write_parquet(source, place.folder / "data" / f"{name}.parquet")
    texts = (everything[i].text for i in range(len(everything)))
    Tokenizer.train(texts, vocab=VOCAB).save(place.tokenizer)
    write_parquet(everything, place.noisy / "pairs.parquet")
    counts = {"web": len(made.web), "human": len(made.human), "tests": {n: len(s) for n, s in made.tests.items()}}
    return {**counts, "about": made.about, "unread": summary(unread)}


def _student(place: Place, told: Told, name: str, source: Source, model: MED.Config | None = None) -> Mapping[str, Any]:
    """Pre-train a model from scratch on some pairs and measure it."""
    config = model or blip.tiny(SOONER)
    steps = place.options.budget.steps
    train([_launch(place, name, PRETRAIN, config, source, steps=steps)], place.folder / name, on_step=_every(told))
    tests = {path: ParquetSource(place.folder / "data" / f"{path}.parquet") for path in place.read("data")["tests"]}
    metrics, intervals = measure(load(place.folder / name), tests, parser(place.options))
    pairs, noise_left = counted(source)
    return {"pairs": asdict(pairs), "noise_left": noise_left, "metrics": metrics, "intervals": intervals}


def _captioner(place: Place, told: Told) -> Mapping[str, Any]:
    return _tuned(place, told, "captioner", CAPTION, blip.captioner(blip.tiny(SOONER)))


def _filter(place: Place, told: Told) -> Mapping[str, Any]:
    return _tuned(place, told, "filter", RETRIEVE, blip.retriever(blip.tiny(SOONER)))


def _together(place: Place, told: Told) -> Mapping[str, Any]:
    return _tuned(place, told, "together", TOGETHER, blip.tiny(SOONER))


def _tuned(place: Place, told: Told, name: str, stage: Stage, model: Config) -> Mapping[str, Any]:
    """Fine-tune the pre-trained weights on the human pairs."""
    start, _ = load_model(place.folder / "pretrain" / "1-pretrain" / "model")
    launch = _launch(place, name, stage, model, ParquetSource(place.human), steps=place.options.budget.tune)
    train([replace(launch, lr=launch.lr / 2)], place.folder / name, start=start, on_step=_every(told))
    return {}


def _shared(name: str, sharing: Sharing) -> Callable[[Place, Told], Mapping[str, Any]]:
    def work(place: Place, told: Told) -> Mapping[str, Any]:
        return _student(place, told, name, ParquetSource(place.noisy), replace(blip.tiny(SOONER), sharing=sharing))

    return work


def _capfilt(place: Place, name: str, *, strategy: str = "nucleus", one: str = "") -> Mapping[str, Any]:
    """Caption every noisy picture, judge both texts, and write the clean data set down."""
    folder = place.folder / name
    plan(place.noisy, folder, shard_size=SHARD)
    settings = Settings(
        captioner=str(place.folder / (one or "captioner")),
        filter=str(place.folder / (one or "filter")),
        strategy=strategy,
        seed=place.seed,
        batch=100,
    )
    workers = 1 if place.options.seeds > 1 else place.options.workers
    run(folder, settings, load=load, workers=workers)
    kept = select(folder, place.folder / name.replace("capfilt", "clean"), POLICIES["both"])
    return {"pairs": dict(kept.pairs)}


def _launch(place: Place, name: str, stage: Stage, model: Config, source: Source, *, steps: int) -> Run:
    """The recipe of every training here."""
    words = Tokenizer.load(place.tokenizer)
    fitted = model.fitted(words.vocab, words.markers) if isinstance(model, Fits) else model
    images = ImageProcessor(PIXELS)
    slow = {TEMPERATURES[stage.name]: PACE} if stage.name in TEMPERATURES else {}
    return Run(
        name=stage.name,
        system="blip",
        preset=stage.preset,
        stage=replace(stage, train={**slow, **stage.train}),
        model=fitted,
        data=lambda: PairLoader(source, images, words, batch=BATCH, seed=place.seed),
        pixels=PIXELS,
        tokenizer=words,
        steps=steps,
        lr=1.5e-3,
        min_lr=3e-5,
        warmup=min(50, steps // 4),
        betas=(0.9, 0.98),
        seed=place.seed,
        checkpoint_every=500,
        about={"data": source.fingerprint, "row": name},
    )


def _every(told: Told) -> Callable[[Step], None]:
    def on_step(step: Step) -> None:
        if step.step % 10 == 0 or step.step == step.steps:
            told(step.step, step.steps)

    return on_step
