"""What the tests of the certification share."""

import pytest
from hypothesis import HealthCheck, settings

from tests.certify.reader_world import World
from tests.cli.desk import laid

# No test here may depend on how busy the machine is.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return the keys and certificates around a meter and its reader."""
    return World.of(laid(tmp_path_factory.mktemp("desk")))
