"""What a verified delivery says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from posthorn.formats import Envelope


@dataclass(frozen=True, kw_only=True)
class ReceivedEvent:
    """
    An event as it arrived. The same event arrives again where your answer was lost: remember the ids you have handled.

    ``id`` and ``type`` of the format ``lexigram`` come from headers that its signature does not cover.
    """

    id: str | None
    """``None`` where the format sends none (``grantiva``)."""
    type: str | None
    occurred_at: str | None
    data: Any
    """The payload; the whole body, where it does not have the shape of its format."""


def read_event(envelope: Envelope, body: bytes, headers: Mapping[str, str]) -> ReceivedEvent | None:
    """``headers`` by lower-case name. ``None`` where the body is not JSON."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    members = content if isinstance(content, dict) else {}
    return ReceivedEvent(
        id=_text(members, envelope.id) or _header(headers, envelope.id_header),
        type=_text(members, envelope.type) or _header(headers, envelope.type_header),
        occurred_at=_text(members, envelope.occurred_at),
        data=members[envelope.data] if envelope.data in members else content,
    )


def _text(members: Mapping[str, Any], name: str | None) -> str | None:
    value = None if name is None else members.get(name)
    return value if isinstance(value, str) else None


def _header(headers: Mapping[str, str], name: str | None) -> str | None:
    return None if name is None else headers.get(name.lower())
