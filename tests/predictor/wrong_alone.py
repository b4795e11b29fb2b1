"""Values of another kind than a verb takes, in a process of its own, where no hook checks them before the verb does.

As a program it prints what became of each: the type of the error, and its sentence.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import chiasm

PICTURE = np.zeros((9, 9, 3), dtype=np.uint8)
CALLS: dict[str, tuple[Callable[[Any], Any], str]] = {  # what is asked, and what the sentence must hold
    "prompt=5": (lambda m: m.caption(PICTURE, prompt=5), "prompts must be strings, but int was given"),
    "prompt=[5]": (lambda m: m.caption([PICTURE], prompt=[5]), "prompts must be strings, but number 0 is int"),
    "prompt of two": (lambda m: m.caption(PICTURE, prompt=iter("ab")), "2 prompts and 1 pictures"),
    "images=5": (lambda m: m.caption(5), "a picture is a path, a PIL image, an array or a tensor, but no int"),
    "strategy=None": (lambda m: m.caption(PICTURE, strategy=None), "unknown strategy None. There are: beam"),
    "strategy=[]": (lambda m: m.caption(PICTURE, strategy=[]), "unknown strategy []"),
    "num_beams=2.5": (lambda m: m.caption(PICTURE, num_beams=2.5), "num_beams is 2.5, and a whole number is needed"),
    "num_beams=0": (lambda m: m.caption(PICTURE, num_beams=0), "num_beams is 0, and at least 1 is needed"),
    "length_penalty='x'": (lambda m: m.caption(PICTURE, length_penalty="x"), "length_penalty is 'x', and a number"),
    "max_new_tokens=2.5": (lambda m: m.caption(PICTURE, max_new_tokens=2.5), "max_new_tokens is 2.5, and a whole"),
    "max_new_tokens=None": (lambda m: m.caption(PICTURE, max_new_tokens=None), "max_new_tokens is None, and a whole"),
    "min_new_tokens='1'": (lambda m: m.caption(PICTURE, min_new_tokens="1"), "min_new_tokens is '1', and a whole"),
    "top_p='x'": (lambda m: m.caption(PICTURE, top_p="x"), "top_p is 'x', and a number is needed"),
    "repetition_penalty=None": (lambda m: m.caption(PICTURE, repetition_penalty=None), "repetition_penalty is None"),
    "num_return_sequences=1.5": (lambda m: m.caption(PICTURE, num_return_sequences=1.5), "num_return_sequences is 1.5"),
    "num_return_sequences of none": (lambda m: m.caption([], num_return_sequences=2), "greedy decoding has one text"),
    "seed=1.5": (lambda m: m.caption(PICTURE, seed=1.5), "seed is 1.5, and a whole number is needed"),
    "seed='a'": (lambda m: m.caption(PICTURE, seed="a"), "seed is 'a', and a whole number is needed"),
    "seed=['a']": (lambda m: m.caption([PICTURE], seed=["a"]), "seed 0 is 'a', and a whole number is needed"),
    "seed=[1, 2]": (lambda m: m.caption([PICTURE], seed=[1, 2]), "2 seeds and 1 pictures"),
    "batch_size='3'": (lambda m: m.caption(PICTURE, batch_size="3"), "batch_size is '3', and a whole number"),
    "answer k=0": (lambda m: m.answer(PICTURE, "a", ["b", "c"], k=0), "k is 0, and at least 1 is needed"),
    "answer k=1.5": (lambda m: m.answer(PICTURE, "a", ["b", "c"], k=1.5), "k is 1.5, and a whole number is needed"),
    "questions=None": (lambda m: m.answer(PICTURE, None), "questions must be strings, but NoneType was given"),
    "candidates=5": (lambda m: m.answer(PICTURE, "a", 5), "candidates must be strings, but int was given"),
    "chat=None": (lambda m: m.chat(None), "a conversation is a list of messages"),
    "chat seed=1.5": (lambda m: m.chat([{"role": "user", "content": "a"}], seed=1.5), "seed is 1.5, and a whole"),
    "texts=None": (lambda m: m.match(PICTURE, None), "texts must be strings, but NoneType was given"),
    "labels=None": (lambda m: m.classify(PICTURE, None), "labels must be strings, but NoneType was given"),
    "templates=5": (lambda m: m.classify(PICTURE, "a", 5), "templates must be strings, but int was given"),
    "rerank k=1.5": (lambda m: m.rerank("a", [PICTURE], k=1.5), "k is 1.5, and a whole number is needed"),
    "rerank candidates=None": (lambda m: m.rerank(PICTURE, None), "candidates must be strings, but NoneType was given"),
    "embed texts=5": (lambda m: m.embed(texts=5), "texts must be strings, but int was given"),
    "features batch_size=None": (lambda m: m.features(images=PICTURE, batch_size=None), "batch_size is None"),
}  # fmt: skip
MODELS = ("blip2/tiny", "blip/tiny")  # the first that has the verb is asked


def became(ask: Callable[[Any], Any], models: list[Any]) -> tuple[str, str]:
    """The error, and its sentence."""
    for model in models:
        try:
            return "none", repr(ask(model))
        except chiasm.AbilityError:
            continue
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            return type(error).__name__, str(error)
    return "none", "no model has the verb"


if __name__ == "__main__":
    made = [chiasm.create(name, device="cpu") for name in MODELS]
    told = {name: became(ask, made) for name, (ask, _) in CALLS.items()}
    sys.stdout.write(json.dumps(told))
