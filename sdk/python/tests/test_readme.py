"""Every example of the README runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from posthorn import Posthorn
from tests.conftest import Server
from tests.receiver import Receiver
from tests.test_frameworks import BODY, SECRET, django_request, signed

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
DEV = 'api_key="dev-api-key-local", base_url="http://127.0.0.1:3001"'


def run(*needles: str, replace: dict[str, str] | None = None) -> dict[str, Any]:
    (example,) = (text for text in EXAMPLES if all(needle in text for needle in needles))
    for old, new in (replace or {}).items():
        assert old in example
        example = example.replace(old, new)
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(example, "README.md", "exec"), names)
    return names


def at(server: Server) -> dict[str, str]:
    return {DEV: f"api_key={server.operator_key!r}, base_url={server.url!r}, tenant={server.tenant!r}"}


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)


def test_the_examples_are_all_here() -> None:
    assert len(EXAMPLES) == 8


def test_the_first_example_delivers(
    server: Server, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    names = run("webhook.secret", replace={**at(server), "http://127.0.0.1:9000": receiver.url})
    assert receiver.next().headers["webhook-id"] == names["event"].id
    assert "goes to 1" in capsys.readouterr().out


def test_the_async_example_lists(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    with server.client() as client:
        made = client.webhooks.create(url="http://127.0.0.1:9/hook", events=["grant.created"])
    run("asyncio.run", replace=at(server))
    assert made.id in capsys.readouterr().out


def test_the_flask_example_answers() -> None:
    client = run("import Flask")["app"].test_client()
    assert client.post("/hook", data=BODY, headers=signed()).status_code == 204
    assert client.post("/hook", data=BODY).status_code == 400


@pytest.mark.anyio
async def test_the_fastapi_example_answers() -> None:
    import httpx

    transport = httpx.ASGITransport(app=run("import Depends")["app"])
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.post("/hook", content=BODY, headers=signed())).status_code == 204
        assert (await client.post("/hook", content=BODY)).status_code == 400


def test_the_django_example_answers() -> None:
    hook = run("HttpResponse")["hook"]
    assert hook(django_request(BODY, signed())).status_code == 204
    assert hook(django_request(BODY, {})).status_code == 400


def test_the_example_for_anywhere_else_answers() -> None:
    handle = run("def handle")["handle"]
    assert handle(BODY, signed(), SECRET) == 204
    assert handle(BODY, {}, SECRET) == 400


def test_the_example_of_the_bodys_signature_holds() -> None:
    run("verify_webhook_signature(")


def test_the_example_of_errors_prints_them(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    run("BadRequestError", replace=at(server))
    printed = capsys.readouterr().out
    assert "BAD_REQUEST ['url'] req_" in printed
    assert "evt_unknown" in printed


def test_what_the_readme_lists_is_there() -> None:
    with Posthorn() as client:
        rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", README, re.MULTILINE)
        assert len(rows) == 5
        for resource, methods in rows:
            offered = {name for name in dir(getattr(client, resource)) if not name.startswith("_")}
            assert set(re.findall(r"`(\w+)`", methods)) == offered, resource
