"""Commands give what the library gives, in the form that was asked for, and go on past broken pictures."""

import csv
import io
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

import chiasm
from chiasm.cli.pictures import find
from chiasm.core.files import OutputError
from chiasm.data.sources import open_source
from chiasm.data.writers import write_parquet
from chiasm.weights.folder import save_model

from .conftest import Call


def table(text: str) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(text))]


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_one_picture_is_plain_text_or_json(call: Call, folder: Path, pictures: Path) -> None:
    model = chiasm.load(folder)
    expected = model.caption(pictures / "a.png")
    assert call("caption", folder, pictures / "a.png").out == f"{expected.text}\n"
    (row,) = lines(call("caption", folder, pictures / "a.png", "--json").out)
    logprob = pytest.approx(expected.logprob, abs=1e-3)
    assert row == {"picture": str(pictures / "a.png"), "caption": expected.text, "logprob": logprob}
    assert call("caption", folder, pictures / "a.png").err == ""


def test_commands_take_what_load_takes(call: Call, folder: Path, pictures: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("tokenizer.json"))
    picture, words = pictures / "a.png", folder / "tokenizer.json"
    given = ["--tokenizer", words, "--itm-token", "cls", "--preprocess", "exact", "--revision", "main", "--offline"]
    (row,) = lines(call("match", bare, picture, "a red circle", "--json", *given).out)
    model = chiasm.load(folder, itm_token="cls", preprocess="exact")
    fit = model.match(picture, "a red circle")
    assert row["itm_prob"] == pytest.approx(fit.itm_prob.item())
    assert row["itc_cosine"] == pytest.approx(fit.itc_cosine.item())
    for other in (chiasm.load(folder, itm_token="cls"), chiasm.load(folder, preprocess="exact")):
        assert other.match(picture, "a red circle").itm_prob.item() != fit.itm_prob.item()
    said = call("match", bare, pictures, "a red circle", "--offline")
    assert (said.code, said.out) == (1, "")
    assert "give it one as tokenizer= (--tokenizer)" in said.err
    assert len(said.err.splitlines()) == 1
    said = call("caption", "no/such", picture, "--offline")
    assert said.code == 1
    assert "not in the hub's cache" in said.err


