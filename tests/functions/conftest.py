from __future__ import annotations

from collections.abc import Iterator

import pytest

from .support import World


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.loop.stop()


@pytest.fixture
def shop(world: World) -> World:
    """Anna's session `shop` is connected."""
    world.add_session(state="connected", code="connected", phone="14155550100")
    return world
