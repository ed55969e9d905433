"""The page that `agelens score --report` writes, opened as a file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.test_access import NARROW, SCREENSHOTS, WIDE, complaints
from tests.server_process import ROOT


@pytest.fixture(scope="module")
def report(models: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    output = tmp_path_factory.mktemp("archive")
    command = [sys.executable, "-m", "service.cli.main", "score", str(photos), "--output", str(output), "--report"]
    environment = {**os.environ, "AGELENS_MODELS_DIR": str(models)}
    subprocess.run([*command, "--engine", "threads", "--workers", "1"], check=True, cwd=ROOT, env=environment)
    return (output / "report.html").as_uri()


@pytest.mark.parametrize(("scheme", "size"), [("light", WIDE), ("dark", NARROW)])
def test_report_is_legible_for_everybody(open_page: OpenPage, report: str, scheme: str, size: tuple[int, int]) -> None:
    page: Page = open_page(*size, scheme)
    page.goto(report)
    expect(page.get_by_role("heading", name="By folder")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.bar')).fill") != "rgb(0, 0, 0)"
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert complaints(page) == ""
    page.screenshot(path=SCREENSHOTS / f"report-{scheme}.png", full_page=True)
