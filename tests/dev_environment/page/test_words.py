"""Numbers, times and texts of the page: nothing that is written by others can steer a browser or fill it."""

import time

import pytest
from page import words


def test_control_characters_and_turning_ones_are_shown_by_their_numbers():
    assert words.harmless("a\x1b[31m\u202egnp.exe") == r"a\x1b[31m\u202egnp.exe"
    assert words.harmless("two\nlines") == "two\nlines"


def test_markup_stays_the_text_that_it_is():
    assert words.harmless({"a": ["</script><img onerror=x>", 1, None]}) == {"a": ["</script><img onerror=x>", 1, None]}


def test_a_text_that_nobody_could_read_is_cut():
    shown = words.harmless("x" * 1_000_000)
    assert len(shown) < words.LONGEST + 100
    assert shown.endswith("980000 more characters)")


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (words.duration(0.01234), "12.3 ms"),
        (words.duration(0.3414), "341 ms"),
        (words.duration(1.5), "1.50 s"),
        (words.duration(None), "–"),
        (words.rate(3.25), "3.2/s"),
        (words.rate(0.05), "3.0/min"),
        (words.rate(0.0), "0.0/s"),
        (words.ratio(0.0), "0 %"),
        (words.ratio(0.015), "1.5 %"),
        (words.size(87_400_000), "87 MB"),
        (words.number(1234.0), "1,234"),
        (words.number(0.25), "0.25"),
        (words.number(float("nan")), "nan"),
        (words.number(float("-inf")), "-inf"),
        (words.age(time.time() - 7505), "2 h 05 min"),
        (words.age(time.time() + 60), "0 s"),
    ],
)
def test_numbers_are_short(shown, expected):
    assert shown == expected
