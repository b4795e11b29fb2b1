"""Everything that users get wrong, for every command: one sentence that says what to do, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chiasm.cli.commands import COMMANDS

from .conftest import Call

# words of the command -> exit code and what the sentence must hold
LINES: dict[str, tuple[int, str]] = {
    # numbers
    "caption MODEL pictures/a.png --batch-size 0": (2, "batch_size is 0, and at least 1"),
    "caption MODEL pictures/a.png --batch-size -3": (2, "batch_size is -3"),
    "caption MODEL pictures/a.png --seed 1.5": (2, "--seed takes a whole number, and '1.5' is none"),
    "caption MODEL pictures/a.png --top-p much": (2, "--top-p takes a number, and 'much' is none"),
    "caption MODEL pictures/a.png --top-p nan --strategy nucleus": (2, "top_p is nan"),
    "caption MODEL pictures/a.png --top-p 0 --strategy nucleus": (2, "top_p is 0.0"),
    "caption MODEL pictures/a.png --num-beams 0 --strategy beam": (2, "beams is 0"),
    "caption MODEL pictures/a.png --repetition-penalty nan": (2, "repetition_penalty is nan"),
    "caption MODEL pictures/a.png --repetition-penalty inf": (2, "repetition_penalty is inf"),
    "caption MODEL pictures/a.png --repetition-penalty -1": (2, "repetition_penalty is -1.0"),
    "caption MODEL pictures/a.png --length-penalty nan --strategy beam": (2, "length_penalty is nan"),
    "caption MODEL pictures/a.png --max-new-tokens -1": (2, "max_new_tokens is -1"),
    "caption MODEL pictures/a.png --max-new-tokens 999": (1, "999 new tokens"),
    "caption MODEL pictures/a.png --min-new-tokens 30": (2, "min_new_tokens is 30 and max_new_tokens is 20"),
    "caption nowhere pictures --num-beams 0": (2, "num_beams is 0, and at least 1 is needed"),
    "caption nowhere pictures --num-return-sequences 2": (2, "greedy decoding has one text a picture, not 2"),
    "caption MODEL pictures --max-new-tokens 999": (1, "999 new tokens"),
    "answer nowhere pictures a --max-new-tokens -1": (2, "max_new_tokens is -1"),
    "answer nowhere pictures a --num-beams 0": (2, "num_beams is 0"),
    "classify MODEL pictures/a.png x --top -1": (2, "--top is -1"),
    "classify MODEL pictures/a.png x --top few": (2, "--top takes a whole number, and 'few' is none"),
    "capfilt pictures out --model MODEL --workers 0": (2, "workers is 0"),
    "capfilt pictures out --model MODEL --threshold nan": (2, "threshold is a probability, from 0 to 1, but is nan"),
    "capfilt pictures out --model MODEL --threads 0": (2, "threads is 0"),
    "capfilt plan pictures out --shard-size 0": (2, "shard_size is 0"),
    "capfilt run out --captioner MODEL --filter MODEL --attempts -1": (2, "attempts is -1"),
    "capfilt select run out --threshold 50": (2, "threshold is a probability, from 0 to 1, but is 50.0"),
    "capfilt report run --threshold -1": (2, "but is -1.0"),
    "demo --minutes nan": (2, "--minutes takes a whole number, and 'nan' is none"),
    "demo --minutes -5": (2, "minutes must be at least 1"),
    "demo --noise nan": (2, "but is nan"),
    "demo --seeds 0": (2, "seeds must be at least 1"),
    "capfilt world:single?count=-1 out --model MODEL": (1, "count is -1"),
    "capfilt world:single?count=few out --model MODEL": (1, "count=few"),
    "capfilt world:single?noise=nan out --model MODEL": (1, "noise=nan"),
    # names
    "caption MODEL pictures/a.png --device xpu": (1, "device 'xpu' was asked for"),
    "caption MODEL pictures/a.png --device meta": (1, "device 'meta' was asked for"),
    "caption MODEL pictures/a.png --device cuda:99": (1, "device 'cuda:99' was asked for"),
    "caption MODEL pictures/a.png --dtype float8": (2, "'float8'"),
    "capfilt world:singel out --model MODEL": (1, "did you mean 'single'?"),
    "capfilt world:single?cuont=8 out --model MODEL": (1, "did you mean 'count'?"),
    "demo --world singel": (2, "did you mean 'single'?"),
    "demo --pictures mad": (2, "neither 'made' nor 'emoji' nor a folder"),
    # abilities
    "caption ASKED pictures": (1, "blip/tiny-vqa has no weights to caption with; these have: blip/tiny"),
    "match ASKED pictures a": (1, "no weights to match with"),
    "classify ASKED pictures a": (1, "no weights to classify with"),
    "embed ASKED pictures": (1, "no weights to embed with"),
    "embed ASKED --texts a": (1, "no weights to embed with"),
    "answer MODEL pictures a --out out.csv": (1, "no weights to answer with"),
    # places
    "caption nowhere pictures/a.png": (1, "there is no folder 'nowhere'"),
    "caption blip/tiny pictures/a.png": (1, "chiasm.create('blip/tiny')"),
    "caption pictures pictures/a.png": (1, "pictures has no model yet"),
    "caption pictures/a.png pictures/b.jpg": (1, "pictures/a.png"),
    "caption MODEL nowhere.png": (1, "nowhere.png: No such file or directory"),
    "caption MODEL empty": (1, "empty holds no pictures"),
    "caption MODEL pipe.png": (1, "pipe.png: Is a pipe or a device"),
    "caption MODEL pictures/notes.txt": (1, "is not a picture of any known format"),
    "match MODEL nowhere.png a": (1, "nowhere.png: No such file or directory"),
    "classify MODEL empty a": (1, "empty holds no pictures"),
    "embed MODEL empty": (1, "empty holds no pictures"),
    "caption MODEL pictures/a.png --out some.txt": (2, "--out takes a .csv, a .jsonl or a .parquet file"),
    "caption MODEL pictures/a.png --out file/x.csv": (1, "cannot write file/x.csv: "),
    "caption MODEL pictures/a.png --out folder.csv": (1, "cannot write folder.csv: Is a directory"),
    "embed MODEL --texts a --out folder.csv": (1, "cannot write folder.csv: Is a directory"),
    "capfilt nowhere out --model MODEL": (1, "nowhere does not exist; a source is"),
    "capfilt empty out --model MODEL": (1, "no pairs in empty"),
    "capfilt file out --model MODEL": (1, "file is of no known kind"),
    "capfilt pipe.jsonl out --model MODEL": (1, "pipe.jsonl is of no known kind"),
    "capfilt pipe.parquet out --model MODEL": (1, "pipe.parquet is of no known kind"),
    "capfilt bad.jsonl out --model MODEL": (1, "not UTF-8"),
    "capfilt bad.parquet out --model MODEL": (1, "unreadable parquet"),
    "capfilt plan nowhere out": (1, "nowhere does not exist"),
    "capfilt run nowhere --captioner MODEL --filter MODEL": (1, "nowhere holds no manifest.json"),
    "capfilt run empty --captioner nowhere --filter MODEL": (1, "there is no folder 'nowhere'"),
    "capfilt select nowhere out": (1, "nowhere holds no manifest.json"),
    "capfilt report file": (1, "file holds no manifest.json"),
    "train nowhere.py": (1, "there is no recipe 'nowhere.py'"),
    "train pipe.py": (1, "there is no recipe 'pipe.py'"),
    "train pictures": (2, "no recipe was given"),
    "demo --pictures empty": (1, "no pairs in empty"),
    "demo --out file": (1, "cannot write file/demo.json"),
}


@pytest.fixture
def desk(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that a hurried user may name by mistake."""
    place = pictures.parent
    monkeypatch.chdir(place)
    for name in ("empty", "folder.csv"):
        (place / name).mkdir()
    (place / "file").write_text("words")
    (place / "bad.jsonl").write_bytes(b"\xff\xfe{\n")
    (place / "bad.parquet").write_bytes(b"PAR1 and no more")
    for kind in ("png", "jsonl", "parquet", "py"):
        os.mkfifo(place / f"pipe.{kind}")
    return place


