"""Events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from posthorn.call import Time
from posthorn.models.delivery import Delivery


@dataclass(frozen=True, kw_only=True)
class NewEvent:
    """An event to send; see ``events.send`` for its members."""

    type: str
    data: Any
    id: str | None = None
    occurred_at: Time | None = None
    category: str | None = None
    group: str | None = None
    source: str | None = None
    idempotency_key: str | None = None
    """For events of a batch, each its own."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """An event was accepted: it is on disk, and so are its deliveries."""

    id: str
    deliveries: int
    """Webhooks it goes to."""


@dataclass(frozen=True, kw_only=True)
class PublishedBatch:
    """Events were accepted, in the order given."""

    events: tuple[Published, ...]


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happened. Times are RFC 3339 text."""

    id: str
    """The publisher's own id, or ``evt_…``."""
    type: str
    occurred_at: str
    category: str | None
    group: str | None
    source: str | None
    created_at: str


@dataclass(frozen=True, kw_only=True)
class EventDetail(Event):
    """An event with its payload and its deliveries."""

    data: Any
    deliveries: tuple[Delivery, ...]
    """The newest 1,000."""


@dataclass(frozen=True, kw_only=True)
class EventList:
    """A page of events, newest first."""

    events: tuple[Event, ...]
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True)
class DeliveryCount:
    """How many deliveries were sent on their way again."""

    deliveries: int


@dataclass(frozen=True, kw_only=True)
class EventType:
    """A type in the catalogue."""

    name: str
    description: str | None
    schema: Mapping[str, Any] | None
    """JSON Schema of ``data``; ``None`` takes anything."""
    examples: tuple[Any, ...]
    is_archived: bool
    created_at: str
    updated_at: str


@dataclass(frozen=True, kw_only=True)
class EventTypeList:
    """A page of the catalogue, by name."""

    event_types: tuple[EventType, ...]
    next_cursor: str | None
