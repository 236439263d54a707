"""A running Posthorn, receivers on this machine, and a report for the program that runs the tests."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from posthorn import Posthorn, exchange
from tests.receiver import Receiver
from tests.scripted import Reply, Script, Serve

# Nothing is written beside the sources.
set_hypothesis_home_dir(str(Path(sys.prefix) / ".hypothesis"))
settings.register_profile("posthorn", database=None, deadline=None)
settings.load_profile("posthorn")


@dataclass(frozen=True)
class Server:
    """A running Posthorn, and a tenant of the test's own."""

    url: str
    operator_key: str
    tenant: str

    def client(self) -> Posthorn:
        """An operator's client that acts for the tenant."""
        return Posthorn(api_key=self.operator_key, base_url=self.url, tenant=self.tenant)


@pytest.fixture
def server() -> Server:
    url, key = os.environ.get("POSTHORN_TEST_URL"), os.environ.get("POSTHORN_TEST_KEY")
    if not url or not key:
        pytest.skip("needs a running Posthorn: POSTHORN_TEST_URL, and an operator's key in POSTHORN_TEST_KEY")
    return Server(url=url, operator_key=key, tenant=f"py-{uuid4()}")


@pytest.fixture
def client(server: Server) -> Iterator[Posthorn]:
    with server.client() as posthorn:
        yield posthorn


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Clients here wait a millisecond before they send again."""
    with ExitStack() as opened, pytest.MonkeyPatch.context() as patch:
        patch.setattr(exchange, "FIRST_WAIT_SECONDS", 0.001)

        def start(*replies: Reply, **options: Any) -> tuple[Receiver, Posthorn]:
            receiver = opened.enter_context(Receiver(Script(*replies)))
            client = Posthorn(**{"api_key": "key", "base_url": receiver.url, **options})
            return receiver, opened.enter_context(client)

        yield start


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Tally:
    """Counts how tests ended, for the file named in POSTHORN_TEST_TALLY."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.passed = 0
        self.failures: list[dict[str, str]] = []
        self.skips: list[dict[str, str]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failures.append({"test": report.nodeid, "text": report.longreprtext})
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
            self.skips.append({"test": report.nodeid, "reason": reason.removeprefix("Skipped: ")})
        elif report.when == "call":
            self.passed += 1

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failures.append({"test": report.nodeid, "text": report.longreprtext})

    def pytest_sessionfinish(self) -> None:
        tally = {
            "passed": self.passed,
            "failed": len(self.failures),
            "skipped": len(self.skips),
            "failures": self.failures,
            "skips": self.skips,
        }
        with open(self.file, "w", encoding="utf-8") as report:
            json.dump(tally, report)


def pytest_configure(config: pytest.Config) -> None:
    file = os.environ.get("POSTHORN_TEST_TALLY")
    if file:
        config.pluginmanager.register(Tally(file))
