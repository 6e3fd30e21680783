"""What is asked of the next search where a file keeps less than the search promised."""

from dataclasses import replace

import pytest

from mobile_kit.checks import Check
from mobile_kit.mixed import stricter
from mobile_kit.quantization import Wanted
from mobile_kit.verify import OutputParity, VerifyReport

LOGITS = OutputParity("logits", 0.1, 24.0, 1.0, 0.95, 1.0, None, None, "SQNR >= 25.0 dB", False)


def report(*outputs: OutputParity, check: str = "passed") -> VerifyReport:
    return VerifyReport("artifact", "runtime", 32, (Check("sight", check, ""),), outputs)  # type: ignore[arg-type]


def test_a_file_that_keeps_enough_needs_no_other() -> None:
    assert stricter(Wanted(25.0), Wanted(25.0), report(replace(LOGITS, passed=True))) is None


def test_what_another_search_can_t_mend_needs_none() -> None:
    assert stricter(Wanted(25.0), Wanted(25.0), report(LOGITS, check="failed")) is None


def test_more_is_asked_by_what_the_file_lacks() -> None:
    assert stricter(Wanted(25.0), Wanted(25.0), report(LOGITS)) == Wanted(26.25)
    # The second time by what it still lacks of what is wanted, not of what was asked.
    again = stricter(Wanted(25.0), Wanted(26.25), report(replace(LOGITS, sqnr_db=24.9)))
    assert again is not None
    assert again.sqnr_db == pytest.approx(26.6)


def test_decisions_are_asked_for_likewise() -> None:
    wanted = Wanted(None, 0.97)
    assert stricter(wanted, wanted, report(LOGITS)) == Wanted(None, pytest.approx(0.99))
    assert stricter(wanted, Wanted(None, 0.999), report(LOGITS)) == Wanted(None, 1.0)
    # All of them were asked for already.
    assert stricter(wanted, Wanted(None, 1.0), report(LOGITS)) is None
