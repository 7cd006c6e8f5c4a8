"""docs/monitoring.md lists every metric, and the alert rules ask for metrics and codes that exist."""

import re
from pathlib import Path
from typing import Any, get_args

import promql_parser
import pytest
import yaml
from prometheus_client import Metric

from consumers.observability.http import HttpServer
from consumers.observability.state import ROLES
from consumers.observability.watch import Watch
from engine.reject import Code
from tests.service.streams import engine

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "monitoring.md").read_text("utf-8")
ALERTS = yaml.safe_load((ROOT / "deploy" / "alerts.yaml").read_text("utf-8"))
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]


def _families() -> list[Metric]:
    watch = Watch(engine(), instance="i", code="test")
    HttpServer("127.0.0.1:0", watch)
    return list(watch.metrics.registry.collect())


def _name(family: Metric) -> str:
    return family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")


def _samples() -> set[str]:
    names = set()
    for family in _families():
        suffixes = ("_bucket", "_sum", "_count") if family.type == "histogram" else ("",)
        names |= {_name(family) + suffix for suffix in suffixes}
    return names


def test_each_metric_is_listed_and_nothing_else() -> None:
    listed = re.findall(r"^\| `((?:backstop|process)_\w+)` \|", PAGE, flags=re.MULTILINE)
    assert len(set(listed)) == len(listed)
    assert sorted(listed) == sorted(_name(family) for family in _families())


def test_metrics_are_named_as_prometheus_names_them() -> None:
    for family in _families():
        assert family.documentation.endswith("."), family.name
        if not family.name.startswith("process_"):
            assert re.fullmatch(r"backstop_[a-z_]+", family.name)
            assert not family.name.endswith(("_ms", "_count", "_sum", "_bucket", "_total"))


def test_each_role_and_dead_letter_code_is_explained() -> None:
    for role in ROLES:
        assert f"`{role}`" in PAGE
    for code in ("malformed", "unknown_type", "invalid", "too_large", "wrong_topic", "ts_ahead", "quarantined"):
        assert f"| `{code}` |" in PAGE


def test_alert_names_are_unique_and_each_says_what_is_wrong_and_how_bad_it_is() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    assert all(set(group) == {"name", "rules"} for group in ALERTS["groups"])
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"page", "warn"}
        assert rule["annotations"]["summary"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_the_expression_of_an_alert_is_promql_over_metrics_that_exist(rule: dict[str, Any]) -> None:
    promql_parser.parse(rule["expr"])
    used = set(re.findall(r"\b(?:backstop|process)_\w+", rule["expr"]))
    assert used
    assert used <= _samples()
    for code in re.findall(r'code="(\w+)"', rule["expr"]):
        assert code in get_args(Code)
    for role in re.findall(r'role="(\w+)"', rule["expr"]):
        assert role in ROLES


def test_the_example_on_the_page_is_one_of_the_rules() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    (example,) = yaml.safe_load(block)
    assert example.items() <= next(rule for rule in RULES if rule["alert"] == example["alert"]).items()
