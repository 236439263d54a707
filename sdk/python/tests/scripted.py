"""A server that answers as it is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from posthorn import Posthorn
from tests.receiver import Received, Receiver

Reply = tuple[int, dict[str, str], bytes]

Serve = Callable[..., tuple[Receiver, Posthorn]]
"""Starts a server with a script, and a client for it."""


def reply(status: int, body: Any = None, **headers: str) -> Reply:
    """A status of 0 breaks the connection in the middle of the answer."""
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, content


class Script:
    """Gives these answers in turn, and the last one for ever."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)

    def __call__(self, request: Received) -> Reply:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
