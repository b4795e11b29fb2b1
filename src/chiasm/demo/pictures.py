"""Where the demo's pairs come from: a made world, the system's emoji, or a folder of the user's.

web    noisy texts: what CapFilt cleans
human  few, and true: what captioner and filter are fine-tuned on
tests  true, and never trained on
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from chiasm.core.errors import MediaError
from chiasm.data.images import decode
from chiasm.data.noise import Noise
from chiasm.data.pairs import Pair, Source
from chiasm.data.sources import emoji, emoji_names, open_source, world
from chiasm.data.sources.chance import chance
from chiasm.data.sources.compose import subset, usable
from chiasm.data.sources.record import Skipped, summary_of
from chiasm.demo.options import DemoOptions
from chiasm.evaluation.captioning import Facts

# What a small model can learn in minutes; `people` alone are 1,500 of the font's 3,800 emoji.
FAMILIES = ("clocks", "hands", "hearts", "vehicles")
TRUSTED, TESTED = 0.1, 0.1  # shares of a user's pairs that nobody marked


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The pairs of one seed; `about` says where a user's come from, and what was left out there."""

    web: Source
    human: Source
    tests: Mapping[str, Source]
    about: str = ""


def pictures(options: DemoOptions, seed: int) -> Pictures:
    """What `--pictures` names."""
    if options.pictures == "made":
        return _made(options, seed)
    if options.pictures == "emoji":
        return _emoji(options, seed)
    return _own(options, seed)


def parser(options: DemoOptions) -> Callable[[str], Facts | None]:
    """What reads the attributes that a caption states."""
    return {"made": world.parse, "emoji": emoji_names.parse}.get(options.pictures, lambda _: {})


def readable(found: Pictures) -> tuple[Pictures, tuple[Skipped, ...]]:
    """A user's pairs without those whose picture cannot be read: nothing later has to look out for them."""
    web, human, *tests = (usable(source, _fault) for source in (found.web, found.human, *found.tests.values()))
    kept = {name: source for name, (source, _) in zip(found.tests, tests, strict=True)}
    skipped = tuple(each for _, skipped in (web, human, *tests) for each in skipped)
    return replace(found, web=web[0], human=human[0], tests=kept), skipped


def _fault(pair: Pair) -> str:
    try:
        decode(pair.image)
    except MediaError as error:
        return error.reason
    return ""


def _made(options: DemoOptions, seed: int) -> Pictures:
    budget, made = options.budget, world.PRESETS[options.world]()
    noise = Noise(rate=options.noise)
    return Pictures(
        web=world.WorldPairs(made, seed=seed, count=budget.web, split="train", noise=noise),
        human=world.WorldPairs(made, seed=seed, count=budget.human, split="human"),
        tests={"test": world.WorldPairs(made, seed=seed, count=budget.test, split="test")},
    )


def _emoji(options: DemoOptions, seed: int) -> Pictures:
    budget, font = options.budget, emoji.find_font()
    if font is None:
        raise ValueError(
            "no colour emoji font was found: install one (Debian: apt install fonts-noto-color-emoji), "
            "or run the demo on the made world"
        )
    # half as many web pairs as in a made world: there are fewer things to see
    drawn = partial(emoji.EmojiPairs, font, seed=seed, families=FAMILIES)
    return Pictures(
        web=drawn(count=budget.web // 2, split="train", noise=Noise(rate=options.noise)),
        human=drawn(count=budget.human, split="human"),
        tests={
            name: drawn(count=budget.test, split=split)
            for name, split in (("known", "val"), ("combinations", "test-combinations"), ("unseen", "test-unseen"))
        },
    )


def _own(options: DemoOptions, seed: int) -> Pictures:
    """A user's pairs: those tagged `human` are trusted, or a tenth of all where none is."""
    source = open_source(options.pictures)
    rows = list(range(len(source)))
    chance("demo", seed).shuffle(rows)
    marked = {row for row in rows if source[row].human}
    trusted = [row for row in rows if row in marked] or rows[: round(len(rows) * (TRUSTED + TESTED))]
    split = round(len(trusted) * TESTED / (TRUSTED + TESTED))
    test, human = trusted[:split][: options.budget.test], trusted[split:]
    aside = set(trusted)
    web = [row for row in rows if row not in aside]
    if min(len(web), len(human), len(test)) < 10:
        raise ValueError(
            f"{options.pictures} has {len(web)} noisy, {len(human)} trusted and {len(test)} test pairs, "
            'but the demo needs 10 of each: add pairs, or mark trusted ones with "human": true'
        )
    parts = {name: subset(source, part) for name, part in (("web", web), ("human", human), ("test", test))}
    tests = {"test": parts["test"]}
    return Pictures(web=parts["web"], human=parts["human"], tests=tests, about=summary_of(source))
