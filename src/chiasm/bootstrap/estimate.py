"""How long a run will take, and how much disk: from a few of its own pictures, before it starts."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chiasm.bootstrap.describe import Loader, Models, describe
from chiasm.bootstrap.manifest import WHOLE, Opener, Part
from chiasm.bootstrap.settings import Settings
from chiasm.bootstrap.sidecar import encode_rows
from chiasm.bootstrap.store import Store
from chiasm.bootstrap.worker import threads
from chiasm.core.errors import MediaError
from chiasm.data.pairs import Pair
from chiasm.data.sources import open_source
from chiasm.data.writers import encoded


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What the shards that are not done will cost."""

    rows: int
    sample: int
    seconds: float
    sidecar_bytes: int
    pair_bytes: int  # of a selection that keeps both texts of every picture, and so each picture twice


def estimate(
    folder: Path,
    settings: Settings,
    *,
    load: Loader,
    workers: int = 1,
    part: Part = WHOLE,
    opened: Opener = open_source,
    clock: Callable[[], float] = time.perf_counter,
) -> Estimate:
    """Do one batch, spread over what is left, and multiply.

    Workers are taken to run at full speed side by side; loading the models is not counted.
    """
    store = Store(folder, part)
    left = [one.shard for one in store.standing() if not one.done]
    rows = sum(shard.stop - shard.start for shard in left)
    if not rows:
        return Estimate(rows=0, sample=0, seconds=0.0, sidecar_bytes=0, pair_bytes=0)
    source = store.manifest.open(opened)
    sample = min(settings.batch, rows)
    places = [divmod(i * rows // sample, store.manifest.shard_size) for i in range(sample)]
    pairs = [source[left[shard].start + row] for shard, row in places]
    models = Models(settings, load)
    with threads(settings.threads):
        start = clock()
        described = describe(pairs, models, settings)
        seconds = clock() - start
    each = rows / sample
    return Estimate(
        rows=rows,
        sample=sample,
        seconds=each * seconds / workers,
        sidecar_bytes=int(each * len(encode_rows(described, settings))),
        pair_bytes=int(2 * each * sum(map(_size, pairs))),
    )


def _size(pair: Pair) -> int:
    try:
        return len(encoded(pair.image))
    except MediaError:
        return 0
