from collections.abc import Callable


def test_what_is_wrong_is_named(expect: Callable[..., None]) -> None:
    expect("ProxyConfig", "concurrency: -1", "concurrency", "may not be negative")
    expect("ProxyConfig", f"environmentVariables: {{A: {'x' * 2049}}}", "environmentVariables.A", "2048 characters")
    expect("ProxyConfig", "selector: {matchLabels: {a: '*'}}", "selector.matchLabels.a", "no wildcards")
