"""A webhook receiver for the tests of what is wrong with a call."""

from collections.abc import Iterator

import pytest

from tests.support.receiver import Receiver, receive


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """Run one receiver for the tests of this module."""
    with receive(tmp_path_factory.mktemp("receiver")) as running:
        yield running
