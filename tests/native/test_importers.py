"""One module imports the extension: where it is not built, no other may fail."""

from __future__ import annotations

import ast
from pathlib import Path

import msroi_cli

PACKAGE = Path(msroi_cli.__file__).parent


def imports_extension(source):
    """Whether any import statement of `source` names the extension."""
    if "_native" not in source:
        return False
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module or ''}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        if any("_native" in name.split(".") for name in names):
            return True
    return False


def test_every_form_of_import_is_found():
    for line in ("import msroi_cli._native", "from msroi_cli import _native as x", "from msroi_cli._native import x"):
        assert imports_extension(f"def late():\n    {line}\n")
    assert not imports_extension("from msroi_cli.core.backends import native_pool\nimport h5py\n")


def test_who_imports_the_extension():
    importers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if imports_extension(path.read_text(encoding="utf-8"))
    }
    assert importers == {"extension.py"}
