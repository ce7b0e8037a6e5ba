"""Secrets that are made once and kept, whoever asks first."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from config import keys
from config.flower_login import USER, flower_login
from tests.make import make_settings

ROOT = Path(__file__).resolve().parents[2]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    made = keys.made_once(tmp_path / "var", "a_key")
    assert len(made) >= 43
    assert keys.made_once(tmp_path / "var", "a_key") == made
    assert keys.made_once(tmp_path / "var", "b_key") != made
    assert keys.made_once(tmp_path / "elsewhere", "a_key") != made


def test_a_key_can_be_read_by_its_user_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keys.made_once(tmp_path / "var", "a_key")
    finally:
        os.umask(before)
    folder = tmp_path / "var" / "secrets"
    assert (mode(folder), mode(folder / "a_key")) == (0o700, 0o600)


def test_nothing_but_the_keys_is_left_behind(tmp_path: Path) -> None:
    for name in ("a_key", "a_key", "b_key"):
        keys.made_once(tmp_path, name)
    assert sorted(path.name for path in (tmp_path / "secrets").iterdir()) == ["a_key", "b_key"]


def test_a_key_that_somebody_wrote_by_hand_is_taken(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "a_key").write_text("chosen by me\n")
    assert keys.made_once(tmp_path, "a_key") == "chosen by me"


def test_several_processes_that_begin_at_once_agree_on_one_key(tmp_path: Path) -> None:
    source = (
        "import sys; from pathlib import Path; from config import keys; sys.stdin.readline()\n"
        "print(keys.made_once(Path(sys.argv[1]), 'a_key'))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", source, str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = {process.communicate(timeout=30)[0].strip() for process in processes}
    assert said == {(tmp_path / "secrets" / "a_key").read_text()}
    assert len(list((tmp_path / "secrets").iterdir())) == 1


def test_a_folder_that_cannot_be_made_is_an_error_and_no_empty_key(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        keys.made_once(tmp_path / "file", "a_key")


def test_given_keys_are_used_as_they_are_and_none_is_made(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, secret_key="given one", jwt_secret_key="given two")
    assert (keys.secret_key(settings), keys.jwt_key(settings)) == ("given one", "given two")
    assert not (tmp_path / "var").exists()


def test_without_given_keys_each_is_made_for_itself(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    assert keys.secret_key(settings) != keys.jwt_key(settings)
    assert keys.jwt_key(settings) == keys.jwt_key(make_settings(tmp_path))


def test_the_login_of_flower_is_the_given_one(tmp_path: Path) -> None:
    assert flower_login(make_settings(tmp_path, flower_basic_auth="me:p:w")) == ("me:p:w", False)
    assert not (tmp_path / "var").exists()


def test_the_login_of_flower_is_made_once_and_said_to_be_made(tmp_path: Path) -> None:
    login, made = flower_login(make_settings(tmp_path))
    assert made
    assert flower_login(make_settings(tmp_path)) == (login, True)
    user, _, password = login.partition(":")
    assert user == USER
    assert (tmp_path / "var" / "secrets" / "flower_password").read_text() == password
    assert len(password) >= 43