def everything(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*")}


@pytest.mark.parametrize("line", LINES)
def test_a_mistake_is_one_sentence(line: str, call: Call, folder: Path, asked: Path, desk: Path) -> None:
    code, told = LINES[line]
    models = {"MODEL": folder, "ASKED": asked}
    before = everything(desk)
    said = call(*(models.get(word, word) for word in line.split()))
    assert (said.code, said.out) == (code, "")
    assert said.err.startswith("chiasm: ")
    assert len(said.err.splitlines()) == 1
    assert told in said.err
    assert not {"Error:", "Traceback", "--debug", "─", "---"} & {*said.err.split()}
    assert everything(desk) == before


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "train"])
def test_every_command_knows_its_options(name: str, call: Call, desk: Path) -> None:
    before = everything(desk)
    said = call(*name.split(), *"abc", "--no-such-thing", "3")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("chiasm: unknown option '--no-such-thing'")
    assert len(said.err.splitlines()) == 1
    assert everything(desk) == before


def test_a_folder_of_broken_pictures(call: Call, folder: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b\nc.png", "\x1b[31m.png"):
        (tmp_path / name).write_bytes(b"junk")
    said = call("caption", folder, tmp_path, "--out", tmp_path / "out.csv")
    assert said.code == 1
    assert said.err.count("skipped ") == 3
    assert said.err.splitlines()[-1] == "chiasm: none of 3 pictures can be read"
    assert said.err.splitlines()[3].startswith("pictures: 3 of 3 ")
    assert len(said.err.splitlines()) == 5
    assert "\x1b" not in said.err
    told = (tmp_path / "out.csv").read_text()
    assert told.count("known format") == 3
    assert call("caption", folder, tmp_path, "--out", tmp_path / "out.csv").code == 1
    assert (tmp_path / "out.csv").read_text() == told


def test_an_old_answer_outlives_a_failure(call: Call, folder: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert call("caption", folder, pictures, "--out", out).code == 0
    old = out.read_bytes()
    assert call("caption", folder, pictures / "broken.png", "--out", out).code == 1
    assert out.read_bytes() == old
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_names_that_are_no_text(call: Call, folder: Path, pictures: Path, tmp_path: Path) -> None:
    (pictures / "\udcff.png").write_bytes((pictures / "a.png").read_bytes())
    for name in ("out.csv", "out.jsonl"):
        assert call("caption", folder, pictures, "--out", tmp_path / name).code == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [Path(row["picture"]).name for row in rows if "\udcff" in row["picture"]] == ["\udcff.png"]
    assert "\\udcff.png" in (tmp_path / "out.csv").read_text()
    for form in ((), ("--json",)):
        said = call("caption", folder, pictures, *form)
        assert said.code == 0
        assert "\\udcff.png" in said.out


def chiasm(*words: str | Path, **about: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chiasm", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, stdin=subprocess.PIPE, env=os.environ | about
    )


def test_any_terminal(folder: Path, pictures: Path) -> None:
    """Narrow, colourless, of another alphabet."""
    (pictures / "日本.png").write_bytes((pictures / "a.png").read_bytes())
    about = {"COLUMNS": "20", "NO_COLOR": "1", "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    wrong = chiasm("classify", folder, pictures, "x", "--top", "few", **about)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == (
        "chiasm: --top takes a whole number, and 'few' is none; chiasm classify --help tells more\n"
    )
    right = chiasm("match", folder, pictures, "a", "--json", **about)
    assert right.returncode == 0, right.stderr
    names = [Path(json.loads(row)["picture"]).name for row in right.stdout.splitlines()]
    assert "日本.png".encode() in [name.encode("utf-8", "surrogateescape") for name in names]
    assert chiasm("caption", "--help", **about).returncode == 0


@pytest.mark.slow
def test_head_and_ctrl_c(folder: Path, pictures: Path, tmp_path: Path) -> None:
    for i in range(300):
        (pictures / f"{i:03}.png").write_bytes((pictures / "a.png").read_bytes())
    command = [sys.executable, "-m", "chiasm", "caption", str(folder), str(pictures), "--batch-size", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as left:
        assert left.stdout
        assert left.stdout.readline().startswith("picture,")
        left.stdout.close()
        assert left.wait(60) == 141
        assert left.stderr
        assert "Error" not in left.stderr.read()
    out = tmp_path / "out.csv"
    with subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE, text=True) as stopped:
        while not out.exists() or out.read_bytes().count(b"\n") < 3:
            time.sleep(0.05)
        stopped.send_signal(signal.SIGINT)
        assert stopped.wait(60) == 130
        assert stopped.stderr
        told = "chiasm: stopped; with --out, the same command goes on where it stopped"
        assert stopped.stderr.read().splitlines()[-1] == told
    record = json.loads(out.with_name("out.csv.run.json").read_text())
    assert 0 < record["done"] < 304
    assert record["bytes"] == len(out.read_bytes())
