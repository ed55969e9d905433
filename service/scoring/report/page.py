"""An HTML page that summarises an archive, without scripts, requests or pictures."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.console import Console
from rich.progress import track

from service.atomic_write import atomic_write
from service.printable import shown
from service.scoring.archive import AGREEMENT
from service.scoring.job import Format
from service.scoring.parts import finished_parts, writing
from service.scoring.report import drawing
from service.scoring.report.findings import Findings, facts_in

REPORT: Final = "report.html"
_FOLDER: Final = Path(__file__).parent


def write_report(folder: Path, fmt: Format, console: Console) -> Path:
    """Read all parts of an archive one after the other and write its report beside them; return its path.

    Raises CorruptPicture naming a part that cannot be read.
    """
    findings = Findings()
    for part in track(finished_parts(folder, fmt), "reading the archive", console=console, transient=True):
        findings.add(facts_in(part, fmt))
    made = folder / REPORT
    with writing(folder), atomic_write(made) as partial:
        partial.write_text(page(json.loads((folder / AGREEMENT).read_text()), findings), encoding="utf-8")
    return made


def page(terms: dict[str, Any], findings: Findings) -> str:
    """Return the page as HTML; `terms` is what score.json says."""
    style = (_FOLDER / "report.css").read_text()
    templates = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {"shown": shown, "number": "{:,}".format}
    return templates.get_template("page.html").render(
        terms=terms,
        name=Path(terms["input"]).name or terms["input"],
        findings=findings,
        failures=sorted(findings.failed.items(), key=lambda each: (-each[1].count, each[0])),
        draw=drawing,
        style=style,
        digest=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )
