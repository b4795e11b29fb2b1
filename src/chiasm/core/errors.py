"""What can go wrong for a user, in one sentence each."""

import difflib
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any


class AbilityError(ValueError):
    """A model was asked for something that its tensors cannot do."""


class MediaError(ValueError):
    """A picture, or another thing of some `kind`, cannot be read: which one, where it lies, and why."""

    def __init__(self, index: int, path: str, reason: str, kind: str = "picture") -> None:
        super().__init__(f"{kind} {index} ({path}): {reason}")
        self.index, self.path, self.reason, self.kind = index, path, reason, kind

    def __reduce__(self) -> tuple[type, tuple[int, str, str, str]]:
        return MediaError, (self.index, self.path, self.reason, self.kind)


def unknown(kind: str, name: Any, choices: Iterable[str]) -> ValueError:
    """`unknown preset 'tny'; did you mean 'tiny'? There are: base, large, tiny`."""
    known = sorted(choices)
    alike = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(str(name).casefold(), alike, n=1, cutoff=0.5)
    hint = f"; did you mean {alike[near[0]]!r}?" if near else "."
    return ValueError(f"unknown {kind} {name!r}{hint} There are: {', '.join(known)}")


def check_whole(name: str, value: Any, *, least: int | None = None) -> None:
    """Raise a sentence where a value is no whole number, or less than the `least` that makes sense."""
    if not isinstance(value, Integral):
        raise ValueError(f"{name} is {value!r}, and a whole number is needed")
    if least is not None and int(value) < least:
        raise ValueError(f"{name} is {value}, and at least {least} is needed")


def check_number(name: str, value: Any) -> None:
    """Raise a sentence where a value is no number."""
    if not isinstance(value, Real):
        raise ValueError(f"{name} is {value!r}, and a number is needed")
