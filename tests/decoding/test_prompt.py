"""Padding of prompts."""

from collections.abc import Callable
from typing import Any

import torch

from chiasm.decoding.prompt import opening, read


def test_padding_is_painted_over_and_told_only_where_there_is_some(make_scene: Callable[..., Any]) -> None:
    scene, presents = make_scene(prompts=[(0, 3), (0,)]), list[object]()
    speak = scene.toy.speak
    scene.toy.speak = lambda ids, state, present=None: (presents.append(present), speak(ids, state, present))[1]
    assert opening(scene.text).tolist() == [[0, 3], [0, 0]]
    padded, _ = read(scene.toy, scene.seen, scene.text)
    scene.toy.widths.clear()
    _, seen, text = scene.alone(1)
    alone, _ = read(scene.toy, seen, text)
    assert torch.is_tensor(presents[0])
    assert presents[1] is None
    torch.testing.assert_close(padded[1], alone[0])
