"""Right answers: how many people said the same (VQA, arXiv:1505.00468, section 3), or exactly a right one.

    said ─ plain ─┐
    ten people ───┴─ a mean over ten times nine of them ─ min(those who said the same / 3, 1)

What counts as the same was settled by the released evaluation, whose rules `plain` repeats.
"""

import re
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

MARKS = ';/[]"{}()=+\\_-><@`,?!'  # no apostrophe and no colon: "it's 5:30" stays
FULL_STOP = re.compile(r"\.(?!\d)")  # the one in 2.5 stays
THOUSANDS = re.compile(r"\d,\d")
ARTICLES = {"a", "an", "the"}
COUNTED = "zero one two three four five six seven eight nine ten"
NUMBERS = {"none": "0"} | {word: str(number) for number, word in enumerate(COUNTED.split())}
CONTRACTIONS = """
ain't aren't can't couldn't couldn't've could've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've o'clock
oughtn't 'ow's'at shan't she'd've shouldn't shouldn't've should've somebody'd've somebody'll somebody's someone'd
someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's
they'd they'd've they'll they're they've 'twas wasn't we'd've weren't we've what'll what're what's what've when's
where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't wouldn't wouldn't've would've
y'all y'all'd've y'all'll you'd you'd've you'll you're you've
"""  # not ill, its, were and the like, which are words of their own
CUT = {  # a form that lost one of its apostrophes, and the whole one
    form[:place] + form[place + 1 :]: form
    for form in CONTRACTIONS.split()
    for place, letter in enumerate(form)
    if letter == "'"
}
MENDED = CUT | {"somebody'd": "somebodyd"}  # as released
FEWEST = 4  # people of whom three are left when one is set aside


def plain(answer: str) -> str:
    """An answer as it is compared: lower case, no marks, no articles, digits for number words, apostrophes mended."""
    counted = (NUMBERS.get(word, word) for word in _unmarked(_line(answer)).lower().split())
    return " ".join(MENDED.get(word, word) for word in counted if word not in ARTICLES)


def agreement(said: Sequence[str], given: Sequence[Sequence[str]]) -> Float[Tensor, " n"]:
    """VQA's accuracy: of each question, whose answers by different people are `given`.

    As released, answers are made plain only where people disagree; where they all say the same it must be
    said literally. Pass both sides through `plain` first where that is too strict.
    """
    return _marks(_agreeing(one, people, row) for row, (one, people) in enumerate(zip(said, given, strict=True)))


def exact(said: Sequence[str], given: Sequence[Sequence[str]]) -> Float[Tensor, " n"]:
    """1 where what was said is one of the right answers, once both are plain."""
    return _marks(plain(one) in map(plain, right) for one, right in zip(said, given, strict=True))


def _agreeing(said: str, people: Sequence[str], row: int) -> float:
    if len(people) < FEWEST:
        raise ValueError(
            f"question {row} has {len(people)} answers, but agreement is measured with {FEWEST} people or more "
            "(VQA asks ten); where there are right answers rather than people, ask for exact ones"
        )
    compared = plain if len({_line(one) for one in people}) > 1 else _line
    same = [compared(one) == compared(said) for one in people]
    return sum(min((sum(same) - own) / 3, 1.0) for own in same) / len(same)


def _line(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def _unmarked(text: str) -> str:
    """Without marks: one that stands at a space anywhere in the text, or in a large number, parts no words."""
    bare, large = text, THOUSANDS.search(text) is not None
    for mark in MARKS:
        bare = bare.replace(mark, "" if large or f"{mark} " in text or f" {mark}" in text else " ")
    return FULL_STOP.sub("", bare)


def _marks(values: Iterable[float]) -> Float[Tensor, " n"]:
    return torch.tensor([*values], dtype=torch.double)
