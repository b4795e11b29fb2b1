"""The hub, played by a server on this machine: names, revisions, tokens, and what is said when one is wrong."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import close_session, constants

from chiasm.weights.hub import fetch, fetch_words

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"config.json": b"{}", "model.safetensors": b"weights" * 1000, "pytorch_model.bin": b"pickle", "notes.md": b"?"}
OLD = {"config.json": b"{}", "pytorch_model.bin": b"pickle"}
OPEN = {"open_clip_model.safetensors": b"again"}
TWICE = {"config.json": b"{}", "model.safetensors": b"weights", **OPEN}
REPOS = {"us/blip": FILES, "us/old": OLD, "us/secret": FILES, "us/twice": TWICE, "us/open": OPEN}


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as a download needs."""

    asked: list[str] = []  # noqa: RUF012 one list for all requests

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        self.asked.append(f"{self.command} {self.path}")
        parts = self.path.partition("?")[0].strip("/").split("/")
        name = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        if name not in REPOS or (name == "us/secret" and self.headers.get("Authorization") != "Bearer key"):
            self.send(401, {"X-Error-Code": "RepoNotFound"}, b"{}", body=body)
        elif parts[0] == "api":
            self.about(name, parts, body=body)
        else:
            self.file(REPOS[name], "/".join(parts[4:]), body=body)

    def about(self, name: str, parts: list[str], *, body: bool) -> None:
        if "revision" in parts and parts[-1] not in {"main", COMMIT}:
            self.send(404, {"X-Error-Code": "RevisionNotFound"}, b"{}", body=body)
            return
        if "tree" in parts:
            listed = [
                {"type": "file", "path": file, "size": len(data), "oid": "a"} for file, data in REPOS[name].items()
            ]
            self.send(200, {}, json.dumps(listed).encode(), body=body)
            return
        siblings = [{"rfilename": file} for file in REPOS[name]]
        self.send(200, {}, json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode(), body=body)

    def file(self, files: dict[str, bytes], file: str, *, body: bool) -> None:
        if file not in files:
            self.send(404, {"X-Error-Code": "EntryNotFound"}, b"", body=body)
            return
        self.send(200, {"ETag": f'"{file}"', "X-Repo-Commit": COMMIT}, files[file], body=body)

    def send(self, status: int, headers: dict[str, str], data: bytes, *, body: bool) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the name it has
        pass


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    home = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", home)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", home + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", home)
    Hub.asked.clear()
    yield home
    close_session()
    server.shutdown()
    server.server_close()


def test_safetensors_come_and_pickles_stay_behind() -> None:
    folder = fetch("us/blip")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    Hub.asked.clear()
    assert fetch("us/blip", revision=COMMIT, offline=True) == folder
    assert not Hub.asked


def test_a_pickle_is_fetched_where_there_is_nothing_else() -> None:
    assert (fetch("us/old") / "pytorch_model.bin").read_bytes() == b"pickle"


def test_words_come_without_weights() -> None:
    assert [path.name for path in fetch_words("us/blip").iterdir()] == ["config.json"]
    with pytest.raises(ValueError, match=r"us/old at revision abc is not in the hub's cache either"):
        fetch_words("us/old", revision="abc", offline=True)


def test_weights_come_in_one_form() -> None:
    """What LAION publishes holds them twice: for transformers and for OpenCLIP."""
    assert sorted(path.name for path in fetch("us/twice").iterdir()) == ["config.json", "model.safetensors"]
    assert [path.name for path in fetch("us/open").iterdir()] == ["open_clip_model.safetensors"]


def test_a_private_model_needs_its_token() -> None:
    with pytest.raises(
        ValueError, match=r"no folder 'us/secret', and the hub has no such model.* a private model needs token="
    ):
        fetch("us/secret")
    assert fetch("us/secret", token="key").is_dir()


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("us/blipp", {}, r"no folder 'us/blipp', and the hub has no such model: look for a misspelling"),
        ("us/blip", {"revision": "never"}, r"the hub has us/blip, but no revision 'never'"),
        ("no way//", {}, r"'no way//' is neither a path that exists nor a name such as 'owner/model'"),
        ("us/blip", {"offline": True}, r"us/blip is not in the hub's cache either, and offline nothing is fetched"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(name: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        fetch(name, **options)


def test_no_network_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ValueError, match=r"no folder 'us/blip', .* and the hub cannot be reached: fetch it once"):
        fetch("us/blip")
