"""Deliveries and their attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

DeliveryStatus = Literal["pending", "sending", "held", "delivered", "dead_letter", "cancelled"]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Where the time of an attempt went, in milliseconds; ``None`` for what was not needed or not reached."""

    dns_ms: float | None
    connect_ms: float | None
    tls_ms: float | None
    first_byte_ms: float | None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One HTTP exchange of a delivery."""

    id: str
    number: int
    """From 1, over the delivery's whole life."""
    started_at: str
    duration_ms: float
    succeeded: bool
    status_code: int | None
    failure: str | None
    """Why there is no complete response: ``connect_refused``, ``timeout``, …"""
    remote_address: str | None
    timing: Timing
    response_headers: Mapping[str, str]
    response_body: str | None
    """The first 16 KiB at most."""
    response_truncated: bool
    note: str | None = None
    """For operators: what tenants are not told."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One event for one webhook."""

    id: str
    webhook_id: str
    event_id: str
    event_type: str
    status: DeliveryStatus
    reason: str | None
    """Why it is ``held``, ``cancelled`` or a ``dead_letter``."""
    attempts: int
    next_attempt_at: str | None
    last_error: str | None
    created_at: str
    ended_at: str | None
    acknowledged_at: str | None


@dataclass(frozen=True, kw_only=True)
class DeliveryDetail(Delivery):
    """A delivery with every attempt."""

    url: str | None
    attempt_log: tuple[Attempt, ...]


@dataclass(frozen=True, kw_only=True)
class DeliveryList:
    """A page of deliveries, newest first."""

    deliveries: tuple[Delivery, ...]
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True)
class DeadLetterList:
    """A page of dead letters, newest first."""

    dead_letters: tuple[Delivery, ...]
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True)
class Redelivery:
    """What a bulk redelivery matched."""

    deliveries: int
    dry_run: bool
