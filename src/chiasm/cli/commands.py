"""Every command: what it is for, and where its options and its work are written."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chiasm.cli.errors import UsageError
from chiasm.core.errors import unknown


@dataclass(frozen=True)
class Command:
    """`options` and `work` are `module:name`; a command without options reads its words itself.

    `about` are the options that its help tells of then.
    """

    summary: str
    work: str
    options: str = ""
    about: str = ""
    again: str = "nothing was changed"  # how to go on after Ctrl-C


CONTINUE = "the same command goes on where it stopped"
WRITTEN = f"with --out, {CONTINUE}"
COMMANDS: Mapping[str, Command] = {
    "demo": Command(
        "BLIP's experiment in miniature: train, clean, train again, compare",
        work="chiasm.cli.demo:demo",
        options="chiasm.demo.options:DemoOptions",
        again=CONTINUE,
    ),
    "caption": Command("say what is on pictures", "chiasm.cli.verbs:caption", "chiasm.cli.options:Caption", WRITTEN),
    "answer": Command(
        "answer questions about pictures", "chiasm.cli.verbs:answer", "chiasm.cli.options:Answer", WRITTEN
    ),
    "match": Command("tell how well texts fit pictures", "chiasm.cli.verbs:match", "chiasm.cli.options:Match", WRITTEN),
    "classify": Command("choose among labels", "chiasm.cli.verbs:classify", "chiasm.cli.options:Classify", WRITTEN),
    "embed": Command(
        "turn pictures and texts into vectors", "chiasm.cli.verbs:embed", "chiasm.cli.options:Embed", WRITTEN
    ),
    "train": Command(
        "train what a recipe says",
        "chiasm.cli.train:train",
        about="chiasm.cli.options:Train",
        again="the same command goes on from what was saved",
    ),
    "convert": Command("write a model as others read it", "chiasm.cli.convert:convert", "chiasm.cli.options:Convert"),
    "data inspect": Command(
        "look at pairs before training on them", "chiasm.cli.data:inspect", "chiasm.cli.options:Inspect"
    ),
    "capfilt": Command(
        "clean pairs by a model's own captions, in one go",
        work="chiasm.cli.capfilt:bootstrap",
        options="chiasm.cli.capfilt_options:CapFilt",
        again=CONTINUE,
    ),
    "capfilt plan": Command(
        "  cut a source into shards", "chiasm.cli.capfilt:plan", "chiasm.cli.capfilt_options:Plan", CONTINUE
    ),
    "capfilt run": Command(
        "  caption and judge them", "chiasm.cli.capfilt:run", "chiasm.cli.capfilt_options:Run", CONTINUE
    ),
    "capfilt select": Command(
        "  write what is worth keeping", "chiasm.cli.capfilt:select", "chiasm.cli.capfilt_options:Select", CONTINUE
    ),
    "capfilt report": Command(
        "  show what was kept and dropped", "chiasm.cli.capfilt:report", "chiasm.cli.capfilt_options:Report"
    ),
    "capfilt review": Command(
        "  draw a sample of both for a person to judge",
        "chiasm.cli.capfilt:review",
        "chiasm.cli.capfilt_options:Review",
    ),
    "capfilt agreement": Command(
        "  tell how well filter and person agree",
        "chiasm.cli.capfilt:agreement",
        "chiasm.cli.capfilt_options:Agreement",
    ),
    "systems": Command("list the models there are", "chiasm.cli.systems:systems", "chiasm.cli.options:Systems"),
    "doctor": Command(
        "look for what is missing or broken here", "chiasm.cli.doctor:doctor", "chiasm.cli.options:Doctor"
    ),
}


def find(words: Sequence[str]) -> tuple[str, list[str]]:
    """The name of the command that `words` begin with, and the rest of them."""
    for count in (2, 1):
        if (name := " ".join(words[:count])) in COMMANDS:
            rest = [*words[count:]]
            _check_step(name, rest)
            return name, rest
    if steps := [name.removeprefix(f"{words[0]} ") for name in COMMANDS if name.startswith(f"{words[0]} ")]:
        if len(words) == 1:
            raise UsageError(f"chiasm {words[0]} needs a step: {', '.join(steps)}; chiasm {words[0]} --help tells more")
        raise UsageError(unknown(f"step of {words[0]}", words[1], steps))
    raise UsageError(unknown("command", words[0], {name.partition(" ")[0] for name in COMMANDS}))


def _check_step(name: str, rest: Sequence[str]) -> None:
    """`capfilt rnu` is a misspelt step rather than a folder that does not exist."""
    steps = [step.removeprefix(f"{name} ") for step in COMMANDS if step.startswith(f"{name} ")]
    if rest and difflib.get_close_matches(rest[0], steps, n=1) and not Path(rest[0]).exists():
        raise UsageError(unknown(f"step of {name}", rest[0], steps))


def is_group(name: str) -> bool:
    """Whether there are steps of that name, and nothing that it does by itself."""
    return name not in COMMANDS and any(command.startswith(f"{name} ") for command in COMMANDS)


def overview(group: str = "") -> str:
    """What `chiasm --help` says, or `chiasm GROUP --help`."""
    shown = {name: command for name, command in COMMANDS.items() if name.startswith(group)}
    width = max(map(len, shown))
    return "\n".join(
        [
            "usage: chiasm COMMAND ...",
            "",
            "Learn from pictures and the noisy words around them.",
            "",
            *(f"  {name:{width}}  {command.summary}" for name, command in shown.items()),
            "",
            "chiasm COMMAND --help tells its options, chiasm --version the version; --debug shows where errors arise.",
        ]
    )
