"""Documents that use every field of Istio's API load without an error, and none of their fields is lost."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyproxy.istio.fields import Message
from pyproxy.istio.kinds import KINDS
from pyproxy.istio.loader import load

FOLDER = Path(__file__).parent / "examples"
# Istio's schema has them, and Istio's rules refuse every document that sets them.
REFUSED = {
    "gateway.Port.target_port",
    "selector.PolicyTargetReference.namespace",
    "sidecar.SidecarPort.target_port",
    "virtual_service.Abort.http2_error",
    "virtual_service.Delay.exponential_delay",
}

FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_example_has_no_errors(file: Path) -> None:
    loaded = load([file])
    assert [str(problem) for problem in loaded.problems if problem.severity == "error"] == []


def test_the_examples_set_every_field_of_every_message() -> None:
    known = {(model, name) for kind in KINDS.values() for model in messages_below(kind.model) for name in fields(model)}
    used = {use for document in load([FOLDER]).documents for use in uses(document.spec)}
    missing = {f"{model.__module__.rpartition('.')[2]}.{model.__name__}.{name}" for model, name in known - used}
    assert missing == REFUSED


def fields(model: type[Message]) -> Iterator[str]:
    model.model_rebuild()
    yield from model.model_fields


def messages_below(model: type[Message]) -> set[type[Message]]:
    found: set[type[Message]] = set()
    waiting: list[object] = [model]
    while waiting:
        annotation = waiting.pop()
        if isinstance(annotation, type) and issubclass(annotation, Message):
            if annotation not in found:
                found.add(annotation)
                annotation.model_rebuild()
                waiting += [field.annotation for field in annotation.model_fields.values()]
        elif typing.get_origin(annotation) in (typing.Annotated, typing.Union, types.UnionType, tuple, dict):
            waiting += typing.get_args(annotation)
    return found


def uses(value: object) -> Iterator[tuple[type[Message], str]]:
    if isinstance(value, Message):
        for name in value.model_fields_set:
            yield type(value), name
            yield from uses(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from uses(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from uses(item)
