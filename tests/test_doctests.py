"""The examples in docstrings print what they show, and what library users rely on has some."""

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

import umi_cli

PUBLIC = (
    "umi_cli",
    "umi_cli.connecting",
    "umi_cli.device.credentials",
    "umi_cli.device.info",
    "umi_cli.device.meter",
    "umi_cli.errors",
    "umi_cli.objects.catalogue",
    "umi_cli.transports.base",
    "umi_cli.types",
)
"""Modules that the README's section on Python names, or hands out objects of."""

EXTRAS = {"matplotlib", "pkcs11", "psycopg", "spidev", "gpiod"}


def modules() -> list[str]:
    found = pkgutil.walk_packages(umi_cli.__path__, "umi_cli.")
    return ["umi_cli", *(each.name for each in found if not each.name.endswith("__main__"))]


def examples_of(module: ModuleType) -> list[doctest.DocTest]:
    return [test for test in doctest.DocTestFinder().find(module) if test.examples]


@pytest.mark.parametrize("name", modules())
def test_examples_print_what_they_show(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        pytest.skip(f"{error.name} is not installed")
    for test in examples_of(module):
        told: list[str] = []
        outcome = doctest.DocTestRunner().run(test, out=told.append)
        assert not outcome.failed, "".join(told)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_has_examples(name: str) -> None:
    assert examples_of(importlib.import_module(name)), name
