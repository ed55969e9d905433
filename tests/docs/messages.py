"""What the service can say when something is wrong, read from where its errors are raised."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from service import errors
from service.errors import AgelensError
from tests.docs.reading import ROOT

KINDS = {name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, AgelensError)} - {
    "ClientDisconnected"
}


def messages() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each error that is raised with a text; … stands for what is filled in."""
    for path in sorted((ROOT / "service").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and (text := _said(node.exc)):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def _said(raised: ast.expr | None) -> str:
    if isinstance(raised, ast.Call) and isinstance(raised.func, ast.Name) and raised.func.id in KINDS:
        return _text(raised.args[0])
    return ""


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""
