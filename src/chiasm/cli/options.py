"""The options of every command: plain data, and nothing heavy to import."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

Strategy = Literal["greedy", "beam", "nucleus"]
Model = Annotated[Positional[str], arg(metavar="MODEL")]
Pictures = Annotated[Positional[str], arg(metavar="PICTURES")]
RunFolder = Annotated[Positional[Path], arg(metavar="RUN")]
Flag = FlagCreatePairsOff[bool]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where and how a model computes."""

    device: Annotated[str | None, arg(metavar="NAME")] = None
    """cpu, cuda, cuda:1, ...; left out: the GPU where there is one."""
    dtype: Annotated[Literal["float32", "bfloat16", "float16"] | None, arg(metavar="NAME")] = None
    """float32, bfloat16 or float16; left out: that of the file."""
    batch_size: int = 32
    """Pictures that are read at once."""
    truncate: Flag = False
    """Cut off texts that are longer than the model, which else are an error."""

    def __post_init__(self) -> None:
        _check_positive("batch_size", self.batch_size)


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where answers go."""

    out: Annotated[Path | None, arg(metavar="FILE")] = None
    """A .csv, .jsonl or .parquet file; the same command again goes on with it. Left out: standard output."""
    json: Flag = False
    """Write JSON, one object a line, in place of plain text for one picture and CSV for several."""


Computed = Annotated[Machine, arg(name="")]
Written = Annotated[Output, arg(name="")]


@dataclass(frozen=True, kw_only=True)
class Caption:
    """Say what is on pictures."""

    model: Model
    """A model folder, or a folder that a training run made."""
    pictures: Annotated[Positional[tuple[str, ...]], arg(metavar="PICTURES ...")]
    """Pictures and folders of them, or one source of pairs: a .parquet, .tar, .jsonl or .csv file, a URL, ..."""
    prompt: str = ""
    """What every caption begins with."""
    strategy: Strategy = "greedy"
    """How words are chosen."""
    num_beams: int = 3
    """For beam: texts that grow side by side."""
    top_p: float = 0.9
    """For nucleus: how much of the probability is drawn from."""
    repetition_penalty: float = 1.0
    """Above 1 discourages what was said already."""
    length_penalty: float = 1.0
    """For beam: above 0 favours long captions."""
    max_new_tokens: int = 20
    """At most so many pieces of words."""
    min_new_tokens: int = 0
    """At least so many."""
    num_return_sequences: int = 1
    """Captions of a picture, each on a row; for beam at most as many as beams."""
    seed: int = 0
    """For nucleus: the same seed says the same."""
    written: Written = field(default_factory=Output)
    computed: Computed = field(default_factory=Machine)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Answer questions about pictures: each question about each picture."""

    model: Model
    """A model folder, or a folder that a training run made."""
    pictures: Pictures
    """A picture, a folder of them, or a source of pairs: a .parquet, .tar, .jsonl or .csv file, a URL, ..."""
    questions: Annotated[Positional[tuple[str, ...]], arg(metavar="QUESTION ...")]
    """What to ask; of a model that judges statements, what to state."""
    candidates: Annotated[tuple[str, ...], arg(metavar="ANSWER ...")] = ()
    """Choose among these; left out: any words."""
    second: Annotated[Path | None, arg(metavar="PICTURE")] = None
    """The other picture, for a model that compares two."""
    strategy: Literal["greedy", "beam"] = "greedy"
    """How words are chosen, where they are free."""
    num_beams: int = 3
    """For beam: answers that grow side by side."""
    max_new_tokens: int = 10
    """At most so many pieces of words."""
    written: Written = field(default_factory=Output)
    computed: Computed = field(default_factory=Machine)


@dataclass(frozen=True, kw_only=True)
class Match:
    """Tell how well texts fit pictures: each text with each picture."""

    model: Model
    """A model folder, or a folder that a training run made."""
    pictures: Pictures
    """A picture, a folder of them, or a source of pairs: a .parquet, .tar, .jsonl or .csv file, a URL, ..."""
    texts: Annotated[Positional[tuple[str, ...]], arg(metavar="TEXT ...")]
    """What may be on them."""
    written: Written = field(default_factory=Output)
    computed: Computed = field(default_factory=Machine)


