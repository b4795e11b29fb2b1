"""What decides the bytes of a run."""

from dataclasses import dataclass

from chiasm.core.errors import unknown

STRATEGIES = ("beam", "greedy", "nucleus")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Who captions, who filters, and how.

    The paper's are the defaults: one caption a picture by nucleus sampling, p = 0.9 (BLIP,
    arXiv:2201.12086, section 3.3 and table 2). Batch and threads are here because they may move the
    last bit of a score.
    """

    captioner: str  # whatever the loader of models understands: a folder, a hub id
    filter: str
    strategy: str = "nucleus"
    top_p: float = 0.9
    max_new_tokens: int = 20
    captions: int = 1  # for each prompt
    prompts: tuple[str, ...] = ("",)  # what captions are continuations of; not part of them
    seed: int = 0
    languages: bool = False  # tell the language of every web text
    batch: int = 32
    threads: int = 1  # of torch, in each worker

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise unknown("strategy", self.strategy, STRATEGIES)
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must lie above 0 and not above 1, but is {self.top_p}")
        for name in ("batch", "threads", "max_new_tokens", "captions"):
            if (value := vars(self)[name]) < 1:
                raise ValueError(f"{name} must be at least 1, but is {value}")
        if self.captions > 1 and self.strategy != "nucleus":
            raise ValueError(
                f"{self.captions} captions by {self.strategy} would all be the same; nucleus draws new ones"
            )
        if not self.prompts or len({*self.prompts}) < len(self.prompts):
            raise ValueError(f"prompts must be one or more, each another one, but are {list(self.prompts)}")
