"""Other people's packages against a running Posthorn, unmodified."""

from __future__ import annotations

import grantex
import pytest
import standardwebhooks

from posthorn import Posthorn
from tests.conftest import Server
from tests.receiver import Receiver


def test_the_standard_webhooks_package_verifies_a_delivery(client: Posthorn, receiver: Receiver) -> None:
    webhook = client.webhooks.create(url=receiver.url, events=["*"])
    client.events.send(type="order.paid", data={"name": "Zoë"})
    request = receiver.next()
    event = standardwebhooks.Webhook(webhook.secret).verify(request.body, dict(request.headers.items()))
    assert (event["type"], event["data"]) == ("order.paid", {"name": "Zoë"})
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(webhook.secret).verify(request.body + b" ", dict(request.headers.items()))


def test_the_standard_webhooks_package_verifies_with_either_secret_while_they_rotate(
    client: Posthorn, receiver: Receiver
) -> None:
    old = client.webhooks.create(url=receiver.url, events=["*"])
    new = client.webhooks.rotate_secret(old.id)
    client.events.send(type="a", data=1)
    request = receiver.next()
    for secret in (old.secret, new.secret):
        assert standardwebhooks.Webhook(secret).verify(request.body, dict(request.headers.items()))["type"] == "a"


@pytest.fixture
def grantex_key(client: Posthorn) -> str:
    return client.api_keys.create(role="owner", prefix="gx_live_").key


def test_the_grantex_client_makes_lists_and_deletes_webhooks(server: Server, grantex_key: str) -> None:
    with grantex.Grantex(api_key=grantex_key, base_url=server.url) as theirs:
        events = ["grant.revoked", "grant.created"]
        first = theirs.webhooks.create(url="http://127.0.0.1:9/first", events=events)
        second = theirs.webhooks.create(url="http://127.0.0.1:9/second", events=["token.issued"])
        assert first.id.startswith("wh_") and first.secret != ""
        assert first.events == ("grant.revoked", "grant.created")
        assert first.created_at.endswith("Z")
        listed = theirs.webhooks.list().webhooks
        assert [webhook.id for webhook in listed] == [second.id, first.id]
        assert theirs.last_rate_limit is not None and theirs.last_rate_limit.limit > 0
        theirs.webhooks.delete(first.id)
        assert [webhook.id for webhook in theirs.webhooks.list().webhooks] == [second.id]


def test_the_grantex_client_understands_the_errors(server: Server, grantex_key: str) -> None:
    with grantex.Grantex(api_key=grantex_key, base_url=server.url, max_retries=0) as theirs:
        with pytest.raises(grantex.GrantexApiError) as missing:
            theirs.webhooks.delete("wh_01KF0Z7J3TE5XAY2V8N4R6M0QC")
        assert (missing.value.status_code, missing.value.code) == (404, "NOT_FOUND")
        assert missing.value.request_id is not None and missing.value.request_id.startswith("req_")
        with pytest.raises(grantex.GrantexApiError) as wrong:
            theirs.webhooks.create(url="not a URL", events=["grant.created"])
        assert (wrong.value.status_code, wrong.value.code) == (400, "BAD_REQUEST")
        assert "url" in str(wrong.value)
    with grantex.Grantex(api_key="gx_live_not_a_real_key", base_url=server.url) as stranger:
        with pytest.raises(grantex.GrantexAuthError) as refused:
            stranger.webhooks.list()
    assert (refused.value.status_code, refused.value.code) == (401, "UNAUTHORIZED")


def test_the_grantex_package_verifies_a_delivery(
    server: Server, client: Posthorn, receiver: Receiver, grantex_key: str
) -> None:
    with grantex.Grantex(api_key=grantex_key, base_url=server.url) as theirs:
        webhook = theirs.webhooks.create(url=receiver.url, events=["grant.created"])
    client.events.send(type="grant.created", data={"grantId": "grnt_01", "scopes": ["calendar:read"]})
    request = receiver.next()
    signature = request.headers["X-Grantex-Signature"]
    assert grantex.verify_webhook_signature(request.body, signature, webhook.secret)
    assert grantex.verify_webhook_signature(request.body.decode(), signature, webhook.secret)
    assert not grantex.verify_webhook_signature(request.body + b" ", signature, webhook.secret)


def test_the_grantex_client_signs_up(server: Server) -> None:
    account = grantex.Grantex.signup(grantex.SignupParams(name="Ada", email="a@example.com"), base_url=server.url)
    assert account.api_key.startswith("gx_live_") and account.name == "Ada"
    with grantex.Grantex(api_key=account.api_key, base_url=server.url) as theirs:
        assert theirs.webhooks.list().webhooks == ()
