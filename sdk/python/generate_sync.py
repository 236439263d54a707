"""
Writes ``src/posthorn/sync`` from ``src/posthorn/aio``: the same methods without ``await``. Run it after every change
there; a test fails where the two differ.

    python generate_sync.py
"""

from __future__ import annotations

import re
from pathlib import Path

SOURCE = Path(__file__).parent / "src" / "posthorn"
FIRST_LINE = "# Generated from posthorn/aio by generate_sync.py; do not edit.\n"

# In this order.
REPLACEMENTS = (
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bimport anyio\n", ""),
    (r"\banyio\.sleep\b", "time.sleep"),
    (r"\bposthorn\.aio\b", "posthorn.sync"),
    (r"\b(?:__)a(enter|exit)__\b", r"__\1__"),
    (r"\baiter_bytes\b", "iter_bytes"),
    (r"\baclose\b", "close"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"^\"\"\"The asynchronous client\..*\"\"\"$", '"""The client that blocks until its answer is there."""'),
)


def synchronous(source: str) -> str:
    """A module of ``posthorn.aio`` as its twin in ``posthorn.sync``."""
    for pattern, replacement in REPLACEMENTS:
        source = re.sub(pattern, replacement, source, flags=re.MULTILINE)
    return FIRST_LINE + source


def generated() -> dict[Path, str]:
    """What every file of ``posthorn.sync`` should hold."""
    return {
        SOURCE / "sync" / path.name: synchronous(path.read_text(encoding="utf-8"))
        for path in sorted((SOURCE / "aio").glob("*.py"))
    }


if __name__ == "__main__":
    for target, text in generated().items():
        target.write_text(text, encoding="utf-8")
