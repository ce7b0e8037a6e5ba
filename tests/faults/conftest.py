"""The tests of this folder break a whole service; they start it as the integration tests do."""

from tests.integration.conftest import service, sink

__all__ = ["service", "sink"]
