# Generated from posthorn/aio by generate_sync.py; do not edit.
"""Tenants and plans, for operators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from posthorn.sync.http import Http
from posthorn.sync.paging import iterate_pages
from posthorn.call import Call, changes, given, path_of, read_as, read_nothing
from posthorn.models import Plan, PlanList, Tenant, TenantList
from posthorn.unset import UNSET, Unset


class Tenants:
    """``/v1/tenants``."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self, *, limit: int | None = None, cursor: str | None = None) -> TenantList:
        """One page, by id: ``limit`` (50, at most 200) tenants."""
        query = given(limit=limit, cursor=cursor)
        return self._http.send(Call("GET", "/v1/tenants", read_as(TenantList), query=query))

    def iterate(self, *, page_limit: int = 200) -> Iterator[Tenant]:
        """Every tenant, by id, a page at a time."""
        query = given(limit=page_limit)
        return iterate_pages(self._http, "/v1/tenants", TenantList, lambda page: page.tenants, query)

    def get(self, id: str) -> Tenant:
        """A tenant."""
        return self._http.send(Call("GET", path_of("/v1/tenants/{}", id), read_as(Tenant)))

    def create(
        self,
        *,
        id: str,
        name: str | None = None,
        wire_format: str | Mapping[str, Any] | None = None,
        plan: str | None = None,
    ) -> Tenant:
        """
        Makes a tenant.

        :param id: yours to choose: ``acme``, a UUID
        :param wire_format: of its new webhooks that choose none
        :param plan: a plan's name
        """
        body = given(id=id, name=name, wireFormat=wire_format, plan=plan)
        return self._http.send(Call("POST", "/v1/tenants", read_as(Tenant), body=body))

    def update(
        self,
        id: str,
        *,
        name: str | None | Unset = UNSET,
        wire_format: str | Mapping[str, Any] | None | Unset = UNSET,
        plan: str | None | Unset = UNSET,
    ) -> Tenant:
        """Changes what is given; ``None`` takes away what was set."""
        body = changes(name=name, wireFormat=wire_format, plan=plan)
        return self._http.send(Call("PATCH", path_of("/v1/tenants/{}", id), read_as(Tenant), body=body))


class Plans:
    """``/v1/plans``."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self, *, limit: int | None = None, cursor: str | None = None) -> PlanList:
        """One page, by name: ``limit`` (50, at most 200) plans."""
        query = given(limit=limit, cursor=cursor)
        return self._http.send(Call("GET", "/v1/plans", read_as(PlanList), query=query))

    def iterate(self, *, page_limit: int = 200) -> Iterator[Plan]:
        """Every plan, by name, a page at a time."""
        return iterate_pages(self._http, "/v1/plans", PlanList, lambda page: page.plans, given(limit=page_limit))

    def get(self, name: str) -> Plan:
        """A plan."""
        return self._http.send(Call("GET", path_of("/v1/plans/{}", name), read_as(Plan)))

    def put(
        self,
        name: str,
        *,
        endpoint_limit: int | None = None,
        events_per_day: int | None = None,
        retention_days: int | None = None,
        features: Sequence[str] | None = None,
        is_default: bool | None = None,
    ) -> Plan:
        """
        Makes a plan or replaces it.

        :param endpoint_limit: webhooks of a tenant at most; ``None``: any number
        :param events_per_day: sent at once each UTC day, the others held until the next; ``None``: any number
        :param retention_days: how long history is kept; ``None``: as the instance has it, 0: for ever
        :param features: of ``webhooks``, ``wire_formats``, ``replay``; ``None``: every one
        :param is_default: new tenants get it where none is named
        """
        body = given(
            endpointLimit=endpoint_limit,
            eventsPerDay=events_per_day,
            retentionDays=retention_days,
            features=features,
            isDefault=is_default,
        )
        return self._http.send(Call("PUT", path_of("/v1/plans/{}", name), read_as(Plan), body=body))

    def delete(self, name: str) -> None:
        """Takes a plan away."""
        self._http.send(Call("DELETE", path_of("/v1/plans/{}", name), read_nothing))
