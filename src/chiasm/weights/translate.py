"""Carry out a dialect's rules: their tensors under our names, and ours under theirs, bit for bit."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chiasm.core.dialect import Drop, Own, Rename, Rule, Split, Tied, Transform, Zeros

REST = "pass base= (--base), a model that has the rest"
NUMBERS = ("i", "j")  # what stands in braces


class MisfitError(ValueError):
    """A file's tensors are not a model's: what it lacks, and what is `strange` to the model, in the file's names."""

    def __init__(self, source: object, lacking: Sequence[str], strange: Sequence[str]) -> None:
        lacks, unknown = (", ".join(names) or "nothing" for names in (lacking, strange))
        part = "" if strange else f"; if it holds only what was trained, {REST}"
        told = f"the file lacks {lacks}; this layout does not know: {unknown}{part}"
        super().__init__(f"{source} does not fit the model: {told}")
        self.lacking, self.strange = lacking, strange


@dataclass(frozen=True)
class _Pattern:
    """A path with numbers in it: matches a name that is the path or below it, and can be filled in again."""

    path: str
    regex: re.Pattern[str]

    @staticmethod
    def of(path: str) -> "_Pattern":
        escaped = re.escape(path)
        for number in NUMBERS:
            escaped = escaped.replace(re.escape(f"{{{number}}}"), rf"(?P<{number}>\d+)", 1)
            escaped = escaped.replace(re.escape(f"{{{number}}}"), f"(?P={number})")
        return _Pattern(path, re.compile(rf"{escaped}(?P<rest>\..*)?"))

    def match(self, name: str) -> "Callable[[str], str] | None":
        """Fills another path with the numbers and the rest of `name`; None where it is not ours."""
        found = self.regex.fullmatch(name)
        if found is None:
            return None
        values = found.groupdict()
        rest = values.pop("rest") or ""

        def fill(path: str) -> str:
            for number, value in values.items():
                path = path.replace(f"{{{number}}}", value)
            return path + rest

        return fill


def translate(
    values: Mapping[str, Tensor], rules: Sequence[Rule], *, source: object, wanted: Collection[str] | None = None
) -> dict[str, Tensor]:
    """Their tensors under our names; raises unless every one of them is claimed exactly once.

    Of ours that are `wanted` none may be absent, and there may be no other; what is not so is told by their names.
    """
    table = [(_Pattern.of(rule.theirs), rule) for rule in rules if not isinstance(rule, (Own, Zeros))]
    like = next((value for value in values.values() if value.is_floating_point()), torch.empty(0))
    found = dict[str, Tensor]()
    strange, known = list[str](), {*(wanted or ())}
    for name, value in values.items():
        claims = [(fill, rule) for pattern, rule in table if (fill := pattern.match(name)) is not None]
        if len(claims) > 1:
            raise ValueError(f"{name} in {source} is claimed by {' and '.join(str(rule) for _, rule in claims)}")
        if not claims:
            strange.append(name)
            continue
        fill, rule = claims[0]
        read = dict(_read(rule, fill, value, values, source=f"{name} in {source}"))
        if wanted is not None and not read.keys() <= known:
            strange.append(name)
        if twice := [ours for ours in read if ours in found]:
            raise ValueError(f"{source} holds {twice[0]} twice, the second time as {name}")
        found |= read
    found = _assumed(rules, like=like) | found
    found |= _zeros(rules, found)
    _require(found, wanted, rules, strange, source)
    return found


def _require(
    found: Mapping[str, Tensor],
    wanted: Collection[str] | None,
    rules: Sequence[Rule],
    strange: list[str],
    source: object,
) -> None:
    """Raise what a file lacks, and what it has too much."""
    lacking = [*dict.fromkeys(called(name, rules) for name in wanted or () if name not in found)]
    if lacking or strange:
        raise MisfitError(source, lacking, sorted(strange))


def claimed(names: Iterable[str], rules: Sequence[Rule]) -> int:
    """How many of these names the rules know."""
    table = [_Pattern.of(rule.theirs).regex for rule in rules if not isinstance(rule, (Own, Zeros))]
    return sum(any(regex.fullmatch(name) for regex in table) for name in names)


