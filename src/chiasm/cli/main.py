"""From words to an exit code: 0 for done, 1 for failed, 2 for a wrong command line, 3 for done but for what cannot be.

Ctrl-C is 130, as a shell has it.
An error is one sentence on stderr; `--debug` shows where it came from.
"""

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import chiasm
from chiasm.cli.commands import COMMANDS, find, is_group, overview
from chiasm.cli.errors import LeftOutError, UsageError, one_line

HELP = {"--help", "-h", "help"}
BROKEN_PIPE = 141  # what a shell reports for a program whose reader has left


def main(words: Sequence[str] | None = None) -> int:
    """Do what the words say."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what the terminal's alphabet lacks
    given = [*(sys.argv[1:] if words is None else words)]
    debug = "--debug" in given
    given = [word for word in given if word != "--debug"]
    try:
        _do(given)
        sys.stdout.flush()
    except SystemExit as stop:  # help was asked for, and given
        return stop.code if isinstance(stop.code, int) else 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit would complain
        return BROKEN_PIPE
    except KeyboardInterrupt:
        _tell(f"stopped; {_again(given)}")
        return 130
    except Exception as error:
        if debug:
            raise
        _tell(_sentence(error))
        return 2 if isinstance(error, UsageError) else 3 if isinstance(error, LeftOutError) else 1
    return 0


def resolve(where: str) -> Any:
    """What `module:name` names."""
    module, _, name = where.partition(":")
    return vars(import_module(module))[name]


def _do(words: list[str]) -> None:
    if not words:
        raise UsageError("no command was given; chiasm --help lists them")
    if words[0] in HELP:
        print(overview())
    elif is_group(words[0]) and words[1:2] and words[1] in HELP:
        print(overview(words[0]))
    elif words[0] == "--version":
        print(f"chiasm {chiasm.__version__}")
    else:
        name, rest = find(words)
        command = COMMANDS[name]
        parse = resolve("chiasm.cli.parse:parse")
        if command.options:
            given = parse(resolve(command.options), rest, prog=f"chiasm {name}")
            resolve(command.work)(given)
        elif rest[:1] and rest[0] in HELP:
            parse(resolve(command.about), ["--help"], prog=f"chiasm {name}")
        else:
            resolve(command.work)(rest)


def _again(words: list[str]) -> str:
    try:
        return COMMANDS[find(words)[0]].again
    except UsageError:
        return "nothing was begun"


def _sentence(error: Exception) -> str:
    match error:
        case OSError(filename=str(path), strerror=str(reason)):
            told = f"{path}: {reason}"
        case ValueError() | OSError():
            told = str(error)
        case _:
            told = f"{type(error).__name__}: {error} (run it again with --debug to see where)"
    return one_line(told)


def _tell(text: str) -> None:
    print(f"chiasm: {text}", file=sys.stderr)
