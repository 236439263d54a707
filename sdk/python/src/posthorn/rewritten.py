"""Why a body may not match: the usual ways in which it was changed between the socket and the check."""

from __future__ import annotations

import json
from collections.abc import Iterator

# Past this, looking for the cause would cost more than it tells; a stranger decides how long a body is.
_MAX_BYTES = 64 * 1024


def rewritings(body: bytes) -> Iterator[bytes]:
    """What ``body`` may have been before it was parsed and written again, or got white space around it."""
    if len(body) > _MAX_BYTES:
        return
    yield from _others(body, body.strip(), body.removeprefix(b"\xef\xbb\xbf"), body.replace(b"\r\n", b"\n"))
    try:
        content = json.loads(body)
        compact = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        escaped = json.dumps(content, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return
    yield from _others(body, compact, escaped)


def _others(body: bytes, *originals: bytes) -> Iterator[bytes]:
    return (original for original in originals if original != body)