def called(ours: str, rules: Sequence[Rule]) -> str:
    """What others call a tensor, or what holds it; our own name where they have none."""
    for rule in rules:
        match rule:
            case Rename() | Transform():
                homes = (rule.ours,)
            case Split():
                homes = rule.ours
            case Zeros():  # as many as what they are like, which is what a file holds
                if fill := _Pattern.of(rule.ours).match(ours):
                    return called(fill(rule.like), rules)
                continue
            case _:
                continue
        if fill := next((fill for home in homes if (fill := _Pattern.of(home).match(ours))), None):
            return fill(rule.theirs)
    return ours


def untranslate(values: Mapping[str, Tensor], rules: Sequence[Rule], *, source: object) -> dict[str, Tensor]:
    """Our tensors under their names: the inverse of `translate`, but for what it drops."""
    written: dict[str, Tensor] = {}
    own = [_Pattern.of(rule.ours) for rule in rules if isinstance(rule, (Own, Zeros))]
    left = {name for name in values if not any(pattern.match(name) for pattern in own)}
    for rule in rules:
        if isinstance(rule, (Drop, Tied, Own, Zeros)):
            continue
        for theirs, ours in _homes(rule, values):
            if absent := [name for name in ours if name not in left]:
                raise ValueError(f"{source} lacks {', '.join(absent)}, or two rules write it, the last one {rule}")
            left.difference_update(ours)
            written[theirs] = _write(rule, [values[name] for name in ours])
    if left:
        raise ValueError(f"{source} holds what this layout has no name for: {', '.join(sorted(left))}")
    for rule in rules:
        if isinstance(rule, Tied):
            written |= _copies(rule, written)
    return written


def _assumed(rules: Sequence[Rule], *, like: Tensor) -> dict[str, Tensor]:
    """What is ours alone, or may be lacking, and yet known."""
    known = {rule.ours: rule.value for rule in rules if isinstance(rule, (Own, Rename))}
    return {name: like.new_tensor(value) for name, value in known.items() if value is not None}


def _zeros(rules: Sequence[Rule], found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is ours alone and changes nothing."""
    table = [(_Pattern.of(rule.like), rule) for rule in rules if isinstance(rule, Zeros)]
    claims = ((pattern.match(name), rule, value) for name, value in found.items() for pattern, rule in table)
    return {fill(rule.ours): torch.zeros_like(value) for fill, rule, value in claims if fill is not None}


def _homes(rule: Rename | Split | Transform, values: Mapping[str, Tensor]) -> Iterator[tuple[str, list[str]]]:
    """Names that the rule writes, and what of ours goes into each."""
    first, *more = rule.ours if isinstance(rule, Split) else (rule.ours,)
    pattern = _Pattern.of(first)
    for name in values:
        fill = pattern.match(name)
        if fill is not None:
            yield fill(rule.theirs), [name, *map(fill, more)]


def _read(
    rule: Rename | Split | Transform | Tied | Drop,
    fill: Callable[[str], str],
    value: Tensor,
    values: Mapping[str, Tensor],
    *,
    source: str,
) -> Iterator[tuple[str, Tensor]]:
    match rule:
        case Rename():
            yield fill(rule.ours), value
        case Transform():
            yield fill(rule.ours), rule.forward(value)
        case Split():
            whole = rule.forward(value)
            if len(whole) % len(rule.ours):
                raise ValueError(f"{source} has {len(whole)} rows, which do not make {len(rule.ours)} equal parts")
            yield from zip(map(fill, rule.ours), whole.chunk(len(rule.ours)), strict=True)
        case Tied():
            same = values.get(fill(rule.same))
            if same is not None and not torch.equal(same, value):
                raise ValueError(f"{source} should equal {fill(rule.same)}, but differs: their weights are not shared")
        case Drop():
            pass


def _write(rule: Rename | Split | Transform, values: list[Tensor]) -> Tensor:
    match rule:
        case Rename():
            return values[0]
        case Transform():
            return rule.inverse(values[0])
        case Split():
            return rule.inverse(torch.cat(values))


def _copies(rule: Tied, written: Mapping[str, Tensor]) -> dict[str, Tensor]:
    pattern = _Pattern.of(rule.same)
    fills = {name: fill for name in written if (fill := pattern.match(name)) is not None}
    return {fill(rule.theirs): written[name] for name, fill in fills.items()}
