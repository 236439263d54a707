"""The vectors that the verification of every language is held to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from posthorn import PRESETS, verify_webhook, verify_webhook_signature

FOLDER = Path(__file__).parents[3] / "spec" / "vectors"
FILES = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
VECTORS = [(name, vector) for name, file in FILES.items() for vector in file["vectors"]]


def identify(value: object) -> str:
    return value["title"] if isinstance(value, dict) else str(value)


@pytest.mark.parametrize(("format", "vector"), VECTORS, ids=identify)
def test_a_vector_has_the_answer_that_it_should(format: str, vector: dict[str, Any]) -> None:
    result = verify_webhook(
        payload=vector["request"]["body"],
        headers=vector["request"]["headers"],
        secrets=vector["secrets"],
        format=format,
        now=vector["now"] / 1000,
        tolerance_seconds=vector["toleranceSeconds"],
    )
    assert ("ok" if result.ok else result.code) == vector["expected"], result
    assert bool(result) is (vector["expected"] == "ok")
    if not result.ok:
        assert result.hint == vector.get("hint")


def test_there_are_vectors_for_every_preset() -> None:
    assert set(FILES) == set(PRESETS)


@pytest.mark.parametrize("format", ["grantex", "grantiva", "lexigram"])
def test_the_body_signature_alone_agrees_with_the_vectors_that_have_one(format: str) -> None:
    header = {"grantex": "X-Grantex-Signature", "grantiva": "X-Grantiva-Signature", "lexigram": "X-Webhook-Signature"}
    compared = 0
    for vector in FILES[format]["vectors"]:
        signature = vector["request"]["headers"].get(header[format])
        if "signed" not in vector or len(vector["signed"]["secrets"]) != 1 or len(vector["secrets"]) != 1:
            continue
        genuine = verify_webhook_signature(vector["request"]["body"], signature, vector["secrets"][0])
        assert genuine is (vector["expected"] == "ok"), vector["title"]
        compared += 1
    assert compared >= 5


@pytest.mark.parametrize("format", sorted(FILES))
def test_the_event_says_what_was_published(format: str) -> None:
    vector = FILES[format]["vectors"][0]
    message = vector["signed"]["message"]
    result = verify_webhook(
        payload=vector["request"]["body"].encode(),
        headers=vector["request"]["headers"],
        secrets=vector["secrets"],
        format=format,
        now=vector["now"] / 1000,
    )
    assert result.ok and result.event is not None
    assert result.event.data == json.loads(message["data"])
    assert result.event.type == message["type"]
    ids = {"grantiva": None, "gravv": message["uuid"]}
    assert result.event.id == ids.get(format, message["id"])
    # Lexigram says no time, Grantiva whole seconds.
    times = {"lexigram": None, "grantiva": "2026-01-15T09:30:00Z"}
    assert result.event.occurred_at == times.get(format, "2026-01-15T09:30:00.250Z")
