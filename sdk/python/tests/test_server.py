"""The client against a running Posthorn."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from posthorn import (
    AsyncPosthorn,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ImportedWebhook,
    NewEvent,
    NotFoundError,
    PermissionDeniedError,
    PlanError,
    Posthorn,
    verify_webhook,
)
from tests.conftest import Server
from tests.receiver import Received, Receiver

T = TypeVar("T")


def until(ask: Callable[[], T], fits: Callable[[T], bool]) -> T:
    """Asks again until the answer fits: for states that nothing announces."""
    end = time.monotonic() + 15
    while True:
        found = ask()
        if fits(found):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.02)


def test_events_are_sent_listed_read_and_replayed(client: Posthorn, receiver: Receiver) -> None:
    webhook = client.webhooks.create(url=receiver.url, events=["order.*"])
    sent = client.events.send(type="order.paid", data={"name": "Zoë", "big": 12345678901234567890}, group="g1")
    assert sent.deliveries == 1
    first = receiver.next()
    result = verify_webhook(payload=first.body, headers=first.headers, secret=webhook.secret)
    assert result.ok and result.event is not None
    assert (result.event.id, result.event.type) == (sent.id, "order.paid")
    assert result.event.data == {"name": "Zoë", "big": 12345678901234567890}

    detail = client.events.get(sent.id)
    assert (detail.data, detail.group, detail.category) == (result.event.data, "g1", None)
    assert [delivery.webhook_id for delivery in detail.deliveries] == [webhook.id]
    assert [event.id for event in client.events.list(type="order.paid", group="g1").events] == [sent.id]
    until(lambda: client.events.get(sent.id).deliveries[0].status, lambda status: status == "delivered")
    assert client.events.replay(sent.id, webhook_id=webhook.id).deliveries == 1
    assert receiver.next().headers["webhook-id"] == sent.id


def test_an_idempotency_key_makes_one_event_and_one_webhook(client: Posthorn) -> None:
    first = client.events.send(type="a", data=1, idempotency_key="k")
    assert client.events.send(type="a", data=1, idempotency_key="k") == first
    with pytest.raises(ConflictError) as caught:
        client.events.send(type="a", data=2, idempotency_key="k")
    assert caught.value.code == "IDEMPOTENCY_CONFLICT"

    made = client.webhooks.create(url="http://127.0.0.1:9/", events=["a"], idempotency_key="w")
    again = client.webhooks.create(url="http://127.0.0.1:9/", events=["a"], idempotency_key="w")
    assert (again.id, again.secret) == (made.id, made.secret)
    assert len(client.webhooks.list().webhooks) == 1


def test_a_batch_is_accepted_in_its_order(client: Posthorn) -> None:
    batch = client.events.send_batch([NewEvent(type="a", data=None, id="one"), NewEvent(type="b", data=[1], id="two")])
    assert [event.id for event in batch.events] == ["one", "two"]
    assert client.events.get("one").data is None


def test_lists_are_walked_over_their_pages(client: Posthorn) -> None:
    ids = [client.events.send(type="a", data=number).id for number in range(5)]
    assert [event.id for event in client.events.iterate(page_limit=2)] == ids[::-1]
    page = client.events.list(limit=3)
    assert len(page.events) == 3 and page.next_cursor is not None
    assert [event.id for event in client.events.list(limit=3, cursor=page.next_cursor).events] == ids[1::-1]


def test_a_webhook_is_made_changed_tested_rotated_and_deleted(client: Posthorn, receiver: Receiver) -> None:
    made = client.webhooks.create(
        url=receiver.url,
        events=["b", "a"],
        description="first",
        wire_format="grantex",
        headers={"X-Own": "1"},
        retry_schedule=["5s", "1m"],
        timeout="3s",
        concurrency=2,
        metadata={"team": "x"},
    )
    assert (made.events, made.retry_schedule, made.headers) == (("b", "a"), ("5s", "1m"), {"X-Own": "1"})
    assert client.webhooks.get(made.id).description == "first"
    changed = client.webhooks.update(made.id, description=None, events=["a"], is_active=False)
    assert (changed.description, changed.events, changed.is_active) == (None, ("a",), False)
    assert changed.metadata == {"team": "x"}
    assert client.webhooks.enable(made.id).is_active
    assert client.webhooks.disable(made.id).disabled_reason == "by_user"
    client.webhooks.enable(made.id)

    tested = client.webhooks.test(made.id, type="a", data={"x": 1})
    assert (tested.succeeded, tested.status_code) == (True, 200)
    assert receiver.next().headers["x-own"] == "1"

    rotated = client.webhooks.rotate_secret(made.id, grace_period="1h")
    assert rotated.secret != made.secret and rotated.previous_secret_expires_at is not None
    client.events.send(type="a", data=1)
    request = receiver.next()
    for secret in (made.secret, rotated.secret):
        assert verify_webhook(payload=request.body, headers=request.headers, secret=secret, format="grantex")

    until(lambda: client.webhooks.deliveries(made.id, status="delivered").total, lambda total: total == 1)
    page = client.webhooks.deliveries(made.id, page=1, page_size=5)
    assert (page.page, page.page_size, page.deliveries[0].state) == (1, 5, "delivered")
    assert [delivery.id for delivery in client.webhooks.iterate_deliveries(made.id)] == [page.deliveries[0].id]
    assert client.webhooks.stats(made.id).deliveries["delivered"] == 1
    assert client.webhooks.replay(made.id, status=["delivered"]).deliveries == 1
    receiver.next()

    client.webhooks.delete(made.id)
    with pytest.raises(NotFoundError):
        client.webhooks.get(made.id)
    with pytest.raises(NotFoundError):
        client.webhooks.delete(made.id)


@pytest.mark.parametrize("format", ["standard", "standard-ed25519", "grantex", "grantiva", "gravv", "lexigram"])
def test_a_delivery_of_every_format_verifies(client: Posthorn, receiver: Receiver, format: str) -> None:
    webhook = client.webhooks.create(url=receiver.url, events=["*"], wire_format=format)
    data = {"name": "Zoë", "path": "a/b", "n": 1}
    sent = client.events.send(type="order.paid", data=data)
    request = receiver.next()
    keys = [key.key for key in client.webhooks.public_keys(webhook.id).public_keys]
    assert (webhook.public_key is not None) == (format == "standard-ed25519")
    assert keys == ([webhook.public_key] if webhook.public_key else [])
    secret = webhook.public_key or webhook.secret
    result = verify_webhook(payload=request.body, headers=request.headers, secret=secret, format=format)
    assert result.ok, result
    assert result.event is not None
    assert (result.event.type, result.event.data) == ("order.paid", data)
    if format not in ("grantiva", "gravv"):
        assert result.event.id == sent.id
    forged = verify_webhook(payload=request.body + b" ", headers=request.headers, secret=secret, format=format)
    assert not forged.ok and forged.hint == "body_reserialised"


def test_a_dead_letter_is_seen_acknowledged_and_sent_again(client: Posthorn) -> None:
    status = [500]

    def answer(request: Received) -> tuple[int, dict[str, str], bytes]:
        return status[0], {}, b"no"

    with Receiver(answer) as receiver:
        webhook = client.webhooks.create(url=receiver.url, events=["*"], retry_schedule=[])
        client.events.send(type="a", data=1)
        (letter,) = until(
            lambda: client.dead_letters.list(webhook_id=webhook.id).dead_letters, lambda letters: len(letters) == 1
        )
        assert (letter.reason, letter.last_error) == ("schedule_exhausted", "500")
        detail = client.deliveries.get(letter.id)
        assert [(attempt.number, attempt.status_code, attempt.response_body) for attempt in detail.attempt_log] == [
            (1, 500, "no")
        ]
        assert detail.attempt_log[0].timing.first_byte_ms is not None
        assert client.dead_letters.acknowledge(letter.id).acknowledged_at is not None
        assert [each.id for each in client.dead_letters.iterate(acknowledged=True)] == [letter.id]
        assert client.dead_letters.list(acknowledged=False).dead_letters == ()

        status[0] = 200
        assert client.dead_letters.retry(letter.id).status in ("pending", "sending")
        until(lambda: client.deliveries.get(letter.id).status, lambda now: now == "delivered")
        assert client.deliveries.redeliver(letter.id).id == letter.id
        until(lambda: client.deliveries.get(letter.id), lambda now: now.attempts == 3 and now.status == "delivered")
        counted = client.deliveries.redeliver_all(status=["delivered"], webhook_id=webhook.id, dry_run=True)
        assert (counted.deliveries, counted.dry_run) == (1, True)
        assert [each.id for each in client.deliveries.iterate(status=["delivered", "held"])] == [letter.id]


def test_the_catalogue_is_kept(client: Posthorn, server: Server) -> None:
    # The catalogue is shared by all tenants, so the names are this test's own.
    name = f"{server.tenant}.paid"
    schema = {"type": "object", "required": ["orderId"]}
    made = client.event_types.create(name=name, description="Paid.", schema=schema, examples=[{"orderId": 1}])
    assert (made.name, made.schema, made.examples) == (name, schema, ({"orderId": 1},))
    with pytest.raises(ConflictError):
        client.event_types.create(name=name)
    assert client.event_types.put(name, description="Was paid.").schema is None
    assert client.event_types.get(name).description == "Was paid."
    assert name in [type.name for type in client.event_types.iterate()]
    client.event_types.delete(name)
    with pytest.raises(NotFoundError):
        client.event_types.get(name)


def test_tenants_and_plans_are_the_operators(client: Posthorn, server: Server) -> None:
    # Naming the tenant in a header would make it.
    operator = Posthorn(api_key=server.operator_key, base_url=server.url)
    with operator:
        plan = operator.plans.put(
            server.tenant, endpoint_limit=1, events_per_day=10, retention_days=7, features=["webhooks"]
        )
        tenant = operator.tenants.create(id=server.tenant, name="Acme", wire_format="gravv", plan=plan.name)
    assert (plan.endpoint_limit, plan.events_per_day, plan.features, plan.is_default) == (1, 10, ("webhooks",), False)
    assert client.plans.get(plan.name) == plan
    assert plan in list(client.plans.iterate())
    assert client.tenants.get(tenant.id) == tenant
    assert tenant in list(client.tenants.iterate())

    made = client.webhooks.create(url="http://127.0.0.1:9/", events=["a"])
    assert made.wire_format == "gravv"
    with pytest.raises(PlanError) as caught:
        client.webhooks.create(url="http://127.0.0.1:9/", events=["a"])
    assert caught.value.code == "PLAN_LIMIT_EXCEEDED"
    usage = client.usage()
    assert (usage.plan, usage.endpoints.used, usage.endpoints.limit) == (plan.name, 1, 1)
    assert (usage.events_today.limit, usage.events_today.held) == (10, False)

    assert client.tenants.update(tenant.id, plan=None, name="Acme Ltd").plan is None
    client.plans.delete(plan.name)
    with pytest.raises(NotFoundError):
        client.plans.get(plan.name)


def test_members_keys_and_sessions_go_together(client: Posthorn, server: Server) -> None:
    owner = client.members.create(role="owner", name="Ada", email="ada@example.com")
    member = client.members.create(role="member")
    with pytest.raises(ConflictError):
        client.members.update(owner.id, role="viewer")
    assert client.members.update(member.id, role="viewer", name="Bob").role == "viewer"
    assert client.members.get(owner.id) == owner
    assert {each.id for each in client.members.iterate()} == {owner.id, member.id}

    personal = client.api_keys.create(member_id=member.id, name="laptop")
    assert (personal.member_id, personal.role) == (member.id, "viewer")
    narrow = client.api_keys.create(role="admin", scopes=["events:write"], expires_at="2100-01-01T00:00:00Z")
    assert narrow.scopes == ("events:write",)
    assert {key.id for key in client.api_keys.iterate()} >= {personal.id, narrow.id}
    with Posthorn(api_key=personal.key, base_url=server.url) as bob:
        me = bob.whoami()
        assert (me.key_id, me.member_id, me.role, me.tenant_id) == (personal.id, member.id, "viewer", server.tenant)
        assert bob.last_rate_limit is not None and bob.last_rate_limit.remaining < bob.last_rate_limit.limit
        with pytest.raises(PermissionDeniedError):
            bob.webhooks.create(url="http://127.0.0.1:9/", events=["a"])
        session = bob.sessions.create(expires_in="1h")
        assert (session.member_id, session.role) == (member.id, "viewer")
        client.sessions.end(session.token)
        with pytest.raises((AuthenticationError, NotFoundError)):
            client.sessions.end(session.token)
    with Posthorn(api_key=narrow.key, base_url=server.url) as ci:
        assert ci.events.send(type="a", data=1).id.startswith("evt_")
        with pytest.raises(PermissionDeniedError):
            ci.events.list()
    client.api_keys.revoke(narrow.id)
    with Posthorn(api_key=narrow.key, base_url=server.url) as ci, pytest.raises(AuthenticationError):
        ci.whoami()
    client.members.delete(member.id)
    with pytest.raises(NotFoundError):
        client.members.get(member.id)


def test_anybody_may_sign_up_and_then_use_the_key(server: Server) -> None:
    with Posthorn(base_url=server.url) as anybody:
        account = anybody.signup(name="Ada", email="ada@example.com", mode="sandbox")
    assert account.developer_id.startswith("dev_") and account.api_key.startswith("gx_test_")
    with Posthorn(api_key=account.api_key, base_url=server.url) as mine:
        assert mine.webhooks.create(url="http://127.0.0.1:9/", events=["grant.created"]).wire_format == "grantex"
        assert mine.whoami().tenant_id == account.developer_id


def test_webhooks_move_in_with_their_ids_and_secrets(client: Posthorn, receiver: Receiver) -> None:
    rows = [
        ImportedWebhook(
            url=receiver.url,
            events=["a"],
            id="hook-17",
            secret="a secret that the receiver has",
            wire_format="grantiva",
            created_at="2024-05-01T09:00:00Z",
        ),
        ImportedWebhook(url=receiver.url, events=["b"]),
        ImportedWebhook(url="nowhere", events=["a"]),
    ]
    dry = client.webhooks.import_(rows, dry_run=True)
    assert (dry.dry_run, dry.created, dry.existing, dry.invalid) == (True, 2, 0, 1)
    assert client.webhooks.list().webhooks == ()
    report = client.webhooks.import_(rows)
    assert [result.status for result in report.results] == ["created", "created", "invalid"]
    kept, fresh, invalid = report.results
    assert (kept.id, kept.secret) == ("hook-17", None)
    assert client.webhooks.get("hook-17").created_at == "2024-05-01T09:00:00.000Z"
    assert fresh.id is not None and fresh.secret is not None
    assert [fault.field for fault in invalid.errors] == ["url"]
    client.events.send(type="a", data=1)
    request = receiver.next()
    secret = "a secret that the receiver has"
    assert verify_webhook(payload=request.body, headers=request.headers, secret=secret, format="grantiva")
    assert client.webhooks.import_(rows[:1]).existing == 1


def test_errors_name_the_fields_and_the_request(client: Posthorn) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.webhooks.create(url="not a URL", events=["a"])
    error: Any = caught.value
    assert (error.code, error.status) == ("BAD_REQUEST", 400)
    assert [fault.field for fault in error.fields] == ["url"]
    assert error.request_id.startswith("req_")


def test_a_wrong_key_is_told(server: Server) -> None:
    with Posthorn(api_key="ph_live_wrong", base_url=server.url) as stranger, pytest.raises(AuthenticationError):
        stranger.webhooks.list()


def test_another_tenants_webhook_is_not_there(client: Posthorn, server: Server) -> None:
    made = client.webhooks.create(url="http://127.0.0.1:9/", events=["a"])
    other = Posthorn(api_key=server.operator_key, base_url=server.url, tenant=f"{server.tenant}-other")
    with other, pytest.raises(NotFoundError):
        other.webhooks.get(made.id)


@pytest.mark.anyio
async def test_the_async_client_sends_and_reads(server: Server, receiver: Receiver) -> None:
    client = AsyncPosthorn(api_key=server.operator_key, base_url=server.url, tenant=server.tenant)
    async with client:
        webhook = await client.webhooks.create(url=receiver.url, events=["*"])
        sent = await client.events.send(type="a", data=1)
        assert receiver.next().headers["webhook-id"] == sent.id
        assert [event.id async for event in client.events.iterate()] == [sent.id]
        assert (await client.usage()).endpoints.used == 1
        await client.webhooks.delete(webhook.id)
        with pytest.raises(NotFoundError):
            await client.webhooks.get(webhook.id)
