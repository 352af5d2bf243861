from collections.abc import Callable

import pytest

POLICY = "rules: [{}]"


@pytest.mark.parametrize(
    ("spec", "path", "part"),
    [
        (f"selector: {{matchLabels: {{a: '*'}}}}\n{POLICY}", "selector.matchLabels.a", "no wildcards"),
        (f"selector: {{matchLabels: {{'': a}}}}\n{POLICY}", "selector.matchLabels", "needs a name"),
        (f"selector: {{matchLabels: {{a: {'x' * 64}}}}}\n{POLICY}", "selector.matchLabels.a", "63 characters"),
        (f"targetRef: {{kind: Pod, name: a}}\n{POLICY}", "targetRef.kind", "accepted are Service"),
        (f"targetRef: {{kind: Service, name: ''}}\n{POLICY}", "targetRef.name", "is required"),
        (
            f"targetRefs: [{{kind: Service, name: a, namespace: b}}]\n{POLICY}",
            "targetRefs[0].namespace",
            "own namespace",
        ),
        (
            f"selector: {{matchLabels: {{a: b}}}}\ntargetRef: {{kind: Service, name: a}}\n{POLICY}",
            "spec",
            "exclude each other",
        ),
    ],
)
def test_what_is_wrong_is_named(expect: Callable[..., None], spec: str, path: str, part: str) -> None:
    expect("AuthorizationPolicy", spec, path, part)


def test_a_selector_without_labels_is_warned_about(expect: Callable[..., None]) -> None:
    expect("AuthorizationPolicy", f"selector: {{}}\n{POLICY}", "selector", "selects every workload", "warning")


@pytest.mark.parametrize(
    ("export_to", "right"), [("['.']", True), ("[default]", True), ("['*']", False), ("[default, b]", False)]
)
def test_a_rule_for_some_workloads_stays_in_its_namespace(
    judge: Callable[..., list[object]], export_to: str, right: bool
) -> None:
    spec = f"host: a\nworkloadSelector: {{matchLabels: {{a: b}}}}\nexportTo: {export_to}"
    assert (judge("DestinationRule", spec) == []) == right
