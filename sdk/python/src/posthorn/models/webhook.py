"""Webhooks: endpoints and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from posthorn.call import Time
from posthorn.errors import FieldError
from posthorn.models.delivery import DeliveryStatus


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """A URL that gets events. Durations are text like ``10s``, times RFC 3339 text."""

    id: str
    url: str
    events: tuple[str, ...]
    """Event types and patterns, in the order given."""
    description: str | None
    is_active: bool
    disabled_reason: Literal["by_user", "gone", "failing"] | None
    wire_format: str | Mapping[str, Any]
    """Name of a preset, or a format of its own."""
    headers: Mapping[str, str] | None
    retry_schedule: tuple[str, ...] | None
    """Waits between attempts; ``None``: the instance's."""
    timeout: str | None
    concurrency: int | None
    metadata: Mapping[str, str] | None
    public_key: str | None
    """``whpk_…`` of a webhook that signs with ed25519."""
    previous_secret_expires_at: str | None
    created_at: str
    updated_at: str


@dataclass(frozen=True, kw_only=True)
class WebhookWithSecret(Webhook):
    """A webhook and its signing secret, which is shown this once."""

    secret: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class WebhookList:
    """A page of webhooks, newest first."""

    webhooks: tuple[Webhook, ...]
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True)
class WebhookTest:
    """What the receiver answered to a test delivery."""

    succeeded: bool
    status_code: int | None
    failure: str | None
    response_body: str | None
    duration_ms: float


@dataclass(frozen=True, kw_only=True)
class WebhookStats:
    """How a webhook fared."""

    hours: int
    """How far it looks back."""
    deliveries: Mapping[str, int]
    """How many are in each status."""
    duration_ms_p50: float | None
    duration_ms_p99: float | None
    success_rate: float | None
    """0 to 1, of the newest 1,000 attempts."""


@dataclass(frozen=True, kw_only=True)
class LastAttempt:
    """The newest attempt of a delivery, as lists show it."""

    id: str
    number: int
    """From 1, over the delivery's whole life."""
    started_at: str
    duration_ms: float
    status_code: int | None
    """None where no response arrived."""
    failure: str | None
    response_body: str | None
    """Its first 200 characters."""


@dataclass(frozen=True, kw_only=True)
class WebhookDelivery:
    """A delivery in the list of its webhook."""

    id: str
    webhook_id: str
    event_id: str
    event_type: str
    status: Literal["pending", "delivered", "failed"]
    state: DeliveryStatus
    """The exact status."""
    reason: str | None
    attempts: int
    max_attempts: int
    url: str
    next_attempt_at: str | None
    last_error: str | None
    created_at: str
    delivered_at: str | None
    ended_at: str | None
    acknowledged_at: str | None
    last_attempt: LastAttempt | None
    """None before the first."""


@dataclass(frozen=True, kw_only=True)
class WebhookDeliveryList:
    """A page of a webhook's deliveries, newest first. ``total`` is counted up to 100,000."""

    deliveries: tuple[WebhookDelivery, ...]
    total: int
    page: int
    page_size: int
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True)
class PublicKey:
    """A key that verifies signatures: ``whpk_…``."""

    key: str
    created_at: str
    expires_at: str | None
    """When it ends; ``None`` for the present one."""


@dataclass(frozen=True, kw_only=True)
class PublicKeyList:
    """The public keys of a webhook, newest first; none where it signs with a shared secret."""

    public_keys: tuple[PublicKey, ...]


@dataclass(frozen=True, kw_only=True)
class ImportedWebhook:
    """A webhook to take over from elsewhere with its id and secret."""

    url: str
    events: Sequence[str]
    id: str | None = None
    secret: str | None = field(default=None, repr=False)
    previous_secret: str | None = field(default=None, repr=False)
    previous_secret_expires_at: Time | None = None
    is_active: bool | None = None
    description: str | None = None
    wire_format: str | Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None
    retry_schedule: Sequence[str] | None = None
    timeout: str | None = None
    concurrency: int | None = None
    metadata: Mapping[str, str] | None = None
    created_at: Time | None = None


@dataclass(frozen=True, kw_only=True)
class ImportResult:
    """What became of one row."""

    index: int
    status: Literal["created", "exists", "invalid"]
    id: str | None
    errors: tuple[FieldError, ...]
    secret: str | None = field(default=None, repr=False)
    """Only where one was made, since the row had none."""


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What an import did, or would do."""

    dry_run: bool
    created: int
    existing: int
    invalid: int
    results: tuple[ImportResult, ...]
