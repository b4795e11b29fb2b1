"""`chiasm doctor`: what is missing or broken here.

Each question is put to a process of its own, since what is broken may not survive being imported.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from shutil import which

from chiasm.cli.options import Doctor

TORCH = """
import torch
build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "ROCm" if torch.version.hip else "CPU"
gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
print(f"{torch.__version__}, built for {build}, {torch.get_num_threads()} threads, GPU: {', '.join(gpus) or 'none'}")
"""
# asked in a process of its own: a broken one takes whoever imports it along
TORCHVISION = """
from importlib import import_module
print(import_module("torchvision").__version__)
"""
JPEG = """
import io, numpy, simplejpeg
from PIL import Image
file = io.BytesIO()
Image.new("RGB", (16, 16), "red").save(file, "JPEG", quality=95)
assert abs(int(simplejpeg.decode_jpeg(file.getvalue())[8, 8, 0]) - 255) < 8, "wrong colours"
print("simplejpeg decodes")
"""
EMOJI = """
from chiasm.data.sources.emoji import find_font
print(find_font() or "no colour emoji font was found: `--pictures emoji` needs one (Debian: fonts-noto-color-emoji)")
"""


class State(Enum):
    """How bad it is."""

    FINE = "ok"
    NOTE = "--"  # works without
    BROKEN = "!!"


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    state: State
    subject: str
    told: str


def doctor(_asked: Doctor) -> None:
    """Print what was found; raise if Chiasm cannot work like this."""
    findings = [*_findings()]
    for finding in findings:
        print(f"{finding.state.value}  {finding.subject:<12} {finding.told}")
    if broken := [finding.subject for finding in findings if finding.state is State.BROKEN]:
        raise ValueError(f"not everything works: {', '.join(broken)}")


def _findings() -> Iterator[Finding]:
    yield Finding(State.FINE, "python", f"{sys.version.split()[0]} on {sys.platform}")
    yield _asked("torch", TORCH, otherwise=State.BROKEN)
    yield torchvision()
    yield _asked("JPEG", JPEG, otherwise=State.BROKEN)
    yield _asked("emoji font", EMOJI, otherwise=State.NOTE)
    yield ffmpeg()
    yield from _packages()


def _asked(subject: str, question: str, *, otherwise: State) -> Finding:
    """The answer of a fresh interpreter, or the last line of its complaint."""
    command = [sys.executable, "-c", question]
    done = subprocess.run(  # noqa: S603 - our own interpreter, and the questions above
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode == 0:
        return Finding(State.FINE, subject, done.stdout.strip())
    complaint = done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"]
    return Finding(otherwise, subject, complaint[-1])


def torchvision() -> Finding:
    """Chiasm does without; but a build that does not fit torch breaks what imports it, such as transformers."""
    if find_spec("torchvision") is None:
        return Finding(State.FINE, "torchvision", "absent, and not needed")
    found = _asked("torchvision", TORCHVISION, otherwise=State.NOTE)
    if found.state is State.FINE:
        return Finding(State.FINE, "torchvision", f"{found.told}, which is not needed")
    return Finding(State.NOTE, "torchvision", f"broken: {found.told}; nothing here needs it: pip uninstall torchvision")


def ffmpeg() -> Finding:
    """Chiasm runs it nowhere; it makes of videos and sounds what Chiasm reads."""
    if found := which("ffmpeg"):
        return Finding(State.FINE, "ffmpeg", found)
    told = "not found; it helps to make frames of videos and WAV files of sounds, which are what is read here"
    return Finding(State.NOTE, "ffmpeg", told)


def _packages() -> Iterator[Finding]:
    """Versions of what Chiasm stands on."""
    for line in requires("chiasm") or []:
        name = re.split(r"[^\w.-]", line, maxsplit=1)[0]
        if "extra ==" not in line and name != "torch":
            yield _version(name)
    yield _version("chiasm")


def _version(name: str) -> Finding:
    try:
        return Finding(State.FINE, name, version(name))
    except PackageNotFoundError:
        return Finding(State.BROKEN, name, "is not installed: pip install chiasm again")
