from __future__ import annotations

import os
from pathlib import Path

import pytest
from rich.console import Console

from service.cli.settings import print_settings
from service.cpu import available_cpus
from service.errors import InvalidSetting
from service.settings import PREFIX, Settings, load_settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AGELENS_")]:
        monkeypatch.delenv(name)


def test_environment_is_read_and_arguments_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGELENS_PORT", "9000")
    monkeypatch.setenv("AGELENS_THREADS", "3")
    settings = load_settings(port=9001, host=None)
    assert (settings.port, settings.threads, settings.host) == (9001, 3, "127.0.0.1")


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGELENS_API_KEYS", "one, two,,")
    assert load_settings().api_keys == ("one", "two")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("AGELENS_THREADS", "0", "AGELENS_THREADS .*greater than or equal to 1"),
        ("AGELENS_THREADS", "many", "AGELENS_THREADS .*valid integer"),
        ("AGELENS_PORT", "tcp://10.0.0.1:80", "AGELENS_PORT .*enableServiceLinks"),
        ("AGELENS_THREDS", "2", r"AGELENS_THREDS is not a setting; did you mean AGELENS_THREADS\?"),
        ("AGELENS_SHOE", "2", "AGELENS_SHOE is not a setting; `agelens settings` lists them all"),
        ("AGELENS_LOG_LEVEL", "loud", "AGELENS_LOG_LEVEL .*'debug'"),
        ("AGELENS_MAX_BATCH_PARTS", "1000", r"AGELENS_MAX_BATCH_PARTS \(1000\) must not exceed AGELENS_QUEUE_SIZE"),
        ("AGELENS_MAX_BODY_BYTES", "999999999", "AGELENS_MAX_BUFFERED_BYTES"),
        ("AGELENS_RATE_LIMIT_PER_MINUTE", "5", "AGELENS_API_KEYS"),
        ("AGELENS_CORS_ORIGINS", "example.com", "example.com is not an origin; .*https://example.com"),
        ("AGELENS_CORS_ORIGINS", "https://a.org,https://b.org/", "https://b.org/ is not an origin"),
        ("AGELENS_CORS_ORIGINS", "https://Example.com", "https://Example.com is not an origin"),
        ("AGELENS_CORS_ORIGINS", "https://*.example.com", "is not an origin; .*without \\*"),
        ("AGELENS_CORS_ORIGINS", "https://example.com:443", "is not an origin; .*without the port"),
        ("AGELENS_CORS_ORIGINS", "http://example.com:80", "is not an origin"),
        ("AGELENS_CORS_ORIGINS", "https://b\u00fccher.de", "is not an origin; .*xn--"),
        ("agelens_threds", "2", "agelens_threds is not a setting"),
        ("AGELENS_API_KEYS", "", "AGELENS_API_KEYS .*set but empty; set a value or unset it"),
        ("AGELENS_API_KEYS", ",", "set but empty"),
        ("AGELENS_API_KEYS", " , ", "set but empty"),
        ("AGELENS_API_KEYS", "\n", "set but empty"),
        ("agelens_api_keys", ",", "set but empty"),
        ("AGELENS_API_KEYS_FILE", "", "set but empty"),
        ("AGELENS_HOST", "", "AGELENS_HOST .*set but empty"),
        ("AGELENS_PROVIDERS", " ", "set but empty"),
    ],
)
def test_wrong_setting_is_named_with_what_would_be_right(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidSetting, match=said):
        load_settings()


def numbers() -> list[str]:
    return [name for name, field in Settings.model_fields.items() if field.annotation in (int, float, int | None)]


@pytest.mark.parametrize("value", ["1e9", "999999999999999", "-1", "nan", "inf", "-inf", ""])
@pytest.mark.parametrize("name", numbers())
def test_no_number_may_be_absurd(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"AGELENS_{name.upper()}", value)
    with pytest.raises(InvalidSetting, match=f"AGELENS_{name.upper()} "):
        load_settings()


@pytest.mark.parametrize("name", numbers())
def test_every_number_has_both_bounds(name: str) -> None:
    schema = Settings.model_json_schema()["properties"][name]
    bounds = schema.get("anyOf", [schema])[0]
    assert {"minimum", "maximum"} <= bounds.keys()


