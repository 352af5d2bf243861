"""What README.md and docs/ show is true of the files: links lead somewhere, commands parse, documents are valid."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pyproxy.__main__ import cli
from pyproxy.istio.loader import load
from pyproxy.wire import commands

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page for place in ("*.md", "docs/**/*.md", "examples/**/*.md", "certs/*.md") for page in ROOT.glob(place)
)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_INLINE_CODE = re.compile(r"`[^`\n]*`")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def text_of(page: Path) -> str:
    return page.read_text()


def blocks_of(page: Path) -> list[tuple[str, str]]:
    """Language and content of every fenced block."""
    return _FENCE.findall(text_of(page))


# Links


def prose_of(page: Path) -> str:
    """The text without code, where brackets mean something else."""
    return _INLINE_CODE.sub("`code`", _FENCE.sub("", text_of(page)))


def anchors_of(page: Path) -> set[str]:
    """What a `#fragment` may name, as GitHub makes it of headings."""
    return {anchor(heading) for heading in _HEADING.findall(_FENCE.sub("", text_of(page)))}


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def broken(page: Path, link: str) -> str:
    """What is wrong with a link; empty when it leads somewhere."""
    path, _, fragment = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.is_relative_to(ROOT) or not target.exists():
        return f"{link}: no such file"
    if fragment and fragment not in anchors_of(target):
        return f"{link}: no such heading"
    return ""


def test_a_link_that_leads_nowhere_is_noticed() -> None:
    page = ROOT / "docs" / "documents.md"
    assert [broken(page, link) for link in ("behaviour.md", "behaviour.md#retries", "#capture", "decisions")] == [
        ""
    ] * 4
    assert all(broken(page, link) for link in ("nowhere.md", "behaviour.md#nothing", "#nothing", "../../elsewhere"))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    links = [link for link in _LINK.findall(prose_of(page)) if "://" not in link and not link.startswith("mailto:")]
    assert [found for link in links if (found := broken(page, link))] == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        reached.add(page)
        for link in _LINK.findall(prose_of(page)):
            target = (page.parent / link.partition("#")[0]).resolve()
            below = sorted(target.glob("*.md")) if target.is_dir() else [target]
            todo += [one for one in below if one.suffix == ".md" and one.exists() and one not in reached]
    assert set(ROOT.glob("docs/**/*.md")) - reached == set()


# Commands


def commands_of(page: Path) -> Iterator[str]:
    """Every command line that calls pyproxy. In a block with prompts only what stands behind one is a command."""
    for language, content in blocks_of(page):
        if language not in ("", "sh", "bash", "console"):
            continue
        lines = content.replace("\\\n", " ").splitlines()
        if any(line.startswith("$ ") for line in lines):
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        yield from (line for line in lines if re.search(r"(^|[ /])pyproxy [a-z-]", line) and "docker" not in line)


def parse(line: str) -> None:
    """Read a command line as click would. Raises click.UsageError for what is not there; values that are paths pass."""
    words = shlex.split(line, comments=True)
    start = next(index for index, word in enumerate(words) if word.rpartition("/")[2] == "pyproxy")
    command: click.Command = cli
    context = click.Context(cli, info_name="pyproxy")
    rest = list(takewhile(lambda word: word not in ("|", "||", "&&", "&"), words[start + 1 :]))
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name, *rest = rest
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"there is no command {name}")
        command, context = found, click.Context(found, info_name=name, parent=context)
    values, _, given = command.make_parser(context).parse_args(list(rest))
    for parameter in given:
        value = values.get(parameter.name or "")
        given_here = isinstance(value, str | bool | int | float | list | tuple)  # else click's mark for what is missing
        if given_here and not isinstance(parameter.type, click.Path):
            parameter.type_cast_value(context, value)


def test_a_command_that_is_wrong_is_noticed() -> None:
    parse("FOO=1 .venv/bin/pyproxy run --admin-port 0 --workload x  # a comment")
    for line in ("pyproxy fly", "pyproxy run --fly", "pyproxy run --admin-port x", "pyproxy iptables fly"):
        with pytest.raises(click.UsageError):
            parse(line)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_parses(page: Path) -> None:
    for line in commands_of(page):
        try:
            parse(line)
        except click.UsageError as error:
            pytest.fail(f"{line}: {error.format_message()}")


_READERS = frozenset({"analyze", "completion", "describe", "explain", "export", "test", "validate", "version"})
"""Commands that read documents, ask nobody and change nothing."""


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_about_the_documents_that_are_here_succeeds(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for line in commands_of(page):
        words = shlex.split(line, comments=True)
        start = next(index for index, word in enumerate(words) if word.rpartition("/")[2] == "pyproxy")
        arguments = list(takewhile(lambda word: word not in ("|", "||", "&&", "&", ">"), words[start + 1 :]))
        yours = any(word.startswith("$") or word in ("reviews.yaml", "tests/routes.yaml") for word in arguments)
        if arguments and arguments[0] in _READERS and not yours:
            ran = CliRunner().invoke(cli, arguments)
            assert ran.exit_code == 0, f"{line}: {ran.output[-1000:]}"


def test_the_route_tests_that_are_shown_hold_for_the_readme_s_document(tmp_path: Path) -> None:
    document = next(content for language, content in blocks_of(ROOT / "README.md") if language == "yaml")
    tests = next(content for _, content in blocks_of(ROOT / "docs" / "route-tests.md") if "testCases" in content)
    (tmp_path / "reviews.yaml").write_text(document)
    (tmp_path / "routes.yml").write_text(tests)
    arguments = ["test", "--config", str(tmp_path / "reviews.yaml"), str(tmp_path / "routes.yml")]
    ran = CliRunner().invoke(cli, arguments)
    assert ran.exit_code == 0, ran.output


def test_the_readme_shows_what_a_mistake_in_its_document_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = blocks_of(ROOT / "README.md")
    document = next(content for language, content in blocks if language == "yaml")
    shown = next(content for _, content in blocks if content.startswith("$ pyproxy validate reviews.yaml\n"))
    monkeypatch.chdir(tmp_path)
    Path("reviews.yaml").write_text(document.replace("weight: 90", "wieght: 90"))
    assert CliRunner().invoke(cli, ["validate", "reviews.yaml"]).output == shown.partition("\n")[2]


def test_every_command_is_in_the_readme() -> None:
    readme = text_of(ROOT / "README.md")
    assert [name for name in cli.list_commands(click.Context(cli)) if f"`pyproxy {name}" not in readme] == []


def test_every_flag_of_run_that_a_page_names_exists() -> None:
    flags = {option for command in all_commands(cli) for parameter in command.params for option in parameter.opts}
    of_others = {"--help", "--build", "--concurrency", "--all"}
    named = {
        (name_of(page), flag)
        for page in [ROOT / "README.md", *ROOT.glob("docs/*.md")]
        if page.name
        not in ("performance.md", "development.md", "locust.md")  # these name flags of bench, pip, ruff, locust
        for flag in re.findall(r"`(--[a-z][a-z-]+)", text_of(page))
    }
    assert {(page, flag) for page, flag in named if flag not in flags | of_others} == set()


def all_commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                yield from all_commands(found)


# Names


def test_every_operator_that_telemetry_names_is_one_that_can_be_filled() -> None:
    _, _, section = text_of(ROOT / "docs" / "telemetry.md").partition("### Operators")
    rows = [line for line in section.partition("## ")[0].splitlines() if line.startswith("| ")]
    named = {name for row in rows for name in re.findall(r"`([A-Z][A-Z_]+)(?:\([^`]*\))?`", row)}
    assert len(named) > 40
    assert named - set(commands._PLAIN) - set(commands._WITH_ARGUMENT) == set()


# Documents


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_document_is_valid_without_a_remark(page: Path, tmp_path: Path) -> None:
    for number, (language, content) in enumerate(blocks_of(page)):
        if language != "yaml":
            continue
        file = tmp_path / f"{page.stem}-{number}.yaml"
        file.write_text(content)
        loaded = load([file])
        assert loaded.documents, content
        assert [str(problem) for problem in loaded.problems] == []
