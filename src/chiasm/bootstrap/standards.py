"""What a picture and its web text must be like to be considered at all, whatever a filter says: metadata decides."""

from array import array
from dataclasses import dataclass

import numpy as np

from chiasm.bootstrap.sidecar import Row, Status
from chiasm.data.duplicates import first_alike

COPY = 3  # bits in which the hashes of two copies of a picture differ at most


@dataclass(frozen=True, kw_only=True)
class Standards:
    """The least that is asked for; the defaults ask for nothing. What a person wrote always stays."""

    min_side: int = 0  # pixels of the shorter side
    min_blur: float = 0.0  # the variance of the Laplacian: below 50 most pictures look soft
    languages: tuple[str, ...] = ()  # of web texts; none: any

    def __post_init__(self) -> None:
        if self.min_side < 0 or self.min_blur < 0:
            raise ValueError(f"min_side and min_blur are 0 or more, but are {self.min_side} and {self.min_blur}")

    def picture(self, row: Row) -> bool:
        """Whether the picture is large and sharp enough."""
        if row.width is None or row.height is None or row.blur is None:
            return row.status is Status.HUMAN
        return min(row.width, row.height) >= self.min_side and row.blur >= self.min_blur

    def web(self, row: Row) -> bool:
        """Whether the web's text is in a language that is wanted."""
        return not self.languages or row.language in self.languages


ANY = Standards()


class Looks:
    """The pictures of a run by what they look like, to find those that are there already."""

    def __init__(self) -> None:
        self.rows, self.hashes, self.names = array("q"), array("Q"), list[str]()

    def add(self, index: int, row: Row) -> None:
        """Take row `index` of the source in."""
        if row.hash is not None:
            self.rows.append(index)
            self.hashes.append(row.hash)
            self.names.append(row.id)

    def copies(self) -> frozenset[int]:
        """Rows of the pictures that look like another one whose id comes first."""
        order = sorted(range(len(self.names)), key=self.names.__getitem__)
        hashes = np.array([self.hashes[place] for place in order], np.uint64)
        first = first_alike(hashes, within=COPY)
        return frozenset(self.rows[order[i]] for i, leader in enumerate(first.tolist()) if leader != i)
