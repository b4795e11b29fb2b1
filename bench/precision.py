"""What halves change of a trained model: captions and retrieval in bf16 against fp32.

    chiasm train recipes/blip.py --steps 400 --out runs/small
    python bench/precision.py runs/small/1-pretrain/model

Pairs are of the made world, of a seed that training did not use.
"""

import argparse

import torch

import chiasm
from chiasm.data.sources import open_source
from chiasm.evaluation.retrieval import equal_texts, retrieval


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
    found = {
        name: _asked(chiasm.load(told.model, device="cpu", dtype=dtype), images, texts)
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
    }
    print("| | fp32 | bf16 |\n|---|---|---|")
    for name in ("tr@1", "ir@1"):
        print(
            f"| {name} of {told.pairs} by cosine | "
            + " | ".join(f"{one[1][name]:.1%}" for one in found.values())
            + " |"
        )
    said, fits = [[one[part] for one in found.values()] for part in (0, 2)]
    same = sum(a == b for a, b in zip(*said, strict=True)) / len(images)
    print(f"\n{same:.1%} of captions are the same, {len(set(said[0]))} different ones; ", end="")
    decided = ((fits[0] > 0.5) == (fits[1] > 0.5)).float().mean().item()
    print(f"{decided:.1%} of the filter's decisions; its probabilities are at most", end=" ")
    print(
        f"{(fits[0] - fits[1]).abs().max().item():.3f} apart, {(fits[0] - fits[1]).abs().mean().item():.4f} in the mean"
    )


def _asked(
    model: chiasm.Predictor, images: list[object], texts: list[str]
) -> tuple[list[str], dict[str, float], torch.Tensor]:
    """Captions, recall by cosine, and how well each picture fits its text and the next one's."""
    cosine = model.embed(images=images) @ model.embed(texts=texts).T
    recall = retrieval(cosine, equal_texts(texts))
    fits = model.match([*images, *images], [*texts, *texts[1:], texts[0]]).itm_prob
    return [one.text for one in model.caption(images)], recall, fits


if __name__ == "__main__":
    main()
