"""The options of commands: plain data, and nothing heavy to import. Those of CapFilt are in `capfilt_options.py`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from chiasm.core.errors import check_whole
from chiasm.decoding.strategies import Beam, Greedy, Limits, Nucleus, check_returns, chosen

Strategy = Literal["greedy", "beam", "nucleus"]
Model = Annotated[Positional[str], arg(metavar="MODEL")]
Pictures = Annotated[Positional[str], arg(metavar="PICTURES")]
Base = Annotated[str | None, arg(metavar="MODEL")]
Words = Annotated[str | None, arg(metavar="FILE")]
Revision = Annotated[str | None, arg(metavar="NAME")]
Flag = FlagCreatePairsOff[bool]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The rest of a model, and where and how it computes."""

    base: Base = None
    """Of a MODEL that holds only what was trained, the rest: a folder or file of the whole, or its name on the hub."""
    tokenizer: Words = None
    """A tokenizer.json or vocab.txt, or a name on the hub, where MODEL brings none."""
    revision: Revision = None
    """For the hub: a branch, tag or commit."""
    offline: Flag = False
    """Take only what was fetched from the hub before."""
    preprocess: Literal["fast", "exact"] = "fast"
    """exact resizes pictures by Pillow, to the last bit and slower."""
    itm_token: Literal["enc", "cls"] = "enc"
    """What opens a text that is read beside a picture: enc as BLIP was trained, cls as transformers leaves it."""
    device: Annotated[str | None, arg(metavar="NAME")] = None
    """cpu, cuda, cuda:1, ...; left out: the GPU where there is one."""
    dtype: Annotated[Literal["float32", "bfloat16", "float16"] | None, arg(metavar="NAME")] = None
    """float32, bfloat16 or float16; left out: that of the file."""
    batch_size: int = 32
    """Pictures that are read at once."""
    truncate: Flag = False
    """Cut off texts that are longer than the model, which else are an error."""

    def __post_init__(self) -> None:
        check_whole("batch_size", self.batch_size, least=1)


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
    """A folder or file of a model, a folder that a training run made, or a name on the hub."""
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

    def __post_init__(self) -> None:
        known = Greedy(), Beam(self.num_beams, self.length_penalty), Nucleus(self.top_p)
        check_returns(chosen(self.strategy, *known), self.num_return_sequences)
        Limits(self.max_new_tokens, self.min_new_tokens, self.repetition_penalty)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Answer questions about pictures: each question about each picture."""

    model: Model
    """A folder or file of a model, a folder that a training run made, or a name on the hub."""
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

    def __post_init__(self) -> None:
        Beam(self.num_beams)
        Limits(self.max_new_tokens)


@dataclass(frozen=True, kw_only=True)
class Match:
    """Tell how well texts fit pictures: each text with each picture."""

    model: Model
    """A folder or file of a model, a folder that a training run made, or a name on the hub."""
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
    """A folder or file of a model, a folder that a training run made, or a name on the hub."""
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
    """A folder or file of a model, a folder that a training run made, or a name on the hub."""
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
class Launch:
    """What every recipe can be told."""

    out: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Where the run is kept; left out: runs/NAME, after the recipe's name."""
    device: Annotated[str | None, arg(metavar="NAME")] = None
    """cpu, cuda, cuda:1, ...; left out: the GPU where there is one."""


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train what a recipe says; the same command again goes on where it stopped.

    chiasm train RECIPE.py --help tells the options of that recipe too.
    """

    recipe: Annotated[Positional[Path], arg(metavar="RECIPE.py")]
    """A Python file with a dataclass Options and a function runs(options); some are in recipes/ of the source tree."""
    launch: Annotated[Launch, arg(name="")] = field(default_factory=Launch)


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Write a model as others read it: theirs to ours, ours to theirs."""

    source: Annotated[Positional[str], arg(metavar="SOURCE")]
    """A name on the hub, a folder or file of others, or a folder that a training run made."""
    target: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """A new folder."""
    base: Base = None
    """Of a SOURCE that holds only what was trained, the rest: a folder or file of the whole, or its name on the hub."""
    format: Literal["hf", "lavis", "openai", "openclip", "chiasm", "onnx"] = "hf"
    """hf is that of transformers, lavis that of ALBEF's, BLIP's and LAVIS's files, openai and openclip CLIP's; onnx is
    graphs for other runtimes, and needs chiasm[onnx]."""
    dtype: Annotated[Literal["float32", "bfloat16", "float16"] | None, arg(metavar="NAME")] = None
    """float32, bfloat16 or float16; left out: that of the source."""
    tokenizer: Words = None
    """A tokenizer.json or vocab.txt, or a name on the hub, to put beside the weights where the source brings none."""
    revision: Revision = None
    """For the hub: a branch, tag or commit."""
    overwrite: Flag = False
    """Replace the folder if it is one of an earlier export."""


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
