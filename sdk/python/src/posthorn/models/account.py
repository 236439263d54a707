"""Tenants, plans, members, keys and sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["viewer", "member", "admin", "owner", "operator"]
MemberRole = Literal["viewer", "member", "admin", "owner"]


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """Whose webhooks and events they are."""

    id: str
    name: str | None
    wire_format: str | Mapping[str, Any] | None
    """Of new webhooks that choose none; ``None``: the instance's."""
    plan: str | None
    created_at: str


@dataclass(frozen=True, kw_only=True)
class TenantList:
    """A page of tenants, by id."""

    tenants: tuple[Tenant, ...]
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a tenant may; ``None`` means no limit."""

    name: str
    endpoint_limit: int | None
    events_per_day: int | None
    retention_days: int | None
    """``None``: the instance's; 0: for ever."""
    features: tuple[str, ...]
    is_default: bool
    created_at: str
    updated_at: str


@dataclass(frozen=True, kw_only=True)
class PlanList:
    """A page of plans, by name."""

    plans: tuple[Plan, ...]
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True)
class Member:
    """Somebody who belongs to a tenant."""

    id: str
    name: str | None
    email: str | None
    role: MemberRole
    created_at: str
    updated_at: str


@dataclass(frozen=True, kw_only=True)
class MemberList:
    """A page of members, newest first."""

    members: tuple[Member, ...]
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """An API key, without its text."""

    id: str
    tenant_id: str | None
    """``None`` for an operator's."""
    role: Role | None
    """``None`` once the member of a personal key is gone."""
    member_id: str | None
    """The member a personal key speaks for."""
    scopes: tuple[str, ...] | None
    """What it may do of what its role may; ``None``: all of it."""
    name: str | None
    hint: str
    """Its first characters."""
    created_at: str
    last_used_at: str | None
    expires_at: str | None
    revoked_at: str | None


@dataclass(frozen=True, kw_only=True)
class ApiKeyWithText(ApiKey):
    """An API key and its text, which is shown this once."""

    key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ApiKeyList:
    """A page of API keys, newest first."""

    api_keys: tuple[ApiKey, ...]
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True)
class Session:
    """A member's session; ``token`` is the value of its cookie, shown this once."""

    token: str = field(repr=False)
    member_id: str
    role: MemberRole
    expires_at: str


@dataclass(frozen=True, kw_only=True)
class UsedOfLimit:
    """How many there are and may be; ``limit`` is ``None`` for any number."""

    used: int
    limit: int | None


@dataclass(frozen=True, kw_only=True)
class EventsToday:
    """Events of this UTC day; those beyond the limit are held until ``resets_at``."""

    used: int
    limit: int | None
    held: bool
    """What comes now is held."""
    resets_at: str


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a tenant uses of its plan."""

    plan: str | None
    endpoints: UsedOfLimit
    events_today: EventsToday
    retention_days: int
    """0: for ever."""
    features: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who the key or session is."""

    key_id: str | None
    member_id: str | None
    role: Role
    tenant_id: str
    """The tenant this call acts for."""
    scopes: tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True)
class Signup:
    """A new tenant and its first key, which is shown this once."""

    developer_id: str
    api_key: str = field(repr=False)
    name: str
    email: str | None
    mode: Literal["live", "sandbox"]
    created_at: str
