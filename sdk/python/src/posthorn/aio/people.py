"""Members, API keys and sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from posthorn.aio.http import AsyncHttp
from posthorn.aio.paging import iterate_pages
from posthorn.call import Call, Time, changes, given, path_of, read_as, read_nothing
from posthorn.models import (
    ApiKey,
    ApiKeyList,
    ApiKeyWithText,
    Member,
    MemberList,
    MemberRole,
    Role,
    Session,
)
from posthorn.unset import UNSET, Unset


class AsyncMembers:
    """``/v1/members``: who belongs to the tenant."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def list(self, *, limit: int | None = None, cursor: str | None = None) -> MemberList:
        """One page, newest first: ``limit`` (50, at most 200) members."""
        query = given(limit=limit, cursor=cursor)
        return await self._http.send(Call("GET", "/v1/members", read_as(MemberList), query=query))

    def iterate(self, *, page_limit: int = 200) -> AsyncIterator[Member]:
        """Every member, newest first, a page at a time."""
        query = given(limit=page_limit)
        return iterate_pages(self._http, "/v1/members", MemberList, lambda page: page.members, query)

    async def get(self, id: str) -> Member:
        """A member."""
        return await self._http.send(Call("GET", path_of("/v1/members/{}", id), read_as(Member)))

    async def create(self, *, role: MemberRole, name: str | None = None, email: str | None = None) -> Member:
        """Adds a member. Raises ``ConflictError`` where the tenant has one with this email address."""
        body = given(role=role, name=name, email=email)
        return await self._http.send(Call("POST", "/v1/members", read_as(Member), body=body))

    async def update(
        self,
        id: str,
        *,
        role: MemberRole | Unset = UNSET,
        name: str | None | Unset = UNSET,
        email: str | None | Unset = UNSET,
    ) -> Member:
        """Changes what is given. Raises ``ConflictError`` where the last owner would be one no more."""
        body = changes(role=role, name=name, email=email)
        return await self._http.send(Call("PATCH", path_of("/v1/members/{}", id), read_as(Member), body=body))

    async def delete(self, id: str) -> None:
        """Removes a member; sessions and personal keys end at once. Raises ``ConflictError`` for the last owner."""
        await self._http.send(Call("DELETE", path_of("/v1/members/{}", id), read_nothing))


class AsyncApiKeys:
    """``/v1/api-keys``."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def list(self, *, limit: int | None = None, cursor: str | None = None) -> ApiKeyList:
        """One page, newest first: ``limit`` (50, at most 200) keys."""
        query = given(limit=limit, cursor=cursor)
        return await self._http.send(Call("GET", "/v1/api-keys", read_as(ApiKeyList), query=query))

    def iterate(self, *, page_limit: int = 200) -> AsyncIterator[ApiKey]:
        """Every key, newest first, a page at a time."""
        query = given(limit=page_limit)
        return iterate_pages(self._http, "/v1/api-keys", ApiKeyList, lambda page: page.api_keys, query)

    async def create(
        self,
        *,
        role: Role | None = None,
        member_id: str | None = None,
        name: str | None = None,
        scopes: Sequence[str] | None = None,
        prefix: str | None = None,
        key: str | None = None,
        expires_at: Time | None = None,
    ) -> ApiKeyWithText:
        """
        Makes a key, whose text is in the answer, this once.

        :param role: what it may do; left out for a personal key
        :param member_id: makes it this member's personal key, with the member's role
        :param scopes: narrows what it may do; ``None``: all that its role may
        :param prefix: ``ph_live_`` (default), ``gx_live_``, ``gx_test_``, ``gpat_``, ``aat_``, ``grvSec_live_``,
            ``grvSec_sandbox_``
        :param key: for operators: the text of a key that clients hold already, 16 to 512 visible ASCII characters
        """
        body = given(
            role=role, memberId=member_id, name=name, scopes=scopes, prefix=prefix, key=key, expiresAt=expires_at
        )
        return await self._http.send(Call("POST", "/v1/api-keys", read_as(ApiKeyWithText), body=body))

    async def revoke(self, id: str) -> None:
        """Ends a key at once."""
        await self._http.send(Call("DELETE", path_of("/v1/api-keys/{}", id), read_nothing))


class AsyncSessions:
    """``/v1/sessions``: for people in browsers."""

    def __init__(self, http: AsyncHttp) -> None:
        self._http = http

    async def create(self, *, member_id: str | None = None, expires_in: str | None = None) -> Session:
        """
        Makes a session, whose token is in the answer, this once.

        :param member_id: whose; left out with a personal key, which makes one for its own member
        :param expires_in: ``8h`` (default), at most ``30d``
        """
        body = given(memberId=member_id, expiresIn=expires_in)
        return await self._http.send(Call("POST", "/v1/sessions", read_as(Session), body=body))

    async def end(self, token: str) -> None:
        """Ends the session of this token."""
        # The name of the cookie tells whether the server is reached over https.
        cookie = f"posthorn_session={token}; __Host-posthorn_session={token}"
        call = Call("DELETE", "/v1/session", read_nothing, headers={"cookie": cookie}, is_public=True)
        await self._http.send(call)
