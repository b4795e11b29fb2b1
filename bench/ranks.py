"""What training in two processes costs: pictures a second alone and together, and how long each waits for the other.

    python bench/ranks.py                     # prints the table that docs/speed.md holds

A process has one thread and as many pictures a step in all rows: two that train together learn from batches twice as
large. "Apart" are two processes at the same time that do not know of each other, which share the machine all the same.
The three take turns, and the median of the rounds counts. A meeting is whatever one process cannot do without the
other: how many there are in a step, and the share of a step's time that passes in them, backward's included.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

import torch
from train import step_of  # beside this script

from chiasm.core import ranks
from chiasm.training.together import together

ROWS = {"tiny (the demo's): width 64": ("tiny", 64), "the pilot's model: width 128": ("first", 64)}
STEPS = 30


def main() -> None:
    """Take turns, print the table."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--rounds", type=int, default=3)
    ask.add_argument("--worker", nargs=2)
    asked = ask.parse_args()
    if asked.worker:
        name, batch = asked.worker
        with together():
            print(json.dumps(measure(name, int(batch))))
        return
    print("| step | alone | two apart | two together | meetings | of the time |", "|---|---|---|---|---|---|", sep="\n")
    for row, (name, batch) in ROWS.items():
        found: dict[str, list[float]] = {"alone": [], "apart": [], "together": [], "meetings": [], "in them": []}
        for _ in range(asked.rounds):
            found["alone"].append(_done(_worker(name, batch))["rate"])
            both = [_worker(name, batch), _worker(name, batch)]
            found["apart"].append(sum(_done(one)["rate"] for one in both))
            told = _done(_worker(name, batch, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"))
            found["together"].append(told["rate"])
            found["meetings"].append(told["meetings"])
            found["in them"].append(told["in them"])
        alone, apart, joined, meetings, share = (statistics.median(values) for values in found.values())
        print(f"| {row} | {alone:.0f} | {apart:.0f} | {joined:.0f} | {meetings:.0f} | {share:.0%} |")


def measure(name: str, batch: int) -> dict[str, float]:
    """Pictures a second of all processes together; the meetings of a step, and the share of its time that they take."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    spent = list[float]()
    plain = ranks._company  # noqa: SLF001 - every meeting goes through it

    @contextmanager
    def timed() -> Generator[None]:
        start = time.perf_counter()
        with plain():
            yield
        spent.append(time.perf_counter() - start)

    ranks._company = timed  # noqa: SLF001
    step, _ = step_of(name, batch * ranks.world())
    for _ in range(5):
        step()
    spent.clear()
    times = list[float]()
    for _ in range(STEPS):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return {
        "rate": batch * ranks.world() / statistics.median(times),
        "meetings": len(spent) / STEPS,
        "in them": sum(spent) / sum(times),
    }


def _worker(name: str, batch: int, *launch: str) -> subprocess.Popen[str]:
    words = [sys.executable, *launch, __file__, "--worker", name, str(batch)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ourselves


def _done(worker: subprocess.Popen[str]) -> dict[str, float]:
    return json.loads(worker.communicate()[0])


if __name__ == "__main__":
    main()
