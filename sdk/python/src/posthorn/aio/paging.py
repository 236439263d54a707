"""Walks lists page by page."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from posthorn.aio.http import AsyncHttp
from posthorn.call import Call, read_as
from posthorn.errors import UnexpectedAnswerError

T = TypeVar("T")


class Page(Protocol):
    """What every list is."""

    @property
    def next_cursor(self) -> str | None: ...


P = TypeVar("P", bound=Page)


async def iterate_pages(
    http: AsyncHttp, path: str, shape: type[P], items: Callable[[P], Iterable[T]], query: Mapping[str, Any]
) -> AsyncIterator[T]:
    """
    Every item from the first page to the last; asks for a page when the one before it is used up.

    :raises UnexpectedAnswerError: the pages go round in circles.
    """
    cursor: str | None = None
    # Brent's search for a cycle: a mark that moves up at powers of two, so that it costs no memory to end such a walk.
    mark: str | None = None
    for number in itertools.count(1):
        asked = query if cursor is None else {**query, "cursor": cursor}
        page = await http.send(Call("GET", path, read_as(shape), query=asked))
        for item in items(page):
            yield item
        cursor = page.next_cursor
        if not cursor:
            return
        if cursor == mark:
            raise UnexpectedAnswerError("The pages of the list go round in circles.", code="UNEXPECTED_ANSWER")
        if number & (number - 1) == 0:
            mark = cursor
