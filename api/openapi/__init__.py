"""The OpenAPI description: a few words beside each route, the shapes of what is sent and shown, and the document."""

from __future__ import annotations

from api.openapi import examples
from api.openapi.operation import Answer, Operation, Parameter, describe, described

__all__ = ["Answer", "Operation", "Parameter", "describe", "described", "examples"]
