"""The catalogue of event types."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from posthorn.aio.http import AsyncHttp
from posthorn.aio.paging import iterate_pages
from posthorn.call import Call, given, path_of, read_as, read_nothing
from posthorn.models import EventType, EventTypeList


class AsyncEventTypes:
    """``/v1/event-types``."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def list(self, *, limit: int | None = None, cursor: str | None = None) -> EventTypeList:
        """One page, by name: ``limit`` (50, at most 200) types."""
        query = given(limit=limit, cursor=cursor)
        return await self._http.send(Call("GET", "/v1/event-types", read_as(EventTypeList), query=query))

    def iterate(self, *, page_limit: int = 200) -> AsyncIterator[EventType]:
        """The whole catalogue, by name, a page at a time."""
        query = given(limit=page_limit)
        return iterate_pages(self._http, "/v1/event-types", EventTypeList, lambda page: page.event_types, query)

    async def get(self, name: str) -> EventType:
        """A type."""
        return await self._http.send(Call("GET", path_of("/v1/event-types/{}", name), read_as(EventType)))

    async def create(
        self,
        *,
        name: str,
        description: str | None = None,
        schema: Mapping[str, Any] | None = None,
        examples: Sequence[Any] | None = None,
        is_archived: bool | None = None,
    ) -> EventType:
        """Registers a type; see :meth:`put` for the parameters. Raises ``ConflictError`` where it is there already."""
        body = given(name=name, description=description, schema=schema, examples=examples, isArchived=is_archived)
        return await self._http.send(Call("POST", "/v1/event-types", read_as(EventType), body=body))

    async def put(
        self,
        name: str,
        *,
        description: str | None = None,
        schema: Mapping[str, Any] | None = None,
        examples: Sequence[Any] | None = None,
        is_archived: bool | None = None,
    ) -> EventType:
        """
        Registers a type or replaces it.

        :param schema: JSON Schema (draft 2020-12) that ``data`` must match; ``None`` takes anything
        :param examples: payloads, each matching the schema
        :param is_archived: true refuses new events of this type
        """
        body = given(description=description, schema=schema, examples=examples, isArchived=is_archived)
        path = path_of("/v1/event-types/{}", name)
        return await self._http.send(Call("PUT", path, read_as(EventType), body=body))

    async def delete(self, name: str) -> None:
        """Takes a type out of the catalogue."""
        await self._http.send(Call("DELETE", path_of("/v1/event-types/{}", name), read_nothing))
