"""Words of a message."""

from datetime import timedelta

import pytest

from alerting import text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (3900, "1 h 5 min"),
        (86400, "1 d"),
        (86400 + 3 * 3600 + 59, "1 d 3 h"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    assert text.duration(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-720, "12 min late"), (3900, "1 h 5 min to spare"), (59, "just on time"), (-59.9, "just on time")],
)
def test_slack(seconds: float, words: str) -> None:
    assert text.slack(seconds) == words


def test_a_link_cannot_be_broken_out_of() -> None:
    assert text.link("http://x/", "a b&c#ü") == "http://x/alerts?alert=a%20b%26c%23%C3%BC"
    assert text.link("", "a") == ""
