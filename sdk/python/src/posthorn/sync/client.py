# Generated from posthorn/aio by generate_sync.py; do not edit.
"""The client."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Literal

import httpx

from posthorn.sync.deliveries import DeadLetters, Deliveries
from posthorn.sync.event_types import EventTypes
from posthorn.sync.events import Events
from posthorn.sync.http import Http
from posthorn.sync.people import ApiKeys, Members, Sessions
from posthorn.sync.tenants import Plans, Tenants
from posthorn.sync.webhooks import Webhooks
from posthorn.call import Call, given, read_as
from posthorn.exchange import Options, RateLimit
from posthorn.models import Identity, Signup, Usage


class Posthorn:
    """
    Speaks to a Posthorn server. Keep one for the life of the program: it keeps its connections open.

    :param api_key: left out only for what anybody may do: ``signup``, ``webhooks.public_keys``
    :param base_url: where Posthorn is
    :param tenant: for operators' keys: the tenant to act for
    :param timeout_seconds: longest wait for any part of an answer, and for the whole of its body
    :param max_retries: how often a call is sent again after 408, 429, 502, 503, 504 or a broken connection. Waits as
        ``Retry-After`` asks, up to a minute, else half a second and more each time. A POST that a repeat would do twice
        is sent again only where the server surely did not do it
    :param headers: sent with every request
    :param http_client: an httpx client of your own, for proxies and certificates; you close it
    """

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str = "http://127.0.0.1:3001",
        tenant: str | None = None,
        timeout_seconds: float = 30.0,
        max_retries: int = 2,
        headers: Mapping[str, str] | None = None,
        http_client: httpx.Client | None = None,
    ) -> None:
        self._options = Options(
            base_url=base_url,
            api_key=api_key,
            tenant=tenant,
            timeout_seconds=timeout_seconds,
            max_retries=max_retries,
            headers={name.lower(): value for name, value in (headers or {}).items()},
        )
        self._http = Http(self._options, http_client)
        self.events = Events(self._http)
        self.webhooks = Webhooks(self._http)
        self.deliveries = Deliveries(self._http)
        self.dead_letters = DeadLetters(self._http)
        self.event_types = EventTypes(self._http)
        self.tenants = Tenants(self._http)
        self.plans = Plans(self._http)
        self.members = Members(self._http)
        self.api_keys = ApiKeys(self._http)
        self.sessions = Sessions(self._http)

    def usage(self) -> Usage:
        """What the tenant uses of its plan."""
        return self._http.send(Call("GET", "/v1/usage", read_as(Usage)))

    def whoami(self) -> Identity:
        """Who the API key is."""
        return self._http.send(Call("GET", "/v1/whoami", read_as(Identity)))

    def signup(
        self, *, name: str, email: str | None = None, mode: Literal["live", "sandbox"] | None = None
    ) -> Signup:
        """Makes a tenant and its first API key. Anybody may, where the operator has opened it."""
        body = given(name=name, email=email, mode=mode)
        return self._http.send(Call("POST", "/v1/signup", read_as(Signup), body=body, is_public=True))

    @property
    def last_rate_limit(self) -> RateLimit | None:
        """What the newest answer said about the key's rate limit; ``None`` before the first that did."""
        return self._http.last_rate_limit

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Posthorn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._options.base_url!r}, tenant={self._options.tenant!r})"
