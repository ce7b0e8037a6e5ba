"""A whole service for the tests of this folder."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.integration.service import Service
from tests.integration.sink import Sink


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running service, shared by the tests of a file."""
    service = Service(tmp_path_factory.mktemp("service"))
    try:
        service.start("redis", "api", "worker", "beat")
        yield service
    finally:
        service.stop()


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A running sink."""
    server = Sink()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