@dataclass(frozen=True, kw_only=True)
class Classify:
    """Choose among labels: how probable each is, best first."""

    model: Model
    """A model folder, or a folder that a training run made."""
    pictures: Pictures
    """A picture, a folder of them, or a source of pairs: a .parquet, .tar, .jsonl or .csv file, a URL, ..."""
    labels: Annotated[Positional[tuple[str, ...]], arg(metavar="LABEL ...")]
    """What there is to choose from."""
    template: str = "{}"
    """A text with {} for the label, such as "a photo of a {}", or imagenet for CLIP's 80 of them."""
    top: Annotated[int | None, arg(metavar="N")] = None
    """Show only the best N labels."""
    written: Written = field(default_factory=Output)
    computed: Computed = field(default_factory=Machine)


@dataclass(frozen=True, kw_only=True)
class Embed:
    """Turn pictures, or texts, into unit vectors; the nearer two of them are, the larger their dot product."""

    model: Model
    """A model folder, or a folder that a training run made."""
    pictures: Annotated[Positional[tuple[str, ...]], arg(metavar="PICTURES ...")] = ()
    """Pictures and folders of them, or one source of pairs: a .parquet, .tar, .jsonl or .csv file, a URL, ..."""
    texts: Annotated[tuple[str, ...], arg(metavar="TEXT ...")] = ()
    """Texts instead of pictures."""
    written: Written = field(default_factory=Output)
    computed: Computed = field(default_factory=Machine)


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Look at pairs before anything is trained on them: what is broken, odd, or there twice."""

    source: Annotated[Positional[str], arg(metavar="SOURCE")]
    """A folder of pictures with texts, a .jsonl or .parquet file, or a made source."""
    out: Annotated[Path | None, arg(metavar="FILE")] = None
    """An .html file for the whole report, with pictures; left out: only the summary."""
    json: Flag = False
    """Write all numbers as JSON in place of the summary."""
    sample: Annotated[int | None, arg(metavar="N")] = None
    """Look at only N pairs, drawn at random."""
    seed: int = 0
    """Decides what is drawn."""
    near: int = 3
    """Pictures look alike whose 64-bit hashes differ in at most so many bits."""
    threads: Annotated[int | None, arg(metavar="N")] = None
    """Pictures that are read side by side; left out: one a processor."""


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
        _check_positive("max_new_tokens", self.max_new_tokens)
        _check_positive("batch", self.batch)
        _check_positive("threads", self.threads)


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
        _check_positive("workers", self.workers)


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
        _check_positive("shard_size", self.shard_size)


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
        _check_positive("workers", self.workers)
        _check_positive("attempts", self.attempts)


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


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What every recipe can be told."""

    out: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Where the run is kept; left out: runs/NAME, after the recipe's name."""
    device: Annotated[str | None, arg(metavar="NAME")] = None
    """cpu, cuda, cuda:1, ...; left out: the GPU where there is one."""


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Write a model as others read it: theirs to ours, ours to theirs."""

    source: Annotated[Positional[str], arg(metavar="SOURCE")]
    """A name on the hub, a folder or file of others, or a folder that a training run made."""
    target: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """A new folder."""
    format: Literal["hf", "lavis", "openai", "openclip", "chiasm", "onnx"] = "hf"
    """hf is that of transformers, lavis that of ALBEF's, BLIP's and LAVIS's files, openai and openclip CLIP's; onnx is
    graphs for other runtimes, and needs chiasm[onnx]."""
    dtype: Annotated[Literal["float32", "bfloat16", "float16"] | None, arg(metavar="NAME")] = None
    """float32, bfloat16 or float16; left out: that of the source."""
    tokenizer: Annotated[Path | None, arg(metavar="FILE")] = None
    """A tokenizer.json or vocab.txt to put beside the weights, where the source brings none."""
    revision: Annotated[str | None, arg(metavar="NAME")] = None
    """For the hub: a branch, tag or commit."""
    overwrite: Flag = False
    """Replace the folder if it exists."""


@dataclass(frozen=True, kw_only=True)
class Systems:
    """List the models there are, or tell about one system."""

    name: Annotated[Positional[str], arg(metavar="NAME")] = ""
    """A system, such as blip."""
    json: Flag = False
    """Write JSON."""


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Look for what is missing or broken in this installation."""


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} is {value}, and at least 1 is needed")


def _check_probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is a probability, from 0 to 1, but is {value}")
