"""Where Postgres' data lie when the stack is root's, and that they go with the stack."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import postgres, stack
from local import settings as configuration
from local.settings import Settings, StackError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="for others the data lie below STACK_DIR")


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """In place of /var/tmp a folder of the same mode, in which anybody may make folders."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o1777)
        monkeypatch.setattr(postgres, "_SHARED", Path(folder))
        yield Path(folder)


@pytest.fixture
def closed(tmp_path: Path, shared: Path) -> Settings:
    """A stack in a folder that only root can enter."""
    tmp_path.chmod(0o700)
    return configuration.load({"PATH": os.environ["PATH"], **stack.free_port_environment(tmp_path / "stack")})


def test_data_of_a_closed_folder_lie_elsewhere_and_go_with_the_stack(closed: Settings, shared: Path) -> None:
    stack.claim(closed)
    user = postgres._server_user()
    assert user is not None
    data = postgres._data_folder(closed, user)
    assert data.parent == shared
    assert data.stat().st_uid == pwd.getpwnam(user).pw_uid
    assert data.stat().st_mode & 0o077 == 0
    assert postgres._data_folder(closed, user) == data  # again
    (data / "PG_VERSION").touch()
    stack.discard(closed)
    assert list(shared.iterdir()) == []
    assert not closed.stack_dir.exists()
    stack.discard(closed)  # nothing is there any more


def test_a_planted_link_is_refused_and_what_it_points_at_stays(closed: Settings, shared: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o755)
    postgres._shared_data_folder(closed).symlink_to(victim)
    for use in (lambda: postgres._data_folder(closed, postgres._server_user()), lambda: postgres.discard(closed)):
        with pytest.raises(StackError, match="belongs to somebody else"):
            use()
    assert (victim.stat().st_uid, victim.stat().st_mode & 0o777) == (0, 0o755)


def test_a_folder_of_somebody_else_is_refused(closed: Settings, shared: Path) -> None:
    planted = postgres._shared_data_folder(closed)
    planted.mkdir()
    os.chown(planted, 12345, 12345)
    with pytest.raises(StackError, match="belongs to somebody else"):
        postgres._data_folder(closed, postgres._server_user())
