"""Deliveries and dead letters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from posthorn.aio.http import AsyncHttp
from posthorn.aio.paging import iterate_pages
from posthorn.call import Call, Time, given, path_of, read_as
from posthorn.models import DeadLetterList, Delivery, DeliveryDetail, DeliveryList, DeliveryStatus, Redelivery


class AsyncDeliveries:
    """``/v1/deliveries``."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def list(
        self,
        *,
        status: Sequence[DeliveryStatus] | None = None,
        webhook_id: str | None = None,
        event_id: str | None = None,
        type: str | None = None,
        from_: Time | None = None,
        to: Time | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> DeliveryList:
        """One page, newest first: ``limit`` (50, at most 200) deliveries made from ``from_`` on and before ``to``."""
        query = given(
            **{
                "status": status,
                "webhookId": webhook_id,
                "eventId": event_id,
                "type": type,
                "from": from_,
                "to": to,
                "limit": limit,
                "cursor": cursor,
            }
        )
        return await self._http.send(Call("GET", "/v1/deliveries", read_as(DeliveryList), query=query))

    def iterate(
        self,
        *,
        status: Sequence[DeliveryStatus] | None = None,
        webhook_id: str | None = None,
        event_id: str | None = None,
        type: str | None = None,
        from_: Time | None = None,
        to: Time | None = None,
        page_limit: int = 200,
    ) -> AsyncIterator[Delivery]:
        """Every delivery that matches, newest first, a page at a time."""
        query = given(
            **{
                "status": status,
                "webhookId": webhook_id,
                "eventId": event_id,
                "type": type,
                "from": from_,
                "to": to,
                "limit": page_limit,
            }
        )
        return iterate_pages(self._http, "/v1/deliveries", DeliveryList, lambda page: page.deliveries, query)

    async def get(self, id: str) -> DeliveryDetail:
        """A delivery with every attempt."""
        return await self._http.send(Call("GET", path_of("/v1/deliveries/{}", id), read_as(DeliveryDetail)))

    async def redeliver(self, id: str) -> Delivery:
        """Sends a delivery again, with a new schedule of retries."""
        return await self._http.send(Call("POST", path_of("/v1/deliveries/{}/redeliver", id), read_as(Delivery)))

    async def redeliver_all(
        self,
        *,
        status: Sequence[DeliveryStatus] | None = None,
        webhook_id: str | None = None,
        event_id: str | None = None,
        type: str | None = None,
        from_: Time | None = None,
        to: Time | None = None,
        dry_run: bool = False,
        rate_per_second: int | None = None,
    ) -> Redelivery:
        """
        Sends all deliveries again that match.

        :param dry_run: only counts them
        :param rate_per_second: at most so many a second, 1 to 10,000
        """
        body = given(
            **{
                "status": status,
                "webhookId": webhook_id,
                "eventId": event_id,
                "type": type,
                "from": from_,
                "to": to,
                "dryRun": dry_run,
                "ratePerSecond": rate_per_second,
            }
        )
        return await self._http.send(Call("POST", "/v1/deliveries/redeliver", read_as(Redelivery), body=body))


class AsyncDeadLetters:
    """``/v1/dead-letters``: deliveries that were given up."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def list(
        self,
        *,
        acknowledged: bool | None = None,
        webhook_id: str | None = None,
        event_id: str | None = None,
        type: str | None = None,
        from_: Time | None = None,
        to: Time | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> DeadLetterList:
        """One page, newest first: ``limit`` (50, at most 200) dead letters."""
        query = given(
            **{
                "acknowledged": acknowledged,
                "webhookId": webhook_id,
                "eventId": event_id,
                "type": type,
                "from": from_,
                "to": to,
                "limit": limit,
                "cursor": cursor,
            }
        )
        return await self._http.send(Call("GET", "/v1/dead-letters", read_as(DeadLetterList), query=query))

    def iterate(
        self,
        *,
        acknowledged: bool | None = None,
        webhook_id: str | None = None,
        event_id: str | None = None,
        type: str | None = None,
        from_: Time | None = None,
        to: Time | None = None,
        page_limit: int = 200,
    ) -> AsyncIterator[Delivery]:
        """Every dead letter that matches, newest first, a page at a time."""
        query = given(
            **{
                "acknowledged": acknowledged,
                "webhookId": webhook_id,
                "eventId": event_id,
                "type": type,
                "from": from_,
                "to": to,
                "limit": page_limit,
            }
        )
        return iterate_pages(self._http, "/v1/dead-letters", DeadLetterList, lambda page: page.dead_letters, query)

    async def retry(self, id: str) -> Delivery:
        """Sends a dead letter again, with a new schedule of retries."""
        return await self._http.send(Call("POST", path_of("/v1/dead-letters/{}/retry", id), read_as(Delivery)))

    async def acknowledge(self, id: str) -> Delivery:
        """Marks a dead letter as seen."""
        path = path_of("/v1/dead-letters/{}/acknowledge", id)
        return await self._http.send(Call("POST", path, read_as(Delivery), does_the_same_again=True))
