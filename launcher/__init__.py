"""What runs on a person's machine: settings, manifests, and everything done with a cluster.

This package never imports TensorFlow. Only `launcher/api/connection.py` imports `kubernetes`, and
only when a command asks for a cluster. Of `job` it uses `contract`, `storage` and the few pure
modules that tests/test_walls.py names.
"""

from typing import TYPE_CHECKING

from launcher.version import VERSION

if TYPE_CHECKING:
    from launcher.client import Client

__version__ = VERSION

__all__ = ["Client", "__version__"]


def __getattr__(name: str) -> object:
    """Give `Client` to who asks for it: commands start without it."""
    if name == "Client":
        from launcher.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
