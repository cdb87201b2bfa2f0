"""The cache of jars."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import jars
from local.settings import StackError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "thing"
    (project / "src").mkdir(parents=True)
    (project / "pom.xml").write_text("<project/>")
    (project / "src" / "Main.java").write_text("class Main {}")
    return project


def test_a_change_of_pom_or_source_is_another_folder(project: Path, tmp_path: Path) -> None:
    before = jars.folder(project, tmp_path)
    assert jars.folder(project, tmp_path) == before
    (project / "src" / "Main.java").write_text("class Main { int x; }")
    changed = jars.folder(project, tmp_path)
    (project / "pom.xml").write_text("<project></project>")
    assert len({before, changed, jars.folder(project, tmp_path)}) == 3


def test_a_cached_folder_needs_no_maven(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    said: list[str] = []
    with pytest.raises(StackError, match="no Maven found"):
        jars.ensure(project, said.append, tmp_path)
    assert len(said) == 1
    jars.folder(project, tmp_path).mkdir()
    assert jars.ensure(project, said.append, tmp_path) == jars.folder(project, tmp_path)
    assert len(said) == 1
