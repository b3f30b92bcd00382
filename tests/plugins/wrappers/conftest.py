"""A network inside a wrapper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

Around = Callable[[Any, nn.Module], nn.Module]


@pytest.fixture
def around() -> Around:
    """Return the function from a wrapper and a network to the wrapped network."""

    def build(wrapper: Any, network: nn.Module) -> nn.Module:
        building = wrapper.build_backbone()
        next(building)
        try:
            building.send(network)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        raise AssertionError("a wrapper yields once")

    return build
