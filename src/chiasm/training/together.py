"""Join the processes that torchrun started, and fail as one: each sentence is said once, nobody waits for the dead."""

import os
import time
import zlib
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, redirect_stdout
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from chiasm.core import ranks
from chiasm.core.processes import follow_parent

PATIENCE = timedelta(minutes=10)  # how long one process waits for another before it gives up
GRACE = 0.5  # seconds: torchrun stops all as soon as one has ended, and whoever speaks should finish


@contextmanager
def together(*, patience: timedelta = PATIENCE) -> Generator[None]:
    """Train with the other processes for as long as the block lasts; outside of torchrun nothing happens.

    Only process 0 writes to stdout. When one fails, all end: it says why, and those that only miss it, or
    would say the same, are silent.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield
        return
    if not dist.is_available():
        raise ValueError(f"torch {torch.__version__} was built without torch.distributed: train in a single process")
    from torch.distributed.rendezvous import rendezvous  # noqa: PLC0415 - not every torch has it

    follow_parent()
    store, rank, world = next(rendezvous("env://", timeout=patience))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=patience)
    try:
        with _only_first_speaks():
            yield
    except (Exception, KeyboardInterrupt) as error:
        if _was_said(store.add, error):
            time.sleep(GRACE)
            raise SystemExit(1) from None
        raise
    finally:
        dist.destroy_process_group()


def own(device: torch.device) -> torch.device:
    """The GPU of this process, where several on one machine asked for "cuda"."""
    if ranks.world() == 1 or device.type != "cuda":
        return device
    number, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if device != torch.device(device.type):
        raise ValueError(f"{ranks.world()} processes cannot share {device}: ask for cuda, and each takes its own")
    if number >= count:
        raise ValueError(f"process {number} of this machine finds {count} GPUs: start at most {count} processes here")
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


@contextmanager
def _only_first_speaks() -> Generator[None]:
    with ExitStack() as stack:
        if ranks.rank() > 0:
            nowhere = stack.enter_context(Path(os.devnull).open("w"))
            stack.enter_context(redirect_stdout(nowhere))
        yield


def _was_said(count: Callable[[str, int], int], error: BaseException) -> bool:
    """Whether another process said the same, or what it said explains why we miss it."""
    try:
        nth = count("said", 1)
        same = count(f"said {type(error).__name__} {zlib.crc32(str(error).encode())}", 1)
    except RuntimeError:  # whoever kept the store is gone too
        return False
    return same > 1 or (nth > 1 and isinstance(error, ranks.LostError))
