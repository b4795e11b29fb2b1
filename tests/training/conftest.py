"""Gives the tests `parts`, under a name that belongs to chiasm."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

NAME, PATH = "chiasm.parts_of_tests", Path(__file__).with_name("parts.py")


@pytest.fixture(scope="session")
def parts() -> ModuleType:
    spec = importlib.util.spec_from_file_location(NAME, PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
    return module
