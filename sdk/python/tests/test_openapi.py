"""Methods and dataclasses against the document of the API: what one has, the other has."""

from __future__ import annotations

import dataclasses
import inspect
import json
import types
from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

import posthorn
from posthorn import FieldError, ImportedWebhook, NewEvent, Posthorn
from posthorn import models as m
from posthorn.decode import camel_case

DOCUMENT = json.loads((Path(__file__).parents[3] / "spec" / "openapi.json").read_text(encoding="utf-8"))

# What each route is called here, and what it answers.
ROUTES: Mapping[str, tuple[str, type[Any] | None]] = {
    "POST /v1/events": ("events.send", m.Published),
    "GET /v1/events": ("events.list", m.EventList),
    "POST /v1/events/batch": ("events.send_batch", m.PublishedBatch),
    "GET /v1/events/{id}": ("events.get", m.EventDetail),
    "POST /v1/events/{id}/replay": ("events.replay", m.DeliveryCount),
    "POST /v1/webhooks": ("webhooks.create", m.WebhookWithSecret),
    "GET /v1/webhooks": ("webhooks.list", m.WebhookList),
    "POST /v1/webhooks/import": ("webhooks.import_", m.ImportReport),
    "GET /v1/webhooks/{id}": ("webhooks.get", m.Webhook),
    "PATCH /v1/webhooks/{id}": ("webhooks.update", m.Webhook),
    "DELETE /v1/webhooks/{id}": ("webhooks.delete", None),
    "POST /v1/webhooks/{id}/test": ("webhooks.test", m.WebhookTest),
    "POST /v1/webhooks/{id}/rotate-secret": ("webhooks.rotate_secret", m.WebhookWithSecret),
    "POST /v1/webhooks/{id}/enable": ("webhooks.enable", m.Webhook),
    "POST /v1/webhooks/{id}/disable": ("webhooks.disable", m.Webhook),
    "POST /v1/webhooks/{id}/replay": ("webhooks.replay", m.DeliveryCount),
    "GET /v1/webhooks/{id}/deliveries": ("webhooks.deliveries", m.WebhookDeliveryList),
    "GET /v1/webhooks/{id}/stats": ("webhooks.stats", m.WebhookStats),
    "GET /v1/webhooks/{id}/public-keys": ("webhooks.public_keys", m.PublicKeyList),
    "GET /v1/deliveries": ("deliveries.list", m.DeliveryList),
    "POST /v1/deliveries/redeliver": ("deliveries.redeliver_all", m.Redelivery),
    "GET /v1/deliveries/{id}": ("deliveries.get", m.DeliveryDetail),
    "POST /v1/deliveries/{id}/redeliver": ("deliveries.redeliver", m.Delivery),
    "GET /v1/dead-letters": ("dead_letters.list", m.DeadLetterList),
    "POST /v1/dead-letters/{id}/retry": ("dead_letters.retry", m.Delivery),
    "POST /v1/dead-letters/{id}/acknowledge": ("dead_letters.acknowledge", m.Delivery),
    "GET /v1/event-types": ("event_types.list", m.EventTypeList),
    "POST /v1/event-types": ("event_types.create", m.EventType),
    "GET /v1/event-types/{name}": ("event_types.get", m.EventType),
    "PUT /v1/event-types/{name}": ("event_types.put", m.EventType),
    "DELETE /v1/event-types/{name}": ("event_types.delete", None),
    "GET /v1/tenants": ("tenants.list", m.TenantList),
    "POST /v1/tenants": ("tenants.create", m.Tenant),
    "GET /v1/tenants/{id}": ("tenants.get", m.Tenant),
    "PATCH /v1/tenants/{id}": ("tenants.update", m.Tenant),
    "GET /v1/plans": ("plans.list", m.PlanList),
    "GET /v1/plans/{name}": ("plans.get", m.Plan),
    "PUT /v1/plans/{name}": ("plans.put", m.Plan),
    "DELETE /v1/plans/{name}": ("plans.delete", None),
    "GET /v1/members": ("members.list", m.MemberList),
    "POST /v1/members": ("members.create", m.Member),
    "GET /v1/members/{id}": ("members.get", m.Member),
    "PATCH /v1/members/{id}": ("members.update", m.Member),
    "DELETE /v1/members/{id}": ("members.delete", None),
    "GET /v1/api-keys": ("api_keys.list", m.ApiKeyList),
    "POST /v1/api-keys": ("api_keys.create", m.ApiKeyWithText),
    "DELETE /v1/api-keys/{id}": ("api_keys.revoke", None),
    "POST /v1/sessions": ("sessions.create", m.Session),
    "DELETE /v1/session": ("sessions.end", None),
    "GET /v1/usage": ("usage", m.Usage),
    "GET /v1/whoami": ("whoami", m.Identity),
    "POST /v1/signup": ("signup", m.Signup),
}

# Spoken by other clients, in other products' ways; health and documents are read by machines of other kinds.
OTHER_FACES = ("/api/", "/v1/webhooks/history", "/v1/webhooks/event/", "/v1/webhooks/calls/")
OTHER_PATHS = ("/healthz", "/readyz", "/openapi.json", "/errors")

# The token of a session goes as a cookie; the others are how this client walks and repeats.
CLIENT_PARAMETERS = {"self", "idempotencyKey", "token"}


def operations() -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
        if method in ("get", "post", "put", "patch", "delete")
        and path not in OTHER_PATHS
        and not path.startswith(OTHER_FACES)
    }


def test_every_route_has_its_method_and_every_method_its_route() -> None:
    assert set(ROUTES) == set(operations())


