"""One HTML page that sums an archive up: no script, no request, nothing of a photograph but its name."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import track

from service.scoring.archive import AGREEMENT
from service.scoring.job import Format
from service.scoring.parts import finished_parts
from service.scoring.report.drawing import histogram, share_bar, sketch, span
from service.scoring.report.findings import Counts, Findings, Shortlist, Uncertain, facts_in

REPORT: Final = "report.html"
_STYLE: Final = (Path(__file__).parent / "report.css").read_text()
_LONGEST_DETAIL: Final = 300
_OPEN: Final = 20
"""Lists up to this length are shown; longer ones are unfolded."""


def write_report(folder: Path, fmt: Format, console: Console) -> Path:
    """Read all parts of an archive one after the other and write its report beside them; return its path.

    Raises CorruptPicture naming a part that cannot be read.
    """
    findings = Findings()
    for part in track(finished_parts(folder, fmt), "reading the archive", console=console, transient=True):
        findings.add(facts_in(part, fmt))
    made = folder / REPORT
    beside = made.with_suffix(".tmp")
    beside.write_text(page(json.loads((folder / AGREEMENT).read_text()), findings), encoding="utf-8")
    beside.replace(made)
    return made


def page(terms: dict[str, Any], findings: Findings) -> str:
    """Return the page as HTML; `terms` is what score.json says."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    sections = (_overview, _ages, _uncertain, _failures, _nobody, _folders)
    title = f"Ages in {shown(Path(terms['input']).name or terms['input'])}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{digest}'\">\n"
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style></head>\n<body><header><h1>{title}</h1>\n{_asked(terms)}"
        "</header>\n<main>\n" + "\n".join(section(findings) for section in sections) + "\n</main>\n"
        "<footer>Ages are estimates of how old a face looks. An interval holds the age as often as its level says, "
        "for faces like those the model was measured on.</footer></body></html>\n"
    )


def shown(text: str) -> str:
    """Escape for HTML; what cannot be seen, as a control character that turns the writing round, becomes its code."""
    seen = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    return html.escape(seen)


def _asked(terms: dict[str, Any]) -> str:
    options = terms["options"]
    model = f"{options['model']} {terms['version']}"
    return (
        f"<p>{shown(terms['input'])}</p><p>Model {shown(model)} <code>{shown(terms['sha256'][:12])}</code>, "
        f"intervals of {options['interval']:.0%}, "
        + (
            f"{_sizes(options['min_face_size'])}.</p>\n"
            if options["detect"]
            else "each picture taken for one face.</p>\n"
        )
    )


def _sizes(smallest: float | None) -> str:
    return (
        "faces of the sizes that are looked for by default"
        if smallest is None
        else f"faces of {smallest:g} pixels or more"
    )


def _overview(findings: Findings) -> str:
    counts = findings.all
    seen = counts.pictures - counts.empty - counts.failures
    named = [
        ("photographs", counts.pictures, ""),
        ("faces", counts.faces, ""),
        ("with a face", seen, "seen"),
        ("without a face", counts.empty, "empty"),
        ("failed", counts.failures, "failed"),
    ]
    tiles = "".join(f'<div class="{kind}"><dt>{name}</dt><dd>{number:,}</dd></div>' for name, number, kind in named)
    return f"<dl>{tiles}</dl>{share_bar(seen, counts.empty, counts.failures)}"


def _ages(findings: Findings) -> str:
    counts = findings.all
    if not counts.faces:
        return _section("Ages", "<p>No face was found.</p>")
    low, middle, high = (counts.quantile(share) for share in (0.25, 0.5, 0.75))
    words = f"<p>Half of the faces look {low} to {high} years old; the median is {middle}.</p>"
    return _section("Ages", words + _wide(histogram(counts.ages)))


def _uncertain(findings: Findings) -> str:
    widest = findings.widest

    def row(face: Uncertain) -> Sequence[str]:
        years = f"{face.low} to {face.high}"
        return shown(face.id), str(face.face + 1), f"{face.age:.1f}", years, span(face.age, face.low, face.high)

    body = _table(["photograph", "face", "age", "interval", "0 to 100 years"], map(row, widest.kept))
    return _section("Widest intervals", _of(widest, " photographs with a face") + body) if widest.count else ""


def _failures(findings: Findings) -> str:
    reasons = sorted(findings.failed.items(), key=lambda each: (-each[1].count, each[0]))
    parts = [_folded(f"{shown(reason)}: {entries.count:,}", entries, _failure_table) for reason, entries in reasons]
    return _section("Failed photographs", "".join(parts) or "<p>None.</p>")


def _failure_table(entries: Shortlist[tuple[str, str]]) -> str:
    rows = (
        (shown(ident), f'<span class="words">{shown(detail[:_LONGEST_DETAIL])}</span>')
        for ident, detail in entries.kept
    )
    return _table(["photograph", "what was wrong"], rows)


def _nobody(findings: Findings) -> str:
    def listed(entries: Shortlist[str]) -> str:
        return '<ul class="names">' + "".join(f"<li>{shown(ident)}</li>" for ident in entries.kept) + "</ul>"

    nobody = findings.nobody
    body = _folded(f"photographs: {nobody.count:,}", nobody, listed) if nobody.count else "<p>None.</p>"
    return _section("Photographs without a face", body)


def _folders(findings: Findings) -> str:
    folders = findings.folders

    def row(folder: tuple[str, Counts]) -> Sequence[str]:
        name, counts = folder
        numbers = (f"{number:,}" for number in (counts.pictures, counts.faces, counts.empty, counts.failures))
        median = counts.quantile(0.5)
        drawn = sketch(counts.ages) if counts.faces else ""
        return shown(name) or "(no folder)", *numbers, "" if median is None else str(median), drawn

    head = ["folder", "photographs", "faces", "without a face", "failed", "median age", "ages, 0 to 100"]
    note = (
        "" if folders.depth is None else f"<p>Folders deeper than {folders.depth} are counted with their parents.</p>"
    )
    return _section("By folder", note + _table(head, map(row, folders)))


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def _folded(summary: str, entries: Shortlist[Any], listed: Callable[[Shortlist[Any]], str]) -> str:
    opened = " open" if entries.count <= _OPEN else ""
    return f"<details{opened}><summary>{summary}</summary>{_of(entries)}{listed(entries)}</details>"


def _of(entries: Shortlist[Any], what: str = "") -> str:
    if entries.count <= entries.most:
        return ""
    return f'<p class="note">{entries.most} of {entries.count:,}{what}; the rows of the archive name all.</p>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out cells that are HTML already; the first column's are the rows' names."""
    top = "".join(f'<th scope="col">{name}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in rest) + "</tr>\n"
        for first, *rest in rows
    )
    return _wide(f"<table><thead><tr>{top}</tr></thead><tbody>\n{body}</tbody></table>")


def _wide(body: str) -> str:
    """Let what is wider than the screen be moved, also by keyboard."""
    return f'<div class="scroll" tabindex="0">{body}</div>'