def test_origins_are_taken_as_browsers_send_them(monkeypatch: pytest.MonkeyPatch) -> None:
    origins = "https://example.com,https://xn--bcher-kva.de:80,http://localhost:3000,http://[::1]:3000,null,capacitor://localhost,*"
    monkeypatch.setenv("AGELENS_CORS_ORIGINS", origins)
    assert load_settings().cors_origins == tuple(origins.split(","))


@pytest.mark.parametrize("level", ["INFO", "Info", " info "])
def test_levels_of_the_log_are_taken_in_any_case(monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    monkeypatch.setenv("AGELENS_LOG_LEVEL", level)
    assert load_settings().log_level == "info"


def test_variables_that_kubernetes_injects_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGELENS_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("AGELENS_PORT_8000_TCP", "tcp://10.0.0.1:8000")
    assert load_settings().port == 8000


def test_variables_of_another_service_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP_ADDR"):
        monkeypatch.setenv(f"AGELENS_CANARY_{name}", "10.0.0.1")
    load_settings()
    monkeypatch.delenv("AGELENS_CANARY_SERVICE_HOST")
    with pytest.raises(InvalidSetting, match="AGELENS_CANARY_PORT is not a setting"):
        load_settings()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]  # that it cannot be set is the point


def test_keys_are_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AGELENS_API_KEYS", "hush")
    with (tmp_path / "shown").open("w+") as shown:
        print_settings(Console(file=shown, width=200))
        shown.seek(0)
        text = shown.read()
    assert "hush" not in text + repr(load_settings())
    assert "1 key(s)" in text


def test_settings_are_shown_as_the_environment_has_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AGELENS_MODELS", "one, two")
    with (tmp_path / "shown").open("w+") as shown:
        print_settings(Console(file=shown, width=200))
        shown.seek(0)
        cells = {row[1].strip(): row[2].strip() for line in shown if len(row := line.split("│")) > 3}
    assert cells["AGELENS_MODELS"] == "one,two"
    assert cells["AGELENS_DOCS"] == "true"
    assert cells["AGELENS_MODELS_DIR"] == cells["AGELENS_PRIORS"] == ""
    assert cells["AGELENS_PORT"] == "8000"


def test_names_of_settings_can_be_searched_for_however_narrow_the_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AGELENS_PROVIDERS", "OpenVINOExecutionProvider,CPUExecutionProvider")
    with (tmp_path / "shown").open("w+") as shown:
        print_settings(Console(file=shown, width=80))
        shown.seek(0)
        text = shown.read()
    assert [name for name in Settings.model_fields if f" {PREFIX}{name.upper()} " not in text] == []
    assert "…" not in text


def write(tmp_path: Path, files: dict[str, str]) -> int:
    for name, content in {"membership": "0::/pod/box\n", **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return available_cpus(tmp_path / "fs", tmp_path / "membership")


@pytest.fixture
def _many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))


@pytest.mark.usefixtures("_many")
@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, 64),
        ({"fs/pod/box/cpu.max": "max 100000"}, 64),
        ({"fs/pod/box/cpu.max": "200000 100000"}, 2),
        ({"fs/pod/box/cpu.max": "250000 100000"}, 2),
        ({"fs/pod/box/cpu.max": "50000 100000"}, 1),
        ({"fs/pod/box/cpu.max": "max 100000", "fs/pod/cpu.max": "300000 100000"}, 3),
        ({"fs/cpu.max": "400000 100000"}, 4),
        (
            {
                "membership": "4:cpu,cpuacct:/box\n",
                "fs/cpu/box/cpu.cfs_quota_us": "500000",
                "fs/cpu/box/cpu.cfs_period_us": "100000",
            },
            5,
        ),
        (
            {
                "membership": "4:cpu,cpuacct:/box\n",
                "fs/cpu/box/cpu.cfs_quota_us": "-1",
                "fs/cpu/box/cpu.cfs_period_us": "100000",
            },
            64,
        ),
    ],
)
def test_threads_follow_the_containers_quota(tmp_path: Path, files: dict[str, str], cpus: int) -> None:
    assert write(tmp_path, files) == cpus


def test_affinity_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    assert write(tmp_path, {"fs/pod/box/cpu.max": "800000 100000"}) == 3