def readable(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [row for row in rows if not row["error"]]


def test_a_folder_is_a_table_that_names_its_broken_pictures(call: Call, folder: Path, pictures: Path) -> None:
    said = call("caption", folder, pictures, "--batch-size", 2)
    names = ["a.png", "b.jpg", "inside/c.png"]
    captions = chiasm.load(folder).caption([pictures / name for name in names])
    assert said.code == 0
    assert [(row["picture"], row["caption"]) for row in readable(table(said.out))] == [
        (str(pictures / name), one.text) for name, one in zip(names, captions, strict=True)
    ]
    (broken,) = [row for row in table(said.out) if row["error"]]
    assert (broken["picture"], broken["caption"], broken["logprob"]) == (str(pictures / "broken.png"), "", "")
    assert broken["error"] == "is not a picture of any known format"
    assert f"skipped {pictures / 'broken.png'}: " in said.err
    assert said.err.endswith("4 pictures, 1 skipped\n")


@pytest.mark.parametrize("options", [[], ["--strategy", "beam", "--num-beams", 2], ["--strategy", "nucleus"]])
def test_options_reach_the_model(call: Call, folder: Path, pictures: Path, options: list[str]) -> None:
    known = [pictures / "a.png", pictures / "b.jpg"]
    names = {name[2:].replace("-", "_"): value for name, value in zip(options[::2], options[1::2], strict=True)}
    expected = chiasm.load(folder).caption(known, "a red", seed=4, max_new_tokens=5, **names)
    said = call("caption", folder, *known, "--prompt", "a red", "--seed", 4, "--max-new-tokens", 5, *options)
    assert [row["caption"] for row in table(said.out)] == [one.text for one in expected]


def test_a_broken_picture_moves_no_seed(call: Call, folder: Path, pictures: Path) -> None:
    places = [pictures / name for name in ("a.png", "broken.png", "b.jpg")]
    words = ["--strategy", "nucleus", "--batch-size", 1]
    broken = table(call("caption", folder, *places, *words).out)
    (pictures / "broken.png").write_bytes((pictures / "a.png").read_bytes())
    mended = table(call("caption", folder, *places, *words).out)
    assert [row["caption"] for row in readable(broken)] == [mended[0]["caption"], mended[2]["caption"]]


def test_when_nothing_can_be_read(call: Call, folder: Path, pictures: Path, tmp_path: Path) -> None:
    broken = pictures / "broken.png"
    for words, told in (
        ([broken], str(broken)),
        ([tmp_path / "missing.png"], "No such file or directory"),
        ([pictures / "notes.txt"], "is not a picture"),
    ):
        said = call("caption", folder, *words)
        assert (said.code, said.out) == (1, "")
        assert told in said.err.splitlines()[-1]
    said = call("caption", folder, broken, tmp_path / "missing.png")
    assert (said.code, len(table(said.out)), readable(table(said.out))) == (1, 2, [])
    assert said.err.splitlines()[-1] == "chiasm: none of 2 pictures can be read"
    (tmp_path / "empty").mkdir()
    assert "holds no pictures" in call("embed", folder, tmp_path / "empty").err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["no/where", "a.png"], "there is no folder 'no/where'"),
        (["blip/tiny", "a.png"], "chiasm.create('blip/tiny')"),
        (["FOLDER", "a.png", "--device", "cpuu"], "'cpuu' is no device"),
        (["FOLDER", "a.png", "--top-p", "2", "--strategy", "nucleus"], "top_p is 2.0"),
        (["FOLDER", "a.png", "--max-new-tokens", "100"], "100 new tokens"),
        (["FOLDER", "a.png", "--batch-size", "0"], "batch_size is 0"),
        (["FOLDER", "a.png", "--out", "a.txt"], "a .csv, a .jsonl or a .parquet file"),
    ],
)
def test_what_the_model_refuses_is_one_line(
    call: Call, folder: Path, pictures: Path, words: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures)
    said = call("caption", *(str(folder) if word == "FOLDER" else word for word in words))
    assert said.code in {1, 2}
    assert said.out == ""
    assert told in said.err
    assert len(said.err.splitlines()) == 1


def test_match_is_every_text_with_every_picture(call: Call, folder: Path, pictures: Path) -> None:
    texts = ["a red circle", "two, dogs"]
    rows = readable(table(call("match", folder, pictures, *texts).out))
    assert [(Path(row["picture"]).name, row["text"]) for row in rows] == [
        (name, text) for name in ("a.png", "b.jpg", "c.png") for text in texts
    ]
    fit = chiasm.load(folder).match(pictures / "b.jpg", texts)
    assert [float(row["itm_prob"]) for row in rows[2:4]] == pytest.approx(fit.itm_prob, abs=1e-5)
    assert [float(row["itc_cosine"]) for row in rows[2:4]] == pytest.approx(fit.itc_cosine, abs=1e-5)
    plain = call("match", folder, pictures / "b.jpg", *texts).out.splitlines()
    assert plain[1].endswith("  two, dogs")
    assert f"itm_prob {fit.itm_prob[1]:.4f}" in plain[1]


def test_classify_is_best_first(call: Call, folder: Path, pictures: Path) -> None:
    labels = ["cat", "dog", "red"]
    ranking = chiasm.load(folder).classify(pictures / "a.png", labels, "a picture of a {}")
    words = ("classify", folder, pictures / "a.png", *labels, "--template", "a picture of a {}")
    rows = lines(call(*words, "--json").out)
    assert tuple(row["label"] for row in rows) == ranking.items
    assert [row["probability"] for row in rows] == pytest.approx(ranking.scores, abs=1e-5)
    assert call(*words, "--top", 1).out == f"{ranking.scores[0]:.4f}  {ranking.items[0]}\n"
    averaged = chiasm.load(folder).classify(pictures / "a.png", labels, "imagenet")
    rows = lines(call(*words[:-1], "imagenet", "--json").out)
    assert [row["probability"] for row in rows] == pytest.approx(averaged.scores, abs=1e-5)


