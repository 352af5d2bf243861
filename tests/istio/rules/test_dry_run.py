from collections.abc import Callable

import pytest

PATH = 'metadata.annotations["istio.io/dry-run"]'


@pytest.mark.parametrize(
    ("kind", "spec", "value", "part"),
    [
        ("AuthorizationPolicy", "rules: [{}]", "maybe", 'must be "true" or "false"'),
        ("AuthorizationPolicy", "action: AUDIT\nrules: [{}]", "true", "ALLOW or DENY"),
        ("PeerAuthentication", "{}", "true", "only on an AuthorizationPolicy"),
    ],
)
def test_only_a_policy_that_allows_or_denies_is_tried_out(
    expect: Callable[..., None], kind: str, spec: str, value: str, part: str
) -> None:
    expect(kind, spec, PATH, part, metadata=f'annotations: {{istio.io/dry-run: "{value}"}}')
