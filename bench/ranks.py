"""What training in two processes costs: pictures a second alone and together, and how much work averaging is.

    python bench/ranks.py                     # prints the table that docs/speed.md holds

A process has one thread and as many pictures a step in all rows: two that train together learn from batches twice as
large. "Apart" are two processes at the same time that do not know of each other, which share the machine all the same.
The three take turns, and the median of the rounds counts. Averaging is a share of processor time, not of waiting.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

import torch
from train import step_of  # beside this script

from chiasm.core import ranks
from chiasm.training import average
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
    print("| step | alone | two apart | two together | of it averaging |", "|---|---|---|---|---|", sep="\n")
    for row, (name, batch) in ROWS.items():
        found: dict[str, list[float]] = {"alone": [], "apart": [], "together": [], "averaging": []}
        for _ in range(asked.rounds):
            found["alone"].append(_done(_worker(name, batch))["rate"])
            both = [_worker(name, batch), _worker(name, batch)]
            found["apart"].append(sum(_done(one)["rate"] for one in both))
            told = _done(_worker(name, batch, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"))
            found["together"].append(told["rate"])
            found["averaging"].append(told["averaging"])
        alone, apart, joined, share = (statistics.median(values) for values in found.values())
        print(f"| {row} | {alone:.0f} | {apart:.0f} | {joined:.0f} | {share:.1%} |")


def measure(name: str, batch: int) -> dict[str, float]:
    """Pictures a second of all processes together, and the share of a step's work that averaging is."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    spent = list[float]()
    plain = average.average

    def timed(*given: object) -> object:
        start = time.process_time()
        mean = plain(*given)
        spent.append(time.process_time() - start)
        return mean

    average.average = timed
    step, _ = step_of(name, batch * ranks.world())
    times, work = list[float](), list[float]()
    for _ in range(STEPS + 5):
        start, begun = time.perf_counter(), time.process_time()
        step()
        times.append(time.perf_counter() - start)
        work.append(time.process_time() - begun)
    share = statistics.median(spent[5:]) / statistics.median(work[5:])
    return {"rate": batch * ranks.world() / statistics.median(times[5:]), "averaging": share}


def _worker(name: str, batch: int, *launch: str) -> subprocess.Popen[str]:
    words = [sys.executable, *launch, __file__, "--worker", name, str(batch)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ourselves


def _done(worker: subprocess.Popen[str]) -> dict[str, float]:
    return json.loads(worker.communicate()[0])


if __name__ == "__main__":
    main()
