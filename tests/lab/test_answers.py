from typing import Any

from pyproxy.lab import answers

FINDING = {"what": "share", "value": 0.5, "low": 0.4, "high": 0.6, "unit": "%", "ok": True, "hint": ""}
CHECKED: dict[str, Any] = {
    "scenario": "canary",
    "step": 1,
    "steps": 2,
    "title": "10 %",
    "ok": True,
    "errors": [],
    "findings": [FINDING],
    "next": "pyproxy lab scenario canary 2",
    "unchecked": [],
    "because": "",
}


def test_what_holds_is_followed_by_what_is_next() -> None:
    text = answers.checked_text(CHECKED)
    assert "ok  share" in text and "50.0 %   expected 40.0 % to 60.0 %" in text
    assert text.endswith("This step holds. Next: pyproxy lab scenario canary 2")


def test_what_does_not_hold_is_followed_by_a_hint() -> None:
    finding = {**FINDING, "ok": False, "value": None, "hint": "turn the knob"}
    text = answers.checked_text({**CHECKED, "ok": False, "next": "", "findings": [finding]})
    assert "NO  share" in text and "hint: turn the knob" in text
    assert text.endswith("pyproxy lab check canary")


def test_limits_are_said_as_people_say_them() -> None:
    same = {**FINDING, "low": 1, "high": 1}
    above = {**FINDING, "unit": "", "value": 7, "low": 1, "high": 1e9}
    text = answers.checked_text({**CHECKED, "findings": [same, above]})
    assert "expected 100.0 %\n" in text
    assert "expected at least 1\n" in text


def test_the_end_says_why_and_what_was_forgotten() -> None:
    end = {**CHECKED, "next": "", "because": "because of that", "unchecked": [1]}
    assert "Why: because of that" in answers.checked_text(end)
    assert answers.checked_text(end).endswith("Go back: pyproxy lab scenario canary 1")
    assert "Every step holds" in answers.checked_text({**end, "unchecked": []})


def test_errors_of_documents_come_before_anything_else() -> None:
    text = answers.checked_text({**CHECKED, "ok": False, "errors": ["a.yaml:1:2 wrong"], "findings": []})
    assert "  a.yaml:1:2 wrong" in text
    assert text.endswith("Save it corrected, and check again.")


STATUS: dict[str, Any] = {
    "lab": {"page": "http://p", "documents": "/d", "folder": "/f", "seed": 1},
    "scenario": "canary",
    "title": "A canary",
    "step": 2,
    "steps": 3,
    "step_title": "50 %",
    "question": "how many?",
    "documents": ["reviews.yaml"],
    "knobs": {"reviews-v3": {"delay_ms": 5}},
    "loads": ["reviews, 50 requests a second"],
    "watch": ["curl x"],
    "measured_seconds": 2.5,
    "requests": 100,
    "failed": 3,
    "checked": {"1": True, "2": False},
    "errors": [],
}


def test_a_beginning_asks_for_a_prediction_first() -> None:
    lines = answers.begun_text(STATUS).splitlines()
    assert lines[0] == "A canary: step 2 of 3, 50 %"
    assert lines[2] == "Predict: how many?"
    assert "  knob        reviews-v3: delay_ms 5" in lines
    assert lines[-1] == "  then        pyproxy lab check canary"


def test_status_says_what_was_checked() -> None:
    text = answers.status_text(STATUS)
    assert "checked     1 holds; 2 does not hold; 3 not checked" in text
    assert "scenario    none" in answers.status_text({**STATUS, "scenario": ""})
    assert "  a.yaml wrong" in answers.status_text({**STATUS, "errors": ["a.yaml wrong"]})


def test_reset_says_whether_anything_ran() -> None:
    assert (
        answers.reset_text({"ended": "canary", "seconds": 0.3})
        == "canary has ended. Your documents are back, in 0.3 s."
    )
    assert answers.reset_text({"ended": "", "seconds": 0.3}).startswith("No scenario was running")


def test_a_report_says_where_it_is() -> None:
    lines = answers.report_text({"html": "/r.html", "edges": "/e.csv", "events": "/v.csv"}).splitlines()
    assert [line.split() for line in lines] == [["html", "/r.html"], ["edges", "/e.csv"], ["events", "/v.csv"]]
    assert answers.down_text({}) == "The lab ends."
