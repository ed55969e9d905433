"""The report of an archive says what its rows say, whoever wrote them, and is a page that asks nobody for anything."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from service.errors import CorruptPicture
from service.scoring.command import ScoreCommand
from service.scoring.parts import write_part
from service.scoring.report.findings import Counts, Fact, Findings, Folders, Shortlist, facts_in
from service.scoring.report.page import page, write_report
from service.scoring.rows import failure
from tests.service.doubles import grey
from tests.service.scoring.doubles import THREADS, middle_face

TERMS: dict[str, Any] = {
    "input": "/photos",
    "version": "1.0.0",
    "sha256": "0" * 64,
    "options": {"model": "brightness", "interval": 0.9, "min_face_size": 16.0, "detect": True},
}
QUIET = Console(quiet=True)


class Page(HTMLParser):
    """What a browser would make of the page: its elements and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


def face(ident: str, age: float = 30.0, width: int = 10, number: int = 0) -> Fact:
    return Fact(ident, "ok", None, None, number, age, int(age) - width // 2, int(age) + width // 2)


def failed(ident: str, reason: str = "corrupt-picture", detail: str = "cut off") -> Fact:
    return Fact(ident, "error", reason, detail, None, 0.0, 0, 0)


def nobody(ident: str) -> Fact:
    return Fact(ident, "no_face", None, None, None, 0.0, 0, 0)


def found(*facts: Fact) -> Findings:
    findings = Findings()
    findings.add(facts)
    return findings


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos <b>"
    for name, data in {
        "a/1.png": grey(51),
        "a/2.png": grey(204),
        "b/black.png": grey(0),
        "cut.png": b"\x89PNG",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def scored(photos: Path, output: Path, models_dir: Path, **options: Any) -> str:
    made = dict[str, Any](models_dir=models_dir, pipeline=middle_face, engine=THREADS, report=True)
    ScoreCommand(str(photos), output, **{**made, **options}).run(QUIET)
    return (output / "report.html").read_text()


@pytest.mark.parametrize("fmt", ["parquet", "csv", "jsonl"])
def test_the_report_is_that_of_the_rows_in_every_format(photos: Path, models_dir: Path, fmt: str) -> None:
    text = Page(scored(photos, photos.parent / "out", models_dir, format=fmt)).text
    assert re.findall(r"^(\w[\w ]*)\n(\d+)$", text, re.MULTILINE)[:5] == [
        ("photographs", "4"),
        ("faces", "2"),
        ("with a face", "2"),
        ("without a face", "1"),
        ("failed", "1"),
    ]
    assert "Half of the faces look 20 to 80 years old" in text
    assert {"a", "b", "(no folder)", "a/1.png", "b/black.png", "cut.png", "unsupported-picture: 1"} <= {
        *text.split("\n")
    }


def test_the_report_of_a_run_that_goes_on_is_that_of_one_run(photos: Path, models_dir: Path) -> None:
    whole = scored(photos, photos.parent / "out", models_dir)
    late = photos.parent / "late"
    (photos / "cut.png").rename(late)
    first = scored(photos, photos.parent / "again", models_dir)
    late.rename(photos / "cut.png")
    assert scored(photos, photos.parent / "again", models_dir) == whole != first


def test_names_and_reasons_are_text_and_never_markup() -> None:
    evil = "<script>alert(1)</script>\"'&\u202e\n.jpg"
    made = page({**TERMS, "input": evil}, found(face(evil), nobody(evil + "2"), failed(evil + "3", evil, evil)))
    read = Page(made)
    assert "script" not in {tag for tag, _ in read.elements}
    assert read.text.count("<script>alert(1)</script>\"'&\\u202e\\n.jpg") == 6
    assert "\u202e" not in made


def test_the_page_needs_no_script_no_style_but_its_own_and_no_host() -> None:
    read = Page(page(TERMS, found(face("a"), nobody("b"), failed("c"))))
    policy = next(attributes["content"] or "" for _, attributes in read.elements if "http-equiv" in attributes)
    assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[\w+/]{43}='", policy)
    assert {name for _, attributes in read.elements for name in attributes} & {
        "src",
        "href",
        "style",
        "onload",
    } == set()


def test_the_widest_interval_of_each_photograph_is_listed_widest_first() -> None:
    findings = found(face("a", width=10), face("b", width=40), face("b", width=60, number=1), face("c", width=20))
    assert [(each.id, each.face) for each in findings.widest.kept] == [("b", 1), ("c", 0), ("a", 0)]
    assert findings.all.faces == 4


def test_a_shortlist_keeps_the_least_and_counts_all() -> None:
    shortlist: Shortlist[str] = Shortlist(2)
    for name in "dbca":
        shortlist.add(name)
    assert (shortlist.kept, shortlist.count) == (["a", "b"], 4)


def test_what_is_kept_does_not_grow_with_the_archive() -> None:
    findings = Findings()
    for number in range(4000):
        findings.add([face(f"x{number}/y/{number}"), failed(f"y{number}/z"), nobody(f"z{number}/z")])
    assert findings.all.pictures == 12_000
    assert len(list(findings.folders)) <= 500
    assert len(page(TERMS, findings)) < 100_000
    assert "200 of 4,000; the rows of the archive name all" in page(TERMS, findings)


def test_many_folders_are_counted_with_their_parents() -> None:
    folders = Folders(most=3)
    for ident in ("a/1/x", "a/2/x", "b/1/x", "b/2/x", "b/3/y"):
        folders.add_picture([face(ident)])
    assert [(name, counts.pictures) for name, counts in folders] == [("a", 2), ("b", 3)]
    assert folders.depth == 1


def test_quantiles_are_of_the_faces() -> None:
    counts = Counts()
    for age in (10.0, 20.9, 30.0, 100.0):
        counts.add_picture([face("a", age)])
    assert [counts.quantile(share) for share in (0.25, 0.5, 0.75, 1.0)] == [10, 20, 30, 100]
    assert Counts().quantile(0.5) is None


def test_an_archive_without_a_face_has_a_report() -> None:
    assert "No face was found" in page(TERMS, found(failed("a")))


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    (tmp_path / "score.json").write_text(json.dumps(TERMS))
    write_part(tmp_path / "part-1.csv", [failure("a", OSError(2, "gone"))], "csv", ())
    assert [fact.detail for fact in facts_in(tmp_path / "part-1.csv", "csv")] == ["gone"]
    (tmp_path / "part-2.csv").write_text("nothing\n")
    with pytest.raises(CorruptPicture, match=r"part-2\.csv is not a part"):
        write_report(tmp_path, "csv", QUIET)
