"""A call of the API as a value: what to send, and how to read the answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

from posthorn.decode import decode
from posthorn.unset import UNSET

T = TypeVar("T")

Time = str | datetime
"""RFC 3339 text, or a ``datetime`` that knows its zone."""

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request. ``answer`` reads the JSON of a 2xx; of a 204 it gets ``None``."""

    method: str
    path: str
    answer: Callable[[Any], T]
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = UNSET
    idempotency_key: str | None = None
    does_the_same_again: bool = False
    """A POST that may be repeated without an idempotency key, as the second does nothing more."""
    headers: Mapping[str, str] = field(default_factory=dict)
    is_public: bool = False
    """Sent without the API key."""

    @property
    def may_repeat(self) -> bool:
        """True where a repeat is safe although nobody knows whether the first was done."""
        return self.method != "POST" or self.idempotency_key is not None or self.does_the_same_again

    def content(self) -> bytes | None:
        """
        The body's bytes.

        :raises ValueError: the data has NaN, Infinity or half a surrogate pair, which JSON cannot hold.
        :raises TypeError: the data has something that is no JSON.
        """
        if self.body is UNSET:
            return None
        text = json.dumps(self.body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode()


def read_as(shape: type[T]) -> Callable[[Any], T]:
    """Reads an answer as a dataclass; see :func:`posthorn.decode.decode`."""
    return lambda value: decode(shape, value)


def read_nothing(_: Any) -> None:
    """Reads an answer without a body."""


def path_of(template: str, *names: str) -> str:
    """
    ``path_of("/v1/webhooks/{}/test", id)``, with the ids percent-encoded.

    :raises ValueError: an id is empty, ``.`` or ``..``, which would name another resource.
    """
    for name in names:
        if not isinstance(name, str) or name in ("", ".", ".."):
            raise ValueError(f"an id or name must be text that is not empty, and this is {name!r}")
    return template.format(*(quote(name, safe="") for name in names))


def given(**members: Any) -> dict[str, Any]:
    """The members that are neither ``None`` nor ``UNSET``, as JSON."""
    return {name: to_json(value) for name, value in members.items() if value is not None and value is not UNSET}


def changes(**members: Any) -> dict[str, Any]:
    """The members that are not ``UNSET``, as JSON; ``None`` becomes ``null``."""
    return {name: to_json(value) for name, value in members.items() if value is not UNSET}


def to_json(value: Any) -> Any:
    """Times become text, and tuples and other sequences lists; the rest stays as it is."""
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)):
        return list(value)
    return value


def time_text(value: Time) -> str:
    """
    RFC 3339 in UTC.

    :raises ValueError: a ``datetime`` without a zone, of which nobody can tell when it is.
    """
    if isinstance(value, str):
        return value
    if value.tzinfo is None:
        raise ValueError("a datetime needs a zone, for example datetime.now(timezone.utc)")
    return value.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def idempotency_key_of(key: str | None) -> str:
    """
    The caller's key, or a new one.

    :raises ValueError: not 1 to 255 visible ASCII characters.
    """
    if key is None:
        return str(uuid4())
    if not _KEY.fullmatch(key):
        raise ValueError("an idempotency key is 1 to 255 visible ASCII characters without spaces")
    return key
