import json
import platform

from click.testing import CliRunner

from pyproxy import __version__
from pyproxy.cli.version import version, versions


def test_every_version_has_its_line() -> None:
    lines = CliRunner().invoke(version, []).output.splitlines()
    assert [line.split()[0] for line in lines] == [name.split()[0] for name in versions()]
    assert lines[0].split() == ["pyproxy", __version__]


def test_the_json_says_the_same() -> None:
    found = json.loads(CliRunner().invoke(version, ["--output", "json"]).output)
    assert found == versions()
    assert found["python"] == platform.python_version()
    assert found["data path"] in ("compiled", "plain Python")
    assert "-" not in found.values()
