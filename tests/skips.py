"""A skip that nobody expects is a check that isn't made: with `--fail-on-skip` it is a failure."""

from collections.abc import Generator

import pytest

__all__ = ["pytest_addoption", "pytest_make_collect_report", "pytest_runtest_makereport"]

OPTION = "--fail-on-skip"
Made = Generator[None, pytest.TestReport, pytest.TestReport]
Collected = Generator[None, pytest.CollectReport, pytest.CollectReport]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption(OPTION, action="store_true", help="fail where a test is skipped: all that tests need can be had")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Made:
    """Fail a skipped test, but for one that is known to fail."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and item.config.getoption(OPTION):
        report.outcome, report.longrepr = "failed", f"skipped, as {_reason(report)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Collected:
    """Fail a file whose tests are all skipped."""
    report = yield
    if report.skipped and collector.config.getoption(OPTION):
        report.outcome, report.longrepr = "failed", f"skipped, as {_reason(report)}"
    return report


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
