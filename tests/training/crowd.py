"""What several processes make of a training: `crowd.py FOLDER`, in a process of its own that may fork.

Forks keep torch warm, so each crowd costs a fraction of a second. What came out lies in FOLDER for `test_together.py`:
a run folder a scenario, and what was seen beside it as NAME.json. `crowd.py FOLDER STRIDE` kills one of two processes
before every STRIDE-th touch of the disk (the first process) or meeting with the other (the second), and starts again.
"""

import io
import json
import os
import signal
import sys
import types
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import killed  # beside this script
import torch
import torch.distributed as dist

import chiasm.training.together
from chiasm.cli.main import main as main_of_chiasm
from chiasm.core import ranks
from chiasm.core.types import Pixels
from chiasm.data.images import ImageProcessor
from chiasm.data.loader import PairLoader
from chiasm.data.sources import open_source
from chiasm.data.text import Tokenizer
from chiasm.systems import blip
from chiasm.training.checkpoint import check
from chiasm.training.run import Run, Step
from chiasm.training.together import together
from chiasm.training.train import train

RECIPE = Path(__file__).parents[1] / "cli" / "few.py"


def crowd(count: int, work: Callable[[], Any]) -> list[dict[str, Any]]:
    """Do `work` in `count` processes that train together; how each ended, what it said and what it returned."""
    port, life = meeting_place()
    pipes = [os.pipe() for _ in range(count)]
    children: list[int] = []
    for rank, (_, mouth) in enumerate(pipes):
        child = os.fork()
        if child == 0:
            place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": count, "RANK": rank}
            os.environ.update({name: str(value) for name, value in place.items()})
            os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"
            os.write(mouth, json.dumps(work()).encode())
            os._exit(0)
        os.close(mouth)
        children.append(child)
    found: list[dict[str, Any]] = []
    for child, (ear, _) in zip(children, pipes, strict=True):
        with os.fdopen(ear) as file:
            text = file.read()
        _, status = os.waitpid(child, 0)
        found.append(json.loads(text) if text else {"killed": os.WTERMSIG(status)})
    os.close(life)
    os.wait()
    return found


def meeting_place() -> tuple[int, int]:
    """The port of a store, as torchrun keeps one, and a pipe: the store ends when the pipe closes.

    It has a process of its own, since its threads may hold locks that a fork beside them would inherit.
    """
    (ear, mouth), (end, life) = os.pipe(), os.pipe()
    if os.fork() == 0:
        os.close(life)
        store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        os.write(mouth, str(store.port).encode())
        os.read(end, 1)
        os._exit(0)
    for ours in (mouth, end):
        os.close(ours)
    port = int(os.read(ear, 99))
    os.close(ear)
    return port, life


def joined(work: Callable[[], Any]) -> dict[str, Any]:
    """What came of `work` in one process of a crowd."""
    try:
        with together(patience=timedelta(seconds=60)):
            return {"seen": work()}
    except SystemExit as stop:
        return {"silent": stop.code}
    except KeyboardInterrupt:
        return {"said": "stopped"}
    except Exception as error:  # noqa: BLE001 - told to the test
        return {"said": str(error)}


