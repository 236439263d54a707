"""The package as it is shipped."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import generate_sync
import posthorn

SDK = Path(__file__).parents[1]


def run(*argv: str) -> None:
    done = subprocess.run([sys.executable, *argv], cwd=SDK, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_blocking_client_is_generated_from_the_other() -> None:
    expected = generate_sync.generated()
    assert set((SDK / "src" / "posthorn" / "sync").glob("*.py")) == set(expected)
    for path, text in expected.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale: run generate_sync.py"
        # Comments may speak of it; code may not.
        assert "await " not in text and "anyio" not in text


def test_types_hold_under_the_strictest_check() -> None:
    run("-m", "mypy", "--cache-dir", str(Path(sys.prefix) / ".mypy_cache"))


def test_the_version_is_that_of_posthorn() -> None:
    package = json.loads((SDK.parents[1] / "package.json").read_text(encoding="utf-8"))
    assert posthorn.__version__ == package["version"]


def test_the_licence_is_that_of_posthorn() -> None:
    assert (SDK / "LICENSE").read_bytes() == (SDK.parents[1] / "LICENSE").read_bytes()


def test_the_wheel_holds_the_package_its_types_and_its_licence(tmp_path: Path) -> None:
    run("-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path))
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
        metadata = content.read(f"posthorn-{posthorn.__version__}.dist-info/METADATA").decode()
    sources = {
        str(path.relative_to(SDK / "src"))
        for path in (SDK / "src" / "posthorn").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "posthorn/py.typed" in sources
    assert {name for name in names if name.startswith("posthorn/")} == sources
    assert any(name.endswith("/LICENSE") for name in names)
    for line in ("Requires-Python: >=3.10", "License-Expression: Apache-2.0", "Provides-Extra: ed25519"):
        assert line in metadata.splitlines()


def test_the_package_needs_no_framework_and_no_cryptography() -> None:
    program = (
        "import sys\n"
        "for name in ('flask', 'fastapi', 'django', 'cryptography'):\n"
        "    sys.modules[name] = None\n"
        "sys.path.insert(0, 'src')\n"
        "import posthorn\n"
        "assert posthorn.verify_webhook_signature('', '', 's') is False\n"
    )
    run("-W", "error", "-c", program)
