"""What halves change of a trained model: captions and retrieval in bf16 against fp32.

    chiasm train recipes/blip.py --steps 400 --out runs/small
    python bench/precision.py runs/small/1-pretrain/model

The third column is what rounding the weights does by itself. Pairs are of the made world, of a seed that training did
not use.
"""

import argparse

import torch

import chiasm
from chiasm.data.sources import open_source
from chiasm.evaluation.retrieval import equal_texts, retrieval

Said = tuple[list[str], dict[str, float], torch.Tensor]


def main() -> None:
    """Ask the same model twice, print."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("model")
    ask.add_argument("--pairs", type=int, default=256)
    told = ask.parse_args()
    torch.set_num_threads(1)
    source = open_source(f"world:single?count={told.pairs}&seed=977")
    pairs = [source[i] for i in range(len(source))]
    images, texts = [pair.image for pair in pairs], [pair.text for pair in pairs]
    half = chiasm.load(told.model, device="cpu", dtype=torch.bfloat16)
    wide, *others = [
        _asked(chiasm.load(told.model, device="cpu", dtype=torch.float32), images, texts),
        _asked(half, images, texts),
        _asked(half.to(dtype=torch.float32), images, texts),
    ]
    print("| | fp32 | bf16 | fp32, of weights rounded to bf16 |\n|---|---|---|---|")
    for name in ("tr@1", "ir@1"):
        print(
            f"| {name} of {told.pairs} by cosine | "
            + " | ".join(f"{one[1][name]:.1%}" for one in (wide, *others))
            + " |"
        )
    for what, share in (("captions as in fp32", _same_captions), ("decisions as in fp32", _same_decisions)):
        print(f"| {what} | | " + " | ".join(f"{share(wide, one):.1%}" for one in others) + " |")
    far = [(wide[2] - one[2]).abs() for one in others]
    print(
        "| probabilities apart, at most (mean) | | " + " | ".join(f"{x.max():.4f} ({x.mean():.5f})" for x in far) + " |"
    )
    print(f"\n{len(set(wide[0]))} different captions")


def _same_captions(one: Said, other: Said) -> float:
    return sum(a == b for a, b in zip(one[0], other[0], strict=True)) / len(one[0])


def _same_decisions(one: Said, other: Said) -> float:
    return ((one[2] > 0.5) == (other[2] > 0.5)).float().mean().item()


def _asked(model: chiasm.Predictor, images: list[object], texts: list[str]) -> Said:
    """Captions, recall by cosine, and how well each picture fits its text and the next one's."""
    cosine = model.embed(images=images) @ model.embed(texts=texts).T
    recall = retrieval(cosine, equal_texts(texts))
    fits = model.match([*images, *images], [*texts, *texts[1:], texts[0]]).itm_prob
    return [one.text for one in model.caption(images)], recall, fits


if __name__ == "__main__":
    main()