def test_embed_gives_vectors_of_pictures_or_texts(call: Call, folder: Path, pictures: Path, tmp_path: Path) -> None:
    model = chiasm.load(folder)
    for name in ("deep/er/v.jsonl", "v.csv"):
        said = call("embed", folder, pictures, "--out", tmp_path / name)
        assert (said.code, said.out) == (0, "")
        text = (tmp_path / name).read_text()
        found = (
            [row["vector"] for row in lines(text) if not row["error"]]
            if name.endswith("l")
            else [[float(row[f"vector_{i}"]) for i in range(64)] for row in readable(table(text))]
        )
        expected = model.embed(images=[pictures / one for one in ("a.png", "b.jpg", "inside/c.png")])
        torch.testing.assert_close(torch.tensor(found), expected, atol=1e-5, rtol=0)
    rows = lines(call("embed", folder, "--texts", "a red circle", "two", "--json").out)
    assert [row["text"] for row in rows] == ["a red circle", "two"]
    vectors = torch.tensor([row["vector"] for row in rows])
    torch.testing.assert_close(vectors, model.embed(texts=["a red circle", "two"]), atol=1e-5, rtol=0)


def test_several_vectors_of_a_picture_are_lists_or_columns(call: Call, pictures: Path, tmp_path: Path) -> None:
    model = chiasm.create("blip2/tiny-aligner", device="cpu")
    save_model(tmp_path / "blip2", model.module, model.card, model.tokenizer)
    expected = model.embed(images=[pictures / one for one in ("a.png", "b.jpg", "inside/c.png")])
    for name in ("v.jsonl", "v.csv", "v.parquet"):
        assert call("embed", tmp_path / "blip2", pictures, "--out", tmp_path / name).code == 0
    nested = [row["vector"] for row in lines((tmp_path / "v.jsonl").read_text()) if not row["error"]]
    rows = readable(table((tmp_path / "v.csv").read_text()))
    flat = [[[float(row[f"vector_{i}_{j}"]) for j in range(64)] for i in range(8)] for row in rows]
    column = pq.read_table(tmp_path / "v.parquet")["vector"].drop_null().to_pylist()
    for found in (nested, flat, column):
        torch.testing.assert_close(torch.tensor(found), expected, atol=1e-5, rtol=0)
    said = call("embed", tmp_path / "blip2", pictures / "a.png").out
    assert [float(number) for number in said.split()] == pytest.approx(expected[0].flatten().tolist(), abs=1e-5)


def test_precision_can_be_chosen(call: Call, folder: Path, pictures: Path) -> None:
    whole = lines(call("embed", folder, pictures / "a.png", "--json").out)[0]["vector"]
    half = lines(call("embed", folder, pictures / "a.png", "--json", "--dtype", "bfloat16").out)[0]["vector"]
    assert half != whole
    assert half == pytest.approx(whole, abs=0.05)


