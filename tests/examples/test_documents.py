from pathlib import Path

import pytest

from pyproxy.istio.loader import load

FOLDER = Path(__file__).parents[2] / "examples" / "documents"
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_example_is_valid_without_a_remark(file: Path) -> None:
    loaded = load([file])
    assert loaded.documents
    assert loaded.problems == ()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_example_says_what_it_shows_and_how_to_try_it(file: Path) -> None:
    text = file.read_text()
    assert text.startswith("# ")
    assert "# In the lab: " in text
