"""Files and folders to typed documents: reads everything, checks each document alone, reports all problems at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from yaml import Node

from pyproxy.istio.advice import add_advice
from pyproxy.istio.fields import Message
from pyproxy.istio.files import find_files, read_documents
from pyproxy.istio.kinds import Kind, kind_of, why_not_applied
from pyproxy.istio.metadata import DEFAULT_NAMESPACE, ObjectMeta, check_metadata
from pyproxy.istio.problems import NOT_A_RESOURCE, NOT_APPLIED, SCHEMA_ERROR, FieldPath, Problem
from pyproxy.istio.report import Report
from pyproxy.istio.resources import Document
from pyproxy.istio.rules.dry_run import check_dry_run
from pyproxy.istio.rules.place import Finding, Place
from pyproxy.istio.schema import Mismatch, nearest, parse_message
from pyproxy.istio.yaml_values import Reading

_ENVELOPE = ("apiVersion", "kind", "metadata", "status")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a set of files holds."""

    documents: tuple[Document, ...]
    """The documents that apply and have no errors, in order."""
    problems: tuple[Problem, ...]
    """Everything found, by file and line."""

    @property
    def ok(self) -> bool:
        """Whether nothing is an error."""
        return not any(problem.severity == "error" for problem in self.problems)


def load(paths: Sequence[Path]) -> Loaded:
    """Read files, and folders with everything below them, and check each document on its own. Raises nothing."""
    documents: list[Document] = []
    problems: list[Problem] = []
    order = 0
    for file in find_files(paths):
        if isinstance(file, Problem):
            problems.append(file)
            continue
        found: list[Problem] = []
        for root in read_documents(file):
            if isinstance(root, Problem):
                found.append(root)
                continue
            report = Report(file, root)
            document = _load_document(file, root, order, report)
            order += 1
            found += report.problems
            if document is not None and not report.failed:
                documents.append(document)
        problems += sorted(found, key=lambda problem: (problem.line, problem.column))
    return Loaded(tuple(documents), tuple(problems))


def _load_document(file: Path, root: Node, order: int, report: Report) -> Document | None:
    reading = Reading()
    raw = reading.value(root)
    if not isinstance(raw, dict):
        report.add("error", NOT_A_RESOURCE, (), "a document is a mapping with apiVersion, kind, metadata and spec")
        return None
    api_version, kind_name = raw.get("apiVersion"), raw.get("kind")
    report.resource = _resource(raw)
    if not (isinstance(api_version, str) and api_version and isinstance(kind_name, str) and kind_name):
        _report_no_kind(raw, report)
        return None
    kind = kind_of(api_version, kind_name)
    if kind is None:
        severity, message = why_not_applied(api_version, kind_name)
        report.add(severity, NOT_APPLIED, ("kind",), message)
        return None
    report.add_faults(reading.faults)
    meta = _load_metadata(kind, raw, report)
    spec = _load_body(kind, raw, meta, report)
    if spec is None:
        return None
    if not report.failed:
        add_advice(kind_name, spec, ("spec",) if kind.in_spec else (), report)
    return Document(
        api_version=api_version,
        kind=kind_name,
        name=meta.name or "",
        namespace=meta.namespace or DEFAULT_NAMESPACE,
        labels=meta.labels,
        annotations=meta.annotations,
        spec=spec,
        file=file,
        line=root.start_mark.line + 1,
        order=order,
        raw=raw,
    )


def _resource(raw: Mapping[str, object]) -> str:
    """`Kind/namespace/name`, with what the document has of them."""
    meta = raw.get("metadata")
    names = meta if isinstance(meta, dict) else {}
    parts = (raw.get("kind"), names.get("namespace") or DEFAULT_NAMESPACE, names.get("name"))
    return "/".join(part if isinstance(part, str) else "" for part in parts).strip("/") if parts[0] else ""


def _report_no_kind(raw: Mapping[str, object], report: Report) -> None:
    examples = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService"}
    for name, example in examples.items():
        value = raw.get(name)
        if not isinstance(value, str) or not value:
            wrong = "is required" if value in (None, "") else "must be text"
            report.add("error", NOT_A_RESOURCE, (name,), f"{wrong}, as in {name}: {example}")


def _load_metadata(kind: Kind, raw: Mapping[str, object], report: Report) -> ObjectMeta:
    """The metadata, without what is wrong in it."""
    body = raw.get("metadata")
    meta, mismatches = parse_message(
        ObjectMeta, {} if body is None else body, lambda path: report.written(("metadata", *path))
    )
    report.add_mismatches(("metadata",), mismatches)
    meta = meta or ObjectMeta()
    findings: list[Finding] = []
    check_metadata(meta, Place(findings, ("metadata",)), named=kind.named)
    report.add_findings(_independent(findings, ("metadata",), mismatches))
    return meta


def _load_body(kind: Kind, raw: Mapping[str, object], meta: ObjectMeta, report: Report) -> Message | None:
    """The message of the document, checked; without what is wrong in it, or None when nothing can be made of it."""
    body: object
    if kind.in_spec:
        prefix: FieldPath = ("spec",)
        body = raw.get("spec")
        _report_strangers(raw, report)
    else:
        prefix = ()
        body = {name: value for name, value in raw.items() if name not in _ENVELOPE}
    spec, mismatches = parse_message(
        kind.model, {} if body is None else body, lambda path: report.written(prefix + path)
    )
    report.add_mismatches(prefix, mismatches)
    if spec is not None:
        findings: list[Finding] = []
        place = Place(findings, prefix)
        kind.check(spec, meta, place)
        check_dry_run(spec, meta, place)
        report.add_findings(_independent(findings, prefix, mismatches))
    return spec


def _report_strangers(raw: Mapping[str, object], report: Report) -> None:
    """Fields beside `spec` that no document has; most often they are indented too little."""
    accepted = (*_ENVELOPE, "spec")
    for name in raw:
        if name not in accepted:
            near = nearest(name, accepted)
            hint = f"did you mean {near}?" if near else "does it belong under spec?"
            report.add("error", SCHEMA_ERROR, (name,), f"unknown field {name}; {hint}", of_key=True)


def _independent(findings: list[Finding], prefix: FieldPath, mismatches: list[Mismatch]) -> list[Finding]:
    """The findings that would be there too if the mismatches were not."""
    clouded = [prefix + mismatch.clouded for mismatch in mismatches]
    return [finding for finding in findings if not any(_touch(finding.path, path) for path in clouded)]


def _touch(one: FieldPath, other: FieldPath) -> bool:
    """Whether one path holds the other."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]
