# Generated from posthorn/aio by generate_sync.py; do not edit.
"""Webhooks: URLs that get events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from posthorn.sync.http import Http
from posthorn.sync.paging import iterate_pages
from posthorn.call import Call, Time, changes, given, idempotency_key_of, path_of, read_as, read_nothing
from posthorn.models import (
    DeliveryCount,
    DeliveryStatus,
    ImportedWebhook,
    ImportReport,
    PublicKeyList,
    Webhook,
    WebhookDelivery,
    WebhookDeliveryList,
    WebhookList,
    WebhookStats,
    WebhookTest,
    WebhookWithSecret,
)
from posthorn.unset import UNSET, Unset


class Webhooks:
    """``/v1/webhooks``."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def create(
        self,
        *,
        url: str,
        events: Sequence[str],
        description: str | None = None,
        is_active: bool | None = None,
        wire_format: str | Mapping[str, Any] | None = None,
        secret: str | None = None,
        headers: Mapping[str, str] | None = None,
        retry_schedule: Sequence[str] | None = None,
        timeout: str | None = None,
        concurrency: int | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> WebhookWithSecret:
        """
        Makes a webhook. Its secret is in the answer, this once.

        :param url: absolute, at most 2,048 characters
        :param events: types and patterns: ``order.created``, ``order.*``, ``*``
        :param wire_format: a preset's name or a format of your own; default that of the tenant
        :param secret: one of your own, as the format wants it; else one is made
        :param retry_schedule: waits between attempts: ``["5s", "5m"]``
        :param timeout: longest that one attempt may take: ``10s``
        :param idempotency_key: a repeat with the same key gets the same webhook, for 24 hours
        """
        body = given(
            url=url,
            events=_patterns(events),
            description=description,
            isActive=is_active,
            wireFormat=wire_format,
            secret=secret,
            headers=headers,
            retrySchedule=retry_schedule,
            timeout=timeout,
            concurrency=concurrency,
            metadata=metadata,
        )
        key = idempotency_key_of(idempotency_key)
        call = Call("POST", "/v1/webhooks", read_as(WebhookWithSecret), body=body, idempotency_key=key)
        return self._http.send(call)

    def list(self, *, limit: int | None = None, cursor: str | None = None) -> WebhookList:
        """One page, newest first: ``limit`` (50, at most 200) webhooks."""
        query = given(limit=limit, cursor=cursor)
        return self._http.send(Call("GET", "/v1/webhooks", read_as(WebhookList), query=query))

    def iterate(self, *, page_limit: int = 200) -> Iterator[Webhook]:
        """Every webhook, newest first, a page at a time."""
        query = given(limit=page_limit)
        return iterate_pages(self._http, "/v1/webhooks", WebhookList, lambda page: page.webhooks, query)

    def get(self, id: str) -> Webhook:
        """A webhook, without its secret."""
        return self._http.send(Call("GET", path_of("/v1/webhooks/{}", id), read_as(Webhook)))

    def update(
        self,
        id: str,
        *,
        url: str | Unset = UNSET,
        events: Sequence[str] | Unset = UNSET,
        description: str | None | Unset = UNSET,
        is_active: bool | Unset = UNSET,
        wire_format: str | Mapping[str, Any] | None | Unset = UNSET,
        secret: str | Unset = UNSET,
        headers: Mapping[str, str] | None | Unset = UNSET,
        retry_schedule: Sequence[str] | None | Unset = UNSET,
        timeout: str | None | Unset = UNSET,
        concurrency: int | None | Unset = UNSET,
        metadata: Mapping[str, str] | None | Unset = UNSET,
    ) -> Webhook:
        """Changes what is given; ``None`` takes away what was set."""
        body = changes(
            url=url,
            events=events if isinstance(events, Unset) else _patterns(events),
            description=description,
            isActive=is_active,
            wireFormat=wire_format,
            secret=secret,
            headers=headers,
            retrySchedule=retry_schedule,
            timeout=timeout,
            concurrency=concurrency,
            metadata=metadata,
        )
        return self._http.send(Call("PATCH", path_of("/v1/webhooks/{}", id), read_as(Webhook), body=body))

    def delete(self, id: str) -> None:
        """Deletes a webhook. What was not delivered yet is cancelled; its history stays."""
        self._http.send(Call("DELETE", path_of("/v1/webhooks/{}", id), read_nothing))

    def test(self, id: str, *, type: str | None = None, data: Any = UNSET) -> WebhookTest:
        """Sends a test delivery now, once, and tells what the receiver answered."""
        body = {**given(type=type), **changes(data=data)}
        return self._http.send(Call("POST", path_of("/v1/webhooks/{}/test", id), read_as(WebhookTest), body=body))

    def rotate_secret(
        self, id: str, *, grace_period: str | None = None, secret: str | None = None
    ) -> WebhookWithSecret:
        """
        Gives a webhook a new secret, which is in the answer, this once.

        :param grace_period: how long the old one signs too: ``0s`` to ``7d``, default ``24h``
        :param secret: one of your own; else one is made
        """
        body = given(gracePeriod=grace_period, secret=secret)
        path = path_of("/v1/webhooks/{}/rotate-secret", id)
        return self._http.send(Call("POST", path, read_as(WebhookWithSecret), body=body))

    def enable(self, id: str) -> Webhook:
        """Lets a webhook receive again; what was held for it is sent."""
        path = path_of("/v1/webhooks/{}/enable", id)
        return self._http.send(Call("POST", path, read_as(Webhook), does_the_same_again=True))

    def disable(self, id: str) -> Webhook:
        """Holds what comes for a webhook until it is enabled."""
        path = path_of("/v1/webhooks/{}/disable", id)
        return self._http.send(Call("POST", path, read_as(Webhook), does_the_same_again=True))

    def replay(
        self,
        id: str,
        *,
        status: Sequence[DeliveryStatus] | None = None,
        from_: Time | None = None,
        to: Time | None = None,
    ) -> DeliveryCount:
        """Sends again what a webhook did not get, or what has one of the statuses given."""
        body = given(**{"status": status, "from": from_, "to": to})
        path = path_of("/v1/webhooks/{}/replay", id)
        return self._http.send(Call("POST", path, read_as(DeliveryCount), body=body))

    def deliveries(
        self,
        id: str,
        *,
        status: str | None = None,
        page: int | None = None,
        page_size: int | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> WebhookDeliveryList:
        """
        One page of a webhook's deliveries, newest first, by number (``page``, ``page_size``) or by cursor.

        :param status: ``pending``, ``delivered`` or ``failed``, or an exact status
        """
        query = given(status=status, page=page, pageSize=page_size, limit=limit, cursor=cursor)
        path = path_of("/v1/webhooks/{}/deliveries", id)
        return self._http.send(Call("GET", path, read_as(WebhookDeliveryList), query=query))

    def iterate_deliveries(
        self, id: str, *, status: str | None = None, page_limit: int = 200
    ) -> Iterator[WebhookDelivery]:
        """Every delivery of a webhook, newest first, a page at a time."""
        query = given(status=status, limit=page_limit)
        path = path_of("/v1/webhooks/{}/deliveries", id)
        return iterate_pages(self._http, path, WebhookDeliveryList, lambda page: page.deliveries, query)

    def stats(self, id: str) -> WebhookStats:
        """How a webhook fared in the last 24 hours."""
        return self._http.send(Call("GET", path_of("/v1/webhooks/{}/stats", id), read_as(WebhookStats)))

    def public_keys(self, id: str) -> PublicKeyList:
        """The keys that verify what a webhook gets, newest first. Anybody may ask; no API key is sent."""
        path = path_of("/v1/webhooks/{}/public-keys", id)
        return self._http.send(Call("GET", path, read_as(PublicKeyList), is_public=True))

    def import_(self, webhooks: Sequence[ImportedWebhook], *, dry_run: bool = False) -> ImportReport:
        """
        Takes over 1 to 500 webhooks with their ids and secrets. A bad row stops no other; a row that is there already
        is left as it is, so a repeat does no harm.

        :param dry_run: only says what would become of each
        """
        body = {"webhooks": [_imported(webhook) for webhook in webhooks], "dryRun": dry_run}
        return self._http.send(Call("POST", "/v1/webhooks/import", read_as(ImportReport), body=body))


def _patterns(events: Sequence[str]) -> Sequence[str]:
    """A text is a sequence of characters too, and `events="*"` a slip that should not become `["*"]` by luck."""
    if isinstance(events, str):
        raise TypeError(f"events is a list of event types, for example [{events!r}]")
    return events


def _imported(webhook: ImportedWebhook) -> dict[str, Any]:
    return given(
        url=webhook.url,
        events=_patterns(webhook.events),
        id=webhook.id,
        secret=webhook.secret,
        previousSecret=webhook.previous_secret,
        previousSecretExpiresAt=webhook.previous_secret_expires_at,
        isActive=webhook.is_active,
        description=webhook.description,
        wireFormat=webhook.wire_format,
        headers=webhook.headers,
        retrySchedule=webhook.retry_schedule,
        timeout=webhook.timeout,
        concurrency=webhook.concurrency,
        metadata=webhook.metadata,
        createdAt=webhook.created_at,
    )
