"""The sandbox: strangers' Python, contained by the kernel. Importing this is cheap."""

from __future__ import annotations

TYPE_CHECKING = False  # typing is not loaded for this: a zygote has no use for it, and each fork would cost more
if TYPE_CHECKING:
    from typing import Any

    from tasks.sandbox.client import Sandbox, SandboxUnavailable
    from tasks.sandbox.inputs import check_arguments

__all__ = ["Sandbox", "SandboxUnavailable", "check_arguments"]


def __getattr__(name: str) -> Any:
    # On first use: the zygote imports this package too, and must not pay for the host side.
    if name == "check_arguments":
        from tasks.sandbox.inputs import check_arguments

        return check_arguments
    if name in __all__:
        from tasks.sandbox import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
