"""Alerts and autoscaling queries, computed by Prometheus itself (promtool) on made-up series."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.server_process import ROOT

ALERTS = ROOT / "docker/alerts.yml"
QUEUE, TIME = (
    trigger["metadata"]["query"]
    for trigger in yaml.safe_load((ROOT / "docker/kubernetes/scaling.yaml").read_text())["spec"]["triggers"]
)
REFUSES = "AgelensRefusesPictures"


def holds(folder: Path, interval: str, series: dict[str, str], **expected: Any) -> None:
    """Ask promtool whether series, values by name in its notation, give what is expected."""
    test = {"interval": interval, "input_series": [{"series": k, "values": v} for k, v in series.items()], **expected}
    file = folder / "rules.test.yml"
    file.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "15s", "tests": [test]}))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def pictures(values: str, **refused: str) -> dict[str, str]:
    """Pictures answered, and others refused by reason."""
    reasons = {reason.replace("_", "-"): counts for reason, counts in refused.items()}
    return {
        "agelens_pictures_total": values,
        **{f'agelens_rejected_total{{reason="{reason}"}}': counts for reason, counts in reasons.items()},
    }


@pytest.mark.parametrize(
    ("series", "reasons"),
    [
        (pictures("100x120", not_found="0+0.25x120"), []),
        (pictures("0+94x120", not_found="0+6x120", caller_gone="0+6x120", key_rejected="0+6x120"), []),
        (pictures("100x120", queue_full="0+0.1x120"), []),
        (pictures("0+94x120", queue_full="0+6x120"), ["queue-full"]),
        (pictures("0+88x120", rate_exceeded="0+6x120", body_too_slow="0+6x120"), ["body-too-slow", "rate-exceeded"]),
        (pictures("0x120", corrupt_picture="0+6x120"), ["corrupt-picture"]),
        (pictures("0+97x120", queue_full="0+3x120"), []),
    ],
    ids=["a quiet night", "strays", "now and then", "a full queue", "two reasons", "no picture is good", "a few"],
)
def test_the_alert_of_refusals_is_of_pictures(tmp_path: Path, series: dict[str, str], reasons: list[str]) -> None:
    fired = [
        {
            "exp_labels": {"severity": "ticket", "reason": reason},
            "exp_annotations": {"summary": f"over 5 % of pictures are refused: {reason}"},
        }
        for reason in reasons
    ]
    check = {"eval_time": "20m", "alertname": REFUSES, "exp_alerts": fired}
    holds(tmp_path, "15s", series, alert_rule_test=[check])


def test_idle_pods_are_not_scaled_by_a_time_that_nobody_waited(tmp_path: Path) -> None:
    series = {
        'http_request_duration_seconds_bucket{route="/v1/predict",le="0.1",pod="a"}': "50x60",
        'http_request_duration_seconds_bucket{route="/v1/predict",le="+Inf",pod="a"}': "60x60",
        'agelens_threads{pod="a"}': "2x60",
    }
    check = {"expr": TIME, "eval_time": "10m", "exp_samples": [{"labels": "{}", "value": 0}]}
    holds(tmp_path, "15s", series, promql_expr_test=[check])


def test_a_slow_answer_and_a_queue_are_seen_where_prometheus_scrapes_each_minute(tmp_path: Path) -> None:
    series = {
        'http_request_duration_seconds_bucket{route="/v1/predict",le="1.0",pod="a"}': "0x60",
        'http_request_duration_seconds_bucket{route="/v1/predict",le="2.0",pod="a"}': "0+60x60",
        'http_request_duration_seconds_bucket{route="/v1/predict",le="+Inf",pod="a"}': "0+60x60",
        'agelens_threads{pod="a"}': "2x60",
        'agelens_queue_depth{pod="a"}': "50x60",
    }
    checks = [
        {"expr": TIME, "eval_time": "10m45s", "exp_samples": [{"labels": "{}", "value": 1.95}]},
        {"expr": QUEUE, "eval_time": "10m45s", "exp_samples": [{"labels": "{}", "value": 50}]},
    ]
    holds(tmp_path, "60s", series, promql_expr_test=checks)
