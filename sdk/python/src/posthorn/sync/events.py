# Generated from posthorn/aio by generate_sync.py; do not edit.
"""Events: sending them, and looking at what was sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from posthorn.sync.http import Http
from posthorn.sync.paging import iterate_pages
from posthorn.call import Call, Time, given, idempotency_key_of, path_of, read_as
from posthorn.models import DeliveryCount, Event, EventDetail, EventList, NewEvent, Published, PublishedBatch


class Events:
    """``/v1/events``."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def send(
        self,
        *,
        type: str,
        data: Any,
        id: str | None = None,
        occurred_at: Time | None = None,
        category: str | None = None,
        group: str | None = None,
        source: str | None = None,
        idempotency_key: str | None = None,
    ) -> Published:
        """
        Sends an event. When this returns, event and deliveries are on disk.

        :param type: ``order.created``
        :param data: anything that JSON can hold
        :param id: your own id, instead of ``evt_…``; an id is accepted once, and a repeat gets the same answer
        :param occurred_at: default now
        :param category: default the first segment of the type
        :param group: ties related events together
        :param idempotency_key: makes a repeat by your own program safe; repeats made here always are
        """
        event = NewEvent(
            type=type, data=data, id=id, occurred_at=occurred_at, category=category, group=group, source=source
        )
        key = idempotency_key_of(idempotency_key)
        call = Call("POST", "/v1/events", read_as(Published), body=_event(event), idempotency_key=key)
        return self._http.send(call)

    def send_batch(self, events: Sequence[NewEvent], *, idempotency_key: str | None = None) -> PublishedBatch:
        """Sends 1 to 1,000 events, all or none. The answer has one entry for each, in their order."""
        body = {"events": [_event(event) for event in events]}
        key = idempotency_key_of(idempotency_key)
        call = Call("POST", "/v1/events/batch", read_as(PublishedBatch), body=body, idempotency_key=key)
        return self._http.send(call)

    def list(
        self,
        *,
        type: str | None = None,
        group: str | None = None,
        from_: Time | None = None,
        to: Time | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> EventList:
        """One page, newest first: ``limit`` (50, at most 200) events accepted from ``from_`` on and before ``to``."""
        query = given(**{"type": type, "group": group, "from": from_, "to": to, "limit": limit, "cursor": cursor})
        return self._http.send(Call("GET", "/v1/events", read_as(EventList), query=query))

    def iterate(
        self,
        *,
        type: str | None = None,
        group: str | None = None,
        from_: Time | None = None,
        to: Time | None = None,
        page_limit: int = 200,
    ) -> Iterator[Event]:
        """Every event that matches, newest first, a page at a time."""
        query = given(**{"type": type, "group": group, "from": from_, "to": to, "limit": page_limit})
        return iterate_pages(self._http, "/v1/events", EventList, lambda page: page.events, query)

    def get(self, id: str) -> EventDetail:
        """An event with its payload and its deliveries."""
        return self._http.send(Call("GET", path_of("/v1/events/{}", id), read_as(EventDetail)))

    def replay(self, id: str, *, webhook_id: str | None = None) -> DeliveryCount:
        """Sends an event again, to all its webhooks or only to one."""
        path = path_of("/v1/events/{}/replay", id)
        return self._http.send(Call("POST", path, read_as(DeliveryCount), body=given(webhookId=webhook_id)))


def _event(event: NewEvent) -> dict[str, Any]:
    others = given(
        id=event.id,
        occurredAt=event.occurred_at,
        category=event.category,
        group=event.group,
        source=event.source,
        idempotencyKey=event.idempotency_key,
    )
    # `data` may be null.
    return {"type": event.type, "data": event.data, **others}