def resolve(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    return resolve(reduce(lambda at, name: at[name], reference.removeprefix("#/").split("/"), DOCUMENT))


def kinds_of(schema: Mapping[str, Any]) -> set[str]:
    """The JSON types that a schema allows; none named = any."""
    schema = resolve(schema)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return set().union(*(kinds_of(each) for each in schema[word]))
    kinds = schema.get("type", [])
    return {kinds} if isinstance(kinds, str) else set(kinds)


def without_null(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = resolve(schema)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            (only,) = (each for each in schema[word] if kinds_of(each) != {"null"})
            return without_null(only)
    return schema


def compare(shape: Any, schema: Mapping[str, Any], at: str) -> None:
    """Fails where a type of Python and a schema do not say the same."""
    kinds = kinds_of(schema)
    if shape is Any:
        assert kinds == set(), at
        return
    arguments = get_args(shape) if get_origin(shape) in (Union, types.UnionType) else (shape,)
    assert (type(None) in arguments) == ("null" in kinds), f"{at}: null"
    inner = [argument for argument in arguments if argument is not type(None)]
    assert set().union(*(names_of(each) for each in inner)) == kinds - {"null"}, at
    if len(inner) > 1:
        return
    schema = without_null(schema)
    (kind,) = inner
    if dataclasses.is_dataclass(kind):
        compare_members(kind, schema, at)
    elif get_origin(kind) is tuple:
        compare(get_args(kind)[0], schema["items"], f"{at}[]")


def names_of(kind: Any) -> set[str]:
    origin = get_origin(kind) or kind
    if origin is Literal:
        return {"string"}
    if origin is tuple:
        return {"array"}
    if dataclasses.is_dataclass(origin) or origin is Mapping:
        return {"object"}
    return {{str: "string", int: "integer", float: "number", bool: "boolean"}[origin]}


def compare_members(shape: Any, schema: Mapping[str, Any], at: str) -> None:
    hints = get_type_hints(shape)
    fields = {camel_case(field.name): field for field in dataclasses.fields(shape)}
    assert set(fields) == set(schema["properties"]), at
    for name, field in fields.items():
        is_required = name in schema.get("required", [])
        assert is_required == (field.default is dataclasses.MISSING), f"{at}.{name}: required"
        hint = hints[field.name]
        if not is_required:
            # Absent is None here.
            (hint,) = (argument for argument in get_args(hint) if argument is not type(None))
        compare(hint, schema["properties"][name], f"{at}.{name}")


@pytest.mark.parametrize("route", ROUTES)
def test_an_answer_has_the_members_that_its_dataclass_has(route: str) -> None:
    answers = {status: answer for status, answer in operations()[route]["responses"].items() if status.startswith("2")}
    (answer,) = answers.values()
    shape = ROUTES[route][1]
    if shape is None:
        assert list(answers) == ["204"]
    else:
        compare(shape, resolve(answer)["content"]["application/json"]["schema"], shape.__name__)


def method_of(name: str) -> Callable[..., Any]:
    client: Any = Posthorn()
    found: Callable[..., Any] = reduce(getattr, name.split("."), client)
    client.close()
    return found


def body_of(operation: Mapping[str, Any]) -> Mapping[str, Any]:
    content = resolve(operation.get("requestBody", {})).get("content", {})
    return resolve(content.get("application/json", {}).get("schema", {}))


@pytest.mark.parametrize("route", ROUTES)
def test_a_method_takes_what_its_route_takes(route: str) -> None:
    operation = operations()[route]
    parameters = [resolve(parameter) for parameter in operation.get("parameters", [])]
    taken = {parameter["name"] for parameter in parameters if parameter["in"] in ("path", "query")}
    taken |= set(body_of(operation).get("properties", {}))
    signature = inspect.signature(method_of(ROUTES[route][0]))
    offered = {camel_case(name.removesuffix("_")) for name in signature.parameters}
    assert offered - CLIENT_PARAMETERS == taken - CLIENT_PARAMETERS
    has_key = any(parameter["name"] == "Idempotency-Key" for parameter in parameters)
    assert ("idempotency_key" in signature.parameters) == has_key


@pytest.mark.parametrize(
    ("shape", "route", "member"),
    [(NewEvent, "POST /v1/events/batch", "events"), (ImportedWebhook, "POST /v1/webhooks/import", "webhooks")],
)
def test_rows_have_the_members_that_the_route_takes(shape: Any, route: str, member: str) -> None:
    row = resolve(resolve(body_of(operations()[route])["properties"][member])["items"])
    fields = {camel_case(field.name): field for field in dataclasses.fields(shape)}
    assert set(fields) == set(row["properties"])
    assert {name for name, field in fields.items() if field.default is dataclasses.MISSING} == set(row["required"])


def test_what_errors_have_is_in_the_document() -> None:
    problem = DOCUMENT["components"]["schemas"]["Problem"]
    assert {"code", "message", "requestId", "status"} <= set(problem["required"])
    compare_members(FieldError, resolve(problem["properties"]["errors"]["items"]), "FieldError")


def test_every_name_that_is_offered_is_there_and_every_dataclass_is_offered() -> None:
    assert len(set(posthorn.__all__)) == len(posthorn.__all__)
    for name in posthorn.__all__:
        assert hasattr(posthorn, name), name
    for module in (m.account, m.delivery, m.event, m.webhook):
        for name, value in vars(module).items():
            if dataclasses.is_dataclass(value) and value.__module__ == module.__name__:
                assert name in posthorn.__all__, name
