"""What is said of how a program ended, whatever the link was."""

import pytest

from mobile_kit.profiling.devices.program import Ended


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        (Ended(1, "first\nlast words.\n"), "the program failed (last words)"),
        (Ended(-6), "the program was killed (signal 6, it said nothing)"),
        (Ended(137), "the program was killed (signal 9, it said nothing)"),
        (Ended(None, "reset by peer"), "the link broke (reset by peer)"),
        (Ended(255, "x"), "the program failed (x)"),
    ],
)
def test_the_reason_is_in_a_few_words(ended: Ended, reason: str) -> None:
    assert ended.reason == reason


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("Permission denied (publickey).", "Give it your key: ssh-copy-id."),
        ("write: No space left on device", "Make room there."),
        ("error: device unauthorized.", "Unlock the device and allow debugging."),
        ("who knows", "Run it again."),
    ],
)
def test_there_is_a_way_out(words: str, advice: str) -> None:
    assert Ended(1, words).advice == advice
