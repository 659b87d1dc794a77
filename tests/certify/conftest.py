"""What the tests of the certification share."""

import pytest

from tests.certify.reader_world import World
from tests.cli.desk import laid


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return the keys and certificates around a meter and its reader."""
    return World.of(laid(tmp_path_factory.mktemp("desk")))
