"""The options of CapFilt and its steps: plain data, and nothing heavy to import."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from chiasm.cli.options import Flag, Strategy
from chiasm.core.errors import check_whole

RunFolder = Annotated[Positional[Path], arg(metavar="RUN")]


@dataclass(frozen=True, kw_only=True)
class How:
    """How captions are made; a run is held to what it was begun with."""

    strategy: Strategy = "nucleus"
    """How words are chosen; the paper found nucleus the best here."""
    top_p: float = 0.9
    """For nucleus: how much of the probability is drawn from."""
    max_new_tokens: int = 20
    """At most so many pieces of words."""
    captions: int = 1
    """Captions of a picture, for each prompt."""
    prompt: UseAppendAction[tuple[str, ...]] = ()
    """What captions continue, such as "a picture of", without becoming part of them; give several for several each."""
    seed: int = 0
    """Together with a picture's id it decides its captions."""
    languages: Flag = False
    """Tell the language of every web text, for select --language; needs chiasm[inspect]."""
    batch: int = 32
    """Pictures that are read at once."""
    threads: int = 1
    """Threads of each worker."""

    def __post_init__(self) -> None:
        check_whole("max_new_tokens", self.max_new_tokens, least=1)
        check_whole("batch", self.batch, least=1)
        check_whole("threads", self.threads, least=1)


MadeHow = Annotated[How, arg(name="")]


@dataclass(frozen=True, kw_only=True)
class Choosing:
    """What is worth keeping, beside the filter's word; what people wrote always is."""

    best: int = 0
    """At most so many texts of a picture, the best by score; 0: all."""
    by: Literal["itm", "itc"] = "itm"
    """For --best: match probability, or cosine as BLIP-2 does."""
    min_side: int = 0
    """Pixels that the shorter side of a picture needs."""
    min_blur: float = 0.0
    """Sharpness that a picture needs; below 50 most look soft."""
    language: UseAppendAction[tuple[str, ...]] = ()
    """A language that web texts may be in, such as en; give several for several. Needs a run with --languages."""
    no_duplicates: Flag = False
    """Of pictures that look the same keep one, the first by id."""


Chosen = Annotated[Choosing, arg(name="")]


@dataclass(frozen=True, kw_only=True)
class CapFilt:
    """Pairs in, clean pairs out: plan, run, select and report in one; the same again goes on where it stopped."""

    source: Annotated[Positional[str], arg(metavar="SOURCE")]
    """Pairs: a folder, a .jsonl, .csv, .json (COCO), .parquet or .tar file, a pattern, a URL, or a made source."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """A folder: the run goes to OUT/run, the clean pairs to OUT/pairs."""
    model: Annotated[str | None, arg(metavar="MODEL")] = None
    """Captions and judges, where nothing else is said."""
    captioner: Annotated[str | None, arg(metavar="MODEL")] = None
    """Captions."""
    filter: Annotated[str | None, arg(metavar="MODEL")] = None
    """Judges."""
    threshold: float = 0.5
    """The match probability from which a text is kept."""
    workers: int = 1
    """Processes that work side by side."""
    chosen: Chosen = field(default_factory=Choosing)
    how: MadeHow = field(default_factory=How)

    def __post_init__(self) -> None:
        _check_probability("threshold", self.threshold)
        check_whole("workers", self.workers, least=1)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Cut a source into shards: what is done, or done again after a crash, as a whole."""

    source: Annotated[Positional[str], arg(metavar="SOURCE")]
    """Pairs: a folder, a .jsonl, .csv, .json (COCO), .parquet or .tar file, a pattern, a URL, or a made source."""
    run: RunFolder
    """A folder for the plan, and for what will come of it."""
    shard_size: int = 1000
    """Pairs a shard."""

    def __post_init__(self) -> None:
        check_whole("shard_size", self.shard_size, least=1)


@dataclass(frozen=True, kw_only=True)
class Run:
    """Caption every picture of a planned run, and judge both texts; the same again goes on where it stopped."""

    run: RunFolder
    """A folder that was planned."""
    captioner: Annotated[str, arg(metavar="MODEL")]
    """Captions."""
    filter: Annotated[str, arg(metavar="MODEL")]
    """Judges."""
    workers: int = 1
    """Processes that work side by side."""
    attempts: int = 3
    """Tries after which a shard is left alone."""
    retry: Annotated[str, arg(metavar="status=S")] = ""
    """First open the shards again that have rows of a status, such as status=decode_error or status=quarantined."""
    job_index: int = 0
    """Which of several jobs on one folder this is, from 0 on."""
    num_jobs: int = 1
    """How many jobs share the shards; each takes every so many."""
    how: MadeHow = field(default_factory=How)

    def __post_init__(self) -> None:
        check_whole("workers", self.workers, least=1)
        check_whole("attempts", self.attempts, least=1)


@dataclass(frozen=True, kw_only=True)
class Select:
    """Write what is worth keeping; needs no model, so thresholds can be tried in seconds."""

    run: RunFolder
    """A folder that was run."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """A folder for the pairs."""
    keep: Literal["both", "filter", "captioner", "none"] = "both"
    """Rows of the paper's table: filtered web and synthetic texts, filtered web texts, all texts, all web texts."""
    threshold: float = 0.5
    """The match probability from which a text is kept."""
    form: Literal["parquet", "tar"] = "parquet"
    """Parquet, or tars that webdataset reads."""
    chosen: Chosen = field(default_factory=Choosing)

    def __post_init__(self) -> None:
        _check_probability("threshold", self.threshold)


@dataclass(frozen=True, kw_only=True)
class Report:
    """Show on one page what was kept and dropped."""

    run: RunFolder
    """A folder that was run."""
    threshold: float = 0.5
    """The match probability from which a text counts as kept."""

    def __post_init__(self) -> None:
        _check_probability("threshold", self.threshold)


@dataclass(frozen=True, kw_only=True)
class Review:
    """Draw texts at random from what a run kept and dropped, for a person to judge."""

    run: RunFolder
    """A folder that was run."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """A folder for review.html, which shows them, and review.csv, to be filled in."""
    sample: int = 50
    """Texts of each kind: web and synthetic, kept and dropped."""
    threshold: float = 0.5
    """The match probability from which a text counts as kept."""
    seed: int = 0
    """Another one draws others."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Read a filled review.csv: how often the filter and the person agree."""

    sheet: Annotated[Positional[Path], arg(metavar="CSV")]
    """A review.csv whose column 'right' says yes or no."""


def _check_probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is a probability, from 0 to 1, but is {value}")
