"""What can go wrong for a user, in one sentence each."""

import difflib
from collections.abc import Iterable


class AbilityError(ValueError):
    """A model was asked for something that its tensors cannot do."""


class MediaError(ValueError):
    """A picture, or another thing of some `kind`, cannot be read: which one, where it lies, and why."""

    def __init__(self, index: int, path: str, reason: str, kind: str = "picture") -> None:
        super().__init__(f"{kind} {index} ({path}): {reason}")
        self.index, self.path, self.reason, self.kind = index, path, reason, kind

    def __reduce__(self) -> tuple[type, tuple[int, str, str, str]]:
        return MediaError, (self.index, self.path, self.reason, self.kind)


def unknown(kind: str, name: str, choices: Iterable[str]) -> ValueError:
    """`unknown preset 'tny'; did you mean 'tiny'? There are: base, large, tiny`."""
    known = sorted(choices)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return ValueError(f"unknown {kind} {name!r}{hint} There are: {', '.join(known)}")
