from typing import Any

from pyproxy.lab.page import render_page

WHO = {"service": "s", "version": "v1", "host": "h", "count": 1}


def page(**parts: Any) -> str:
    whole = {"user": "", "details": {"error": "503 gone"}, "reviews": {"error": "504 late"}}
    return render_page({**WHO, **whole, **parts})


def test_gaps_are_said_and_not_hidden() -> None:
    text = page()
    assert "The details are not available: 503 gone" in text
    assert "The reviews are not available: 504 late" in text


def test_everything_from_outside_is_escaped() -> None:
    text = page(user="<i>", details={"error": "<script>"})
    assert "<i>" not in text
    assert "<script>" not in text


def test_reviews_without_ratings_have_no_stars_and_no_complaint() -> None:
    text = page(reviews={**WHO, "reviews": [{"reader": "r", "text": "t"}]})
    assert "★" not in text
    assert "stars are not available" not in text


def test_ratings_that_fail_cost_the_stars_only() -> None:
    reviews = {**WHO, "reviews": [{"reader": "r", "text": "t"}], "colour": "red", "ratings": {"error": "503"}}
    text = page(reviews=reviews)
    assert "The stars are not available: 503" in text
    assert "<blockquote>t" in text


def test_the_page_needs_nothing_from_elsewhere() -> None:
    assert "http" not in page().replace("https://", "http://")
