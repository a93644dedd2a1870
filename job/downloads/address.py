"""A download's address as it may be shown: without what lets others in."""

import re
from urllib.parse import urlsplit, urlunsplit

_MASK = "***"
_VALUES = re.compile(r"=[^&]*")


def shown(url: str) -> str:
    """Mask an address's password and the values of its query, a signature among them."""
    try:
        parts = urlsplit(url)
    except ValueError:  # "http://[": nothing in it can be told apart.
        return _MASK
    user, at, host = parts.netloc.rpartition("@")
    if at:
        host = f"{user.partition(':')[0]}:{_MASK}@{host}" if ":" in user else f"{_MASK}@{host}"
    query = (
        _VALUES.sub(f"={_MASK}", parts.query) if "=" in parts.query else _MASK * bool(parts.query)
    )
    return urlunsplit((parts.scheme, host, parts.path, query, _MASK * bool(parts.fragment)))
