"""What holds for every command: options, help, a wrong command line."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from service.inference.options import PredictOptions
from tests.service.cli.command import agelens


def test_both_commands_offer_every_option_with_its_default() -> None:
    for command in ("predict", "score"):
        text = " ".join(agelens(command, "--help").stdout.split())
        for name, option in PredictOptions.model_fields.items():
            assert f"--{name.replace('_', '-')} " in text
            assert str(option.description)[1:40] in text
        assert "[default: 0.9]" in text
        assert "AGELENS_MAX_FACES" in text
        assert "None" not in text


def test_help_shows_an_example_and_the_statuses() -> None:
    text = " ".join(agelens("predict", "--help").stdout.split())
    assert "agelens predict family.jpg" in text
    assert "3 a photograph cannot be read" in text
    assert "4 scoring is done" not in text
    assert "4 scoring is done" in " ".join(agelens("score", "--help").stdout.split())


def test_version_is_that_of_the_package() -> None:
    assert agelens("--version").stdout.strip() == version("agelens")


def test_completion_can_be_installed() -> None:
    assert "--install-completion" in agelens("--help").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("predict", "--threshold", "18"),
            "no such option: --threshold (Possible options: --thresholds); see `agelens pre",
        ),
        (("predict",), "missing argument 'PHOTO'; see `agelens predict --help`"),
        (("predict", "-", "--fields", "x"), "invalid value for '--fields': 'x' is not one of 'all', 'summary'; see"),
        (("predict", "-", "--interval", "x"), "invalid value for '--interval': it should be a valid number"),
        (("score", "x"), "missing option '--output'; see `agelens score --help`"),
        (("foo\n\x1b[31m",), "no such command 'foo"),
        (("models", "foo"), "no such command 'foo'; see `agelens models --help`"),
    ],
)
def test_a_wrong_command_line_is_one_line_that_says_where_to_look(words: tuple[str, ...], said: str) -> None:
    result = agelens(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"agelens: {said}")
    assert (result.stderr.count("\n"), "\x1b" in result.stderr) == (1, False)


def test_no_words_at_all_show_the_help() -> None:
    result = agelens()
    assert (result.exit_code, "Estimate ages from photographs." in result.stdout, result.stderr) == (2, True, "")