def command(*words: object) -> dict[str, Any]:
    """What `chiasm train` did in one process of a crowd, without torchrun."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = main_of_chiasm(["train", *map(str, words)])
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def watched(parts: types.ModuleType, runs: list[Run], folder: Path, *, stop: Callable[[Step], None] = id) -> Any:
    """Train; the checksum of the weights and buffers after every step, and a line of metrics a step."""
    built: list[Any] = []
    build = parts.Net.Config.build

    def remembered(config: Any) -> Any:
        built.append(build(config))
        return built[-1]

    parts.Net.Config.build = remembered
    seen: list[Any] = []

    def on_step(step: Step) -> None:
        seen.append([check(built[-1]), torch.rand(()).item() if step.step == step.steps else 0, step.total, step.norm])
        stop(step)

    model = train(runs, folder, on_step=on_step)
    parts.Net.Config.build = build
    return {"steps": seen, "end": check(model)}


def captioner(folder: Path) -> list[float]:
    """A few steps of BLIP's captioner on texts of many lengths; the losses and the gradients' norms."""
    words = Tokenizer.builtin()
    pixels = Pixels(size=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    source = open_source("world:single?count=40&noise=0.5")
    run = Run(
        name="caption",
        system="blip",
        preset="tiny-caption",
        stage=replace(blip.SYSTEM.stage("caption"), inherit={}),
        model=blip.captioner(blip.tiny().fitted(words.vocab, words.markers)),
        data=lambda: PairLoader(source, ImageProcessor(pixels), words, batch=12, seed=0),
        pixels=pixels,
        tokenizer=words,
        steps=6,
        lr=1e-3,
        warmup=2,
    )
    seen: list[float] = []
    train([run], folder, on_step=lambda step: seen.extend([step.total, step.norm, step.pictures]))
    return seen


def idle(runs: list[Run], folder: Path) -> dict[str, list[float]]:
    model = train(runs, folder)
    return {name: parameter.flatten().tolist() for name, parameter in model.named_parameters()}


def die(rank: int, at: int) -> Callable[[Step], None]:
    """A process that is killed after a step."""

    def stop(step: Step) -> None:
        if ranks.rank() == rank and step.step == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return stop


def interrupt(rank: int, at: int) -> Callable[[Step], None]:
    """A process that alone hears Ctrl-C."""

    def stop(step: Step) -> None:
        if ranks.rank() == rank and step.step == at:
            signal.raise_signal(signal.SIGINT)

    return stop


def fail(rank: int, at: int) -> Callable[[Step], None]:
    """A process that fails after a step."""

    def stop(step: Step) -> None:
        if ranks.rank() == rank and step.step == at:
            raise ValueError(f"the disk of process {rank} is on fire")

    return stop


def main(root: Path) -> None:
    torch.set_num_threads(1)
    chiasm.training.together.GRACE = 0.0
    parts = killed.load_parts()

    def scene(name: str, count: int, work: Callable[[Path], Any], *, folder: str = "") -> None:
        told = crowd(count, lambda: joined(lambda: work(root / (folder or name))))
        (root / f"{name}.json").write_text(json.dumps(told))

    train([parts.run(steps=1)], root / "warm")  # here, so that the children find torch warm
    calm = {"model": parts.Net.Config(dropout=0.0), "validate": parts.nearness, "validate_every": 4, "best": "nearness"}
    for count in (1, 2, 4):
        scene(f"calm-{count}", count, lambda folder: watched(parts, [parts.run(**calm)], folder))
        scene(f"caption-{count}", count, captioner)
    for count in (1, 2):
        half = parts.run(model=calm["model"], precision=torch.bfloat16, accumulate=2)
        scene(f"half-{count}", count, lambda folder, half=half: watched(parts, [half], folder))
    scene("drops", 2, lambda folder: watched(parts, parts.two_runs(), folder))
    for way, rank, at in ((die, 0, 7), (die, 1, 13), (die, 1, 5), (interrupt, 1, 7)):
        name = f"{'killed' if way is die else 'interrupted'}-{rank}-{at}"
        stop = way(rank, at)
        scene(name, 2, lambda folder, stop=stop: watched(parts, parts.two_runs(), folder, stop=stop))
        scene(f"{name}-again", 2, lambda folder: watched(parts, parts.two_runs(), folder), folder=name)
    scene("failed", 3, lambda folder: watched(parts, [parts.run()], folder, stop=fail(1, 7)))
    scene("fewer", 2, lambda folder: watched(parts, [parts.run()], folder), folder="failed")
    scene("nan", 2, lambda folder: watched(parts, [parts.run(data=parts.Poisoned)], folder))
    odd = {"stage": parts.ODD, "weight_decay": 0.5}
    scene("apart", 2, lambda folder: train([parts.run(**odd, model=parts.Odd.Config())], folder))
    scene("idle", 2, lambda folder: idle([parts.run(**odd, model=parts.Odd.Config(memory=0))], folder))
    for name, words in (("trained", ["--steps", 3]), ("misspelt", ["--stps", 3]), ("helped", ["--help"])):
        told = crowd(2, lambda words=words: command(RECIPE, "--device", "cpu", "--out", root / "command", *words))
        (root / f"{name}.json").write_text(json.dumps(told))
    scene("options", 2, lambda folder: train([parts.run(lr=0.1 * (1 + ranks.rank()))], folder))


def kill_everywhere(root: Path, stride: int) -> None:
    """Prints a line of JSON: how often each process was killed."""
    torch.set_num_threads(1)
    chiasm.training.together.GRACE = 0.0
    parts = killed.load_parts()
    train([parts.run(steps=1)], root / "warm")
    train_both = lambda folder, **limits: crowd(2, lambda: joined(lambda: limited(parts, folder, **limits)))
    train_both(root / "whole")
    counts = [0, 0]
    for rank in range(2):
        for left in range(0, 100_000, stride):
            folder = root / f"killed-{rank}-{left}"
            if not any("killed" in told for told in train_both(folder, rank=rank, left=left)):
                break
            assert all("seen" in told for told in train_both(folder))
            counts[rank] += 1
    sys.stdout.write(json.dumps(counts) + "\n")


def limited(parts: types.ModuleType, folder: Path, *, rank: int = -1, left: int = 0) -> None:
    """Train, but process `rank` may touch the folder or meet the other `left` times only."""
    if rank == ranks.rank() == 0:
        killed.limit_touches(folder, left)
    elif rank == ranks.rank():
        limit_meetings(left)
    train(parts.two_runs(), folder)


def limit_meetings(left: int) -> None:
    meet = ranks._company

    def last() -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return meet()

    ranks._company = last


if __name__ == "__main__":
    if sys.argv[2:]:
        kill_everywhere(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        main(Path(sys.argv[1]))
