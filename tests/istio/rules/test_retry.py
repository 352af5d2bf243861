from collections.abc import Callable

import pytest


def in_rule(text: str) -> str:
    return f"hosts: [a]\nhttp: [{{route: [{{destination: {{host: a}}}}], retries: {text}}}]"


@pytest.mark.parametrize(
    ("retries", "path", "part"),
    [
        ("{attempts: -1}", "attempts", "may not be negative"),
        ("{retryOn: 5xx}", "retryOn", "attempts is 0"),
        ("{attempts: 0, perTryTimeout: 1s}", "perTryTimeout", "attempts is 0"),
        ("{retryRemoteLocalities: false}", "retryRemoteLocalities", "attempts is 0"),
        ("{attempts: 1, retryOn: 'reset, 5xx'}", "retryOn", '" 5xx" is no condition'),
        ("{attempts: 1, retryOn: sometimes}", "retryOn", "accepted are HTTP statuses, 5xx"),
        ("{attempts: 1, retryOn: '999'}", "retryOn", "no condition"),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], retries: str, path: str, part: str) -> None:
    expect("VirtualService", in_rule(retries), f"http[0].retries.{path}", part)


@pytest.mark.parametrize("retries", ["{}", "{attempts: 0, backoff: 1s}", "{attempts: 1, retryOn: '503,cancelled,418'}"])
def test_what_is_unusual_but_right_passes(judge: Callable[..., list[object]], retries: str) -> None:
    assert judge("VirtualService", in_rule(retries)) == []
