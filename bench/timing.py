"""How the scripts beside this one measure: two sides that take turns, and what the machine could do at most.

What counts is the processor's time of this process, on one thread, which a busy machine changes little; the median of
the rounds; and the ratio within each round, whose range is printed. The share of the ceiling is the operations that a
side carries out in matrix products, convolutions and attention, over what the machine manages in its best product,
whatever the precision.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Job = Callable[[], Any]


@dataclass(frozen=True)
class Contest:
    """The same job on both sides, and what is to be said of the two results; raises where they should be equal."""

    name: str
    ours: Job
    theirs: Job
    compare: Callable[[Any, Any], str]


def asked(told: str | None, **more: Any) -> argparse.Namespace:
    """The options that all have, and some more."""
    ask = argparse.ArgumentParser(description=told)
    ask.add_argument("--dtype", choices=DTYPES, default="fp32")
    ask.add_argument("--rounds", type=int, default=3)
    for name, usual in more.items():
        ask.add_argument(f"--{name}", type=type(usual), default=usual)
    torch.set_num_threads(1)
    return ask.parse_args()


def table(contests: Iterable[Contest], *, dtype: str, rounds: int) -> None:
    """A line each; the first run of each side is compared, and not counted."""
    products = ceiling()
    most = max(products.values())
    told = ", ".join(f"{product / 1e9:.0f} GFLOP/s in {name}" for name, product in products.items())
    print(f"The best matrix products of one thread: {told}; the ceiling is the higher one.\n")
    print("| job | chiasm | transformers | ratio | in all rounds | of the ceiling: chiasm | transformers | results |")
    print("|---|---|---|---|---|---|---|---|")
    for contest in contests:
        work, results = zip(*(operations(job) for job in (contest.ours, contest.theirs)), strict=True)
        said = contest.compare(*results)
        spent = [(seconds(contest.ours), seconds(contest.theirs)) for _ in range(rounds)]
        ours, theirs = (statistics.median(side) for side in zip(*spent, strict=True))
        ratios = sorted(other / own for own, other in spent)
        shares = " | ".join(f"{done / time / most:.0%}" for done, time in zip(work, (ours, theirs), strict=True))
        print(
            f"| {contest.name}, {dtype} | {ours:.3g} s | {theirs:.3g} s | **{statistics.median(ratios):.2f}** "
            f"| {ratios[0]:.2f} - {ratios[-1]:.2f} | {shares} | {said} |",
            flush=True,
        )


def ceiling(side: int = 1024) -> dict[str, float]:
    """The most operations a second that a product of two matrices reached here and now, by precision."""
    found: dict[str, float] = {}
    for name, dtype in DTYPES.items():
        left, right = (torch.randn(side, side).to(dtype) for _ in range(2))
        found[name] = 2 * side**3 / min(seconds(partial(F.linear, left, right)) for _ in range(8))
    return found


def seconds(job: Job) -> float:
    """The processor's time for it."""
    start = time.process_time()
    job()
    return time.process_time() - start


def operations(job: Job) -> tuple[int, Any]:
    """Floating-point operations of its matrix products, convolutions and attention, and what came out."""
    with FlopCounterMode(display=False) as counter:
        result = job()
    return counter.get_total_flops(), result


def near(ours: Tensor, theirs: Tensor) -> str:
    """How far apart; in fp32 more than 1e-4 of the largest value is too far."""
    far = ((ours.float() - theirs.float()).abs().max() / theirs.float().abs().max()).item()
    if theirs.dtype == torch.float32 and far > 1e-4:
        raise SystemExit(f"the two do not agree: {far:.1e} of the largest value apart")
    return f"{far:.0e} of the largest value apart"