def test_a_place_that_cannot_be_written(call: Call, folder: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = call("caption", folder, pictures, "--out", tmp_path / "file" / "x.csv")
    assert said.code == 1
    assert said.err.startswith(f"chiasm: cannot write {tmp_path / 'file' / 'x.csv'}")
    with pytest.raises(OutputError):
        call("caption", folder, pictures, "--out", tmp_path / "file" / "x.csv", "--debug")


def test_questions_about_one_picture_and_about_many(call: Call, asked: Path, pictures: Path) -> None:
    model, questions, known = chiasm.load(asked), ["what colour?", "how many?"], ["red", "two", "a star"]
    said = call("answer", asked, pictures / "a.png", *questions, "--candidates", *known)
    assert said.out.split("\n")[:2] == [one.text for one in model.answer(pictures / "a.png", questions, known)]
    rows = readable(table(call("answer", asked, pictures, *questions, "--max-new-tokens", 4).out))
    expected = model.answer(pictures / "b.jpg", questions, max_new_tokens=4)
    assert [(row["question"], row["answer"]) for row in rows[2:4]] == [
        (question, one.text) for question, one in zip(questions, expected, strict=True)
    ]
    assert len(rows) == 6
    (row,) = lines(call("answer", asked, pictures / "a.png", questions[0], "--json").out)
    assert set(row) == {"picture", "question", "answer", "logprob"}


def test_questions_that_cannot_be_answered(call: Call, asked: Path, folder: Path, pictures: Path) -> None:
    assert call("answer", asked, pictures / "a.png").code == 2
    said = call("answer", folder, pictures / "a.png", "what colour?")
    assert (said.code, said.err.count("\n")) == (1, 1)
    assert "no weights to answer with" in said.err
    both = call("answer", asked, pictures / "a.png", "what colour?", "--second", pictures / "b.jpg")
    assert both.code == 0


def test_several_captions_a_picture(call: Call, folder: Path, pictures: Path) -> None:
    words = ("--strategy", "beam", "--num-beams", 4, "--num-return-sequences", 3, "--max-new-tokens", 5)
    options = {"strategy": "beam", "num_beams": 4, "num_return_sequences": 3, "max_new_tokens": 5}
    rows = readable(table(call("caption", folder, pictures, *words).out))
    said = chiasm.load(folder).caption([pictures / name for name in ("a.png", "b.jpg", "inside/c.png")], **options)
    assert [(row["caption"], float(row["logprob"])) for row in rows] == [
        (one.text, round(one.logprob, 4)) for each in said for one in each
    ]
    alone = call("caption", folder, pictures / "a.png", *words)
    assert alone.out.splitlines() == [one.text for one in said[0]]
    assert "greedy decoding has one text" in call("caption", folder, pictures, "--num-return-sequences", 2).err


def test_lengths_and_log_probabilities(call: Call, folder: Path, pictures: Path) -> None:
    model = chiasm.load(folder)
    for least, most in ((0, 1), (3, 3), (6, 9)):
        said = call(
            "caption", folder, pictures / "a.png", "--min-new-tokens", least, "--max-new-tokens", most, "--json"
        )
        (row,) = lines(said.out)
        expected = model.caption(pictures / "a.png", min_new_tokens=least, max_new_tokens=most)
        assert (row["caption"], row["logprob"]) == (expected.text, round(expected.logprob, 4))


def test_sources_of_pairs_are_pictures_too(call: Call, folder: Path, pictures: Path, tmp_path: Path) -> None:
    rows = [{"image": name, "text": "x", "id": f"id-{name}"} for name in ("b.jpg", "a.png", "broken.png")]
    (pictures / "list.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = open_source(pictures / "list.jsonl")
    write_parquet((source[row] for row in range(len(source))), tmp_path / "shop" / "pairs.parquet")
    plain = readable(table(call("caption", folder, pictures / "b.jpg", pictures / "a.png").out))
    for place in (pictures / "list.jsonl", tmp_path / "shop" / "pairs.parquet", tmp_path / "shop"):
        found = table(call("caption", folder, place).out)
        assert [(row["picture"], row["caption"]) for row in readable(found)] == [
            (f"id-{name}", one["caption"]) for name, one in zip(("b.jpg", "a.png"), plain, strict=True)
        ]
        assert found[2]["error"] == "is not a picture of any known format"
    assert len(table(call("embed", folder, "world:single?count=5").out)) == 5
    said = call("caption", folder, pictures, pictures / "list.jsonl")
    assert (said.code, "goes alone" in said.err) == (2, True)
    assert "mix" in call("caption", folder, "mix:nowhere", "--out", tmp_path / "x.csv").err


def test_pictures_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("b.png", "a/z.png", "a/b/c.jpg", "a.png", "a-b/x.png", "B.PNG", "a/notes.txt", "empty/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "round").symlink_to(tmp_path)
    found = find([str(tmp_path)])
    expected = sorted(path for path in tmp_path.rglob("*") if path.suffix.lower() in {".png", ".jpg"})
    assert [found[i][0] for i in range(len(found))] == [str(path) for path in expected]
    assert found.fingerprint != find([str(tmp_path / "a")]).fingerprint
