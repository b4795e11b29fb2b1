"""What the report says in words: the story of the experiment, and what came out, as plainly as it was measured."""

from collections.abc import Iterator, Sequence

from chiasm.demo import summary
from chiasm.demo.results import FOUR, Results
from chiasm.demo.summary import Verdict, percent
from chiasm.evaluation.filtering import THRESHOLD
from chiasm.evaluation.intervals import spread
from chiasm.report.markup import Content, Html, join, link, steps, strong

PAPER = link("BLIP", "https://arxiv.org/abs/2201.12086")
TESTS = {
    "test": "test pictures",
    "known": "known emoji, drawn anew",
    "combinations": "known parts in new combinations",
    "unseen": "emoji never seen",
}
NUMBERS = {
    "itm_mean@1": "R@1 (re-ranked, mean of text and image)",
    "itc_mean@1": "R@1 (by cosine, mean of text and image)",
    "caption_exact": "the share of captions that are exactly right",
}
OPENING = (
    "The web is full of pictures whose texts say something else. ",
    PAPER,
    (
        " lets a model clean its own training data: a captioner writes a new text for every picture, a filter keeps "
        "the texts, old and new, that fit, and a model trained on what is left is better. This page shows that "
        "experiment, small enough for one computer."
    ),
)


def story(results: Results) -> Html:
    """The five steps of CapFilt, with the counts of this run."""
    data = summary.pairs(results.rows, summary.names(results.rows)[0])
    noise = summary.noise_left(results.rows, "none")
    wrong = "" if noise is None else f" {percent(noise)} % of all texts are wrong, and no model is told which."
    told = {
        "Pre-train. ": f"One model learns from {data.web:,} noisy pairs and {data.human:,} human ones: contrast, "
        f"matching and language together.{wrong} It is also the row “{summary.TITLES['none']}”.",
        "Fine-tune twice. ": "From there, and apart from each other, a captioner and a filter learn from the human "
        "pairs alone.",
        "Caption. ": "The captioner writes one text for each noisy picture, drawn by nucleus sampling, which surprises "
        "more than the likeliest text would.",
        "Filter. ": "The matching head reads each web text and each new text beside its picture, and keeps those "
        f"to which it gives a probability of at least {THRESHOLD}.",
        "Train anew. ": "For each way of cleaning, a model starts from scratch on what was kept and the human pairs, "
        "with as many steps as the first had.",
    }
    return steps(*(join(strong(title), text) for title, text in told.items()))


def verdict(one: Verdict) -> Iterator[Content]:
    """What became of one number, from no cleaning to both."""
    yield NUMBERS[one.number][0].upper() + NUMBERS[one.number][1:] + " "
    moved = "rises" if one.gain > 0 else "falls" if one.gain < 0 else "stays the same,"
    yield strong(f"{moved} from {percent(one.before.value)} to {percent(one.after.value)} %")
    yield f" with captioner and filter, {_size(one)}. From worst to best: {_listed(one.order)}."


def order(verdicts: Sequence[Verdict]) -> str:
    """Whether the models came out in the order of the paper."""
    whole = [one for one in verdicts if len(one.order) == len(FOUR)]
    same = sum(one.as_published for one in whole)
    if not whole:
        return "Not all ways of cleaning were tried, so there is no order to compare with the paper's."
    if same == len(whole):
        return "That is the order of the paper."
    here = "None of these numbers follows" if not same else f"{same} of these {len(whole)} numbers follow"
    return f"The order of the paper is: {_listed(FOUR)}. {here} it."


def doubt(results: Results) -> str:
    """What the small print beside a number means."""
    if len(summary.seeds(results.rows)) > 1:
        return f"the standard deviation over {seeds(results)}"
    return "the 95 % interval over test pairs (bootstrap, one seed)"


def seeds(results: Results) -> str:
    """How often everything was done."""
    count = len(summary.seeds(results.rows))
    return "1 seed" if count == 1 else f"{count} seeds"


def test_set(name: str) -> str:
    """A test set, by its content where that is known."""
    return TESTS.get(name, name)


def title(name: str) -> str:
    """The same, at the start of a line."""
    return test_set(name)[:1].upper() + test_set(name)[1:]


def change(before: float, after: float) -> str:
    """From one share to another."""
    return f"{100 * before:.0f} → {100 * after:.0f} %"


def mean(values: Sequence[float], digits: int = 3) -> str:
    """The mean over seeds, with its spread where there are several."""
    middle, deviation = spread(values)
    return f"{middle:.{digits}f}" + (f" ± {deviation:.{digits}f}" if len(values) > 1 else "")


def duration(seconds: float) -> str:
    """Minutes, or seconds where it is less than one."""
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


def _size(one: Verdict) -> str:
    if one.clear:
        return "a gain beyond the uncertainty shown below"
    return "a gain within the uncertainty shown below" if one.gain > 0 else "so cleaning did not help here"


def _listed(order: Sequence[str]) -> str:
    return ", ".join(summary.TITLES[name] for name in order)
