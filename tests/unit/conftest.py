"""The API over a real Store, called without a server in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.store import Store
from tests.api import Api, make_api


@pytest.fixture
def api(store: Store, tmp_path: Path) -> Iterator[Api]:
    """The application of production over an empty Redis, with a bell that nobody hears."""
    api = make_api(store, tmp_path)
    yield api
    api.close()
