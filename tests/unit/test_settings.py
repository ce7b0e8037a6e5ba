"""Settings: defaults, bounds, secrets from files, and everything that is wrong told at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import annotated_types
import pytest
from pydantic import SecretStr

from config import settings
from config.network import is_loopback
from config.settings import InvalidSettings, Settings, load, secret_fault

GOOD_SECRET = "3f8a1c0e9b7d42566f1e"
PRODUCTION = {
    "FLASK_ENV": "production",
    "SECRET_KEY": GOOD_SECRET,
    "JWT_SECRET_KEY": GOOD_SECRET[::-1],
    "ADMIN_PASSWORD": "correct horse",
}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)


def from_environment(monkeypatch: pytest.MonkeyPatch, values: Mapping[str, str]) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return load()


def refused(monkeypatch: pytest.MonkeyPatch, values: Mapping[str, str]) -> str:
    """What is said of these settings, which must not be accepted."""
    with pytest.raises(InvalidSettings) as caught:
        from_environment(monkeypatch, values)
    return str(caught.value)


def numbers() -> dict[str, tuple[float | None, float | None, bool]]:
    """Least and most of every setting that is a number, and whether it is whole."""
    found = {}
    for name, field in Settings.model_fields.items():
        least = [bound.ge for bound in field.metadata if isinstance(bound, annotated_types.Ge)]
        most = [bound.le for bound in field.metadata if isinstance(bound, annotated_types.Le)]
        if field.annotation in (int, float, int | None) or least or most:
            found[name] = (least[0] if least else None, most[0] if most else None, field.annotation is not float)
    return found


NUMBERS = numbers()
SWITCHES = [name for name, field in Settings.model_fields.items() if field.annotation in (bool, bool | None)]


# --- defaults ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("redis_host", None),
        ("redis_port", 6379),
        ("redis_password", None),
        ("redis_db", 0),
        ("redis_url", None),
        ("redis_sentinels", ()),
        ("redis_sentinel_master", "mymaster"),
        ("redis_sentinel_password", None),
        ("flask_env", "development"),
        ("debug", False),
        ("secret_key", None),
        ("jwt_secret_key", None),
        ("api_host", "127.0.0.1"),
        ("api_port", 5000),
        ("flower_host", "127.0.0.1"),
        ("flower_port", 5555),
        ("flower_basic_auth", None),
        ("log_level", "INFO"),
        ("task_timeout", 1800),
        ("max_concurrent_tasks", 200),
        ("auth_required", None),
        ("allow_anonymous_network", False),
        ("http_allowed_networks", ()),
        ("sandbox_extra_modules", ()),
    ],
)
def test_the_defaults_are_those_of_the_contract(name: str, value: object) -> None:
    assert getattr(load(), name) == value


def test_every_default_is_a_value_that_its_variable_could_have(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = load()
    said = {
        name.upper(): ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for name in Settings.model_fields
        if (value := getattr(defaults, name)) is not None and value != ()
    }
    assert from_environment(monkeypatch, said) == defaults


def test_folders_are_absolute_and_relative_to_where_the_service_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (load().data_dir, load().log_dir) == (tmp_path / "var", tmp_path / "logs")
    found = from_environment(monkeypatch, {"DATA_DIR": "~/数据 1", "LOG_DIR": "../logs"})
    assert found.data_dir == Path.home() / "数据 1"
    assert found.log_dir.is_absolute()


def test_settings_never_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().api_port = 1  # type: ignore[misc]


def test_an_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_PORT", "6000")
    assert (load().api_port, load(api_port=7000).api_port) == (6000, 7000)


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert from_environment(monkeypatch, {name.upper(): ""}) == load()


def test_a_variable_of_somebody_else_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_environment(monkeypatch, {"API_PORTS": "no", "TMS": "1"}).api_port == 5000


# --- bounds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_a_number_at_its_bounds_is_taken_and_beyond_them_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    least, most, _ = NUMBERS[name]
    variable = name.upper()
    for bound, step in ((least, -1), (most, 1)):
        if bound is None:
            continue
        assert getattr(from_environment(monkeypatch, {variable: str(bound)}), name) == bound
        assert f"  {variable}: " in refused(monkeypatch, {variable: str(int(bound) + step)})


@pytest.mark.parametrize("name", sorted(NUMBERS))
@pytest.mark.parametrize("value", ["abc", "1,5", "nan", "inf", "-inf", "0x10", "--1", "1e400", "１２三"])
def test_what_is_no_number_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert refused(monkeypatch, {name.upper(): value}).startswith(f"  {name.upper()}: ")


@pytest.mark.parametrize("name", sorted(name for name, (_, _, whole) in NUMBERS.items() if whole))
def test_a_fraction_is_no_whole_number(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert name.upper() in refused(monkeypatch, {name.upper(): "100.5"})


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_takes_the_usual_words_and_no_other(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for word in ("true", "1", "yes", "on", "TRUE"):
        assert getattr(from_environment(monkeypatch, {name.upper(): word}), name) is True
    for word in ("false", "0", "no", "off", "False"):
        assert getattr(from_environment(monkeypatch, {name.upper(): word}), name) is False
    for word in ("perhaps", "2", "ja", "none"):
        assert refused(monkeypatch, {name.upper(): word}).startswith(f"  {name.upper()}: ")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TASK_TIMEOUT", "0"),
        ("TASK_TIMEOUT", "-1"),
        ("FLASK_ENV", "staging"),
        ("FLASK_ENV", "Production"),
        ("LOG_LEVEL", "LOUD"),
        ("REDIS_URL", "http://localhost:6379"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "redis://"),
        ("REDIS_SENTINELS", "a:b"),
        ("REDIS_SENTINELS", "a:0"),
        ("REDIS_SENTINELS", "good:26379,:26379"),
        ("REDIS_SENTINELS", "redis://a:26379"),
        ("REDIS_SENTINELS", "user@a:26379"),
        ("REDIS_SENTINEL_MASTER", "my master"),
        ("FLOWER_BASIC_AUTH", "nobody"),
        ("FLOWER_BASIC_AUTH", ":password"),
        ("FLOWER_BASIC_AUTH", "user:"),
        ("HTTP_ALLOWED_NETWORKS", "10.0.0.0/33"),
        ("HTTP_ALLOWED_NETWORKS", "10.0.0.1/8"),
        ("HTTP_ALLOWED_NETWORKS", "example.com"),
        ("HTTP_ALLOWED_NETWORKS", "10.0.0.0/8 192.168.0.0/16"),
        ("HTTP_ALLOWED_NETWORKS", "::ffff:10.0.0.0/104"),
        ("HTTP_ALLOWED_NETWORKS", "64:ff9b::/96"),
        ("HTTP_ALLOWED_NETWORKS", "2002::/16"),
        ("HTTP_ALLOWED_NETWORKS", "2001::/32"),
        ("HTTP_ALLOWED_NETWORKS", "2000::/3"),
        ("ADMIN_USERNAME", "x" * 101),
    ],
)
def test_a_bad_word_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    assert refused(monkeypatch, {variable: value}).startswith(f"  {variable}")


def test_a_level_may_be_written_in_small_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_environment(monkeypatch, {"LOG_LEVEL": "debug"}).log_level == "DEBUG"


def test_lists_are_separated_by_commas_and_blanks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    found = from_environment(
        monkeypatch,
        {"HTTP_ALLOWED_NETWORKS": " 10.0.0.0/8, 127.0.0.1 ,fd00::/8,, ", "SANDBOX_EXTRA_MODULES": "decimal, fractions"},
    )
    assert [str(network) for network in found.http_allowed_networks] == ["10.0.0.0/8", "127.0.0.1/32", "fd00::/8"]
    assert found.sandbox_extra_modules == ("decimal", "fractions")


def test_everything_may_be_allowed_although_that_holds_every_disguise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(from_environment(monkeypatch, {"HTTP_ALLOWED_NETWORKS": "::/0,0.0.0.0/0"}).http_allowed_networks) == 2


def test_the_entry_of_a_list_that_is_wrong_is_numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "  HTTP_ALLOWED_NETWORKS[1]: " in refused(monkeypatch, {"HTTP_ALLOWED_NETWORKS": "10.0.0.0/8,nowhere"})


def test_every_bad_value_is_told_at_once_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = {
        "REDIS_PORT": "abc",
        "API_PORT": "70000",
        "TASK_TIMEOUT": "0",
        "LOG_LEVEL": "LOUD",
        "DEBUG": "perhaps",
        "REDIS_URL": "ftp://x",
        "RUN_HISTORY": "0",
    }
    lines = refused(monkeypatch, bad).splitlines()
    assert {line.partition(":")[0].strip() for line in lines} == set(bad)
    assert len(lines) == len(bad)


# --- secrets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", settings.SECRET_NAMES)
def test_a_secret_may_come_from_a_file_without_its_last_line_break(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    value = {"REDIS_URL": "redis://:pw@localhost:6379/0", "FLOWER_BASIC_AUTH": "user:pw"}.get(name, "päss wörd 密码")
    path = tmp_path / "secret"
    path.write_text(f"{value}\n", encoding="utf-8")
    found = getattr(from_environment(monkeypatch, {f"{name}_FILE": str(path)}), name.lower())
    assert found.get_secret_value() == value


def test_the_variable_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    both = {"SECRET_KEY": GOOD_SECRET, "SECRET_KEY_FILE": str(tmp_path / "absent")}
    found = from_environment(monkeypatch, both).secret_key
    assert found is not None
    assert found.get_secret_value() == GOOD_SECRET


def test_what_is_no_secret_is_not_read_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "port").write_text("6000")
    assert from_environment(monkeypatch, {"API_PORT_FILE": str(tmp_path / "port")}).api_port == 5000


@pytest.mark.parametrize("name", settings.SECRET_NAMES)
def test_a_secret_file_that_cannot_be_read_is_told_with_its_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    told = refused(monkeypatch, {f"{name}_FILE": str(tmp_path / "absent")})
    assert told == f"  {name}_FILE: cannot read {tmp_path / 'absent'} (No such file or directory)."
    assert f"{name}_FILE: cannot read" in refused(monkeypatch, {f"{name}_FILE": str(tmp_path)})


def test_a_secret_file_that_is_not_text_is_refused_like_one_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfe\x00binary")
    assert "SECRET_KEY_FILE: cannot read" in refused(monkeypatch, {"SECRET_KEY_FILE": str(tmp_path / "key")})


def test_files_that_cannot_be_read_and_bad_values_are_told_together(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    absent = str(tmp_path / "absent")
    told = refused(monkeypatch, {"SECRET_KEY_FILE": absent, "JWT_SECRET_KEY_FILE": absent, "API_PORT": "0"})
    assert {line.partition(":")[0].strip() for line in told.splitlines()} == {
        "SECRET_KEY_FILE",
        "JWT_SECRET_KEY_FILE",
        "API_PORT",
    }


def test_every_setting_that_holds_a_secret_is_named_one() -> None:
    secret = {
        name.upper()
        for name, field in Settings.model_fields.items()
        if "SecretStr" in str(field.annotation) or field.annotation is SecretStr
    }
    assert secret == set(settings.SECRET_NAMES)


def test_no_secret_is_in_what_is_printed_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    found = from_environment(
        monkeypatch,
        {
            "REDIS_PASSWORD": "hunter2-a",
            "SECRET_KEY": "hunter2-bcdefghijk",
            "JWT_SECRET_KEY": "hunter2-bcdefghijk",
            "ADMIN_PASSWORD": "hunter2-c",
            "FLOWER_BASIC_AUTH": "u:hunter2-d",
            "REDIS_URL": "redis://:hunter2-e@db:1/2",
        },
    )
    shown = f"{found!r} {found!s} {found.redis_shown} {found.model_dump()} {found.model_dump_json()}"
    assert "hunter2" not in shown
    assert found.redis_shown == "db:1"


@pytest.mark.parametrize(
    "bad",
    [
        {"REDIS_URL": "http://:hunter2@localhost"},
        {"FLOWER_BASIC_AUTH": "hunter2"},
        {**PRODUCTION, "SECRET_KEY": "hunter2"},
        {**PRODUCTION, "JWT_SECRET_KEY": "hunter2"},
        {"REDIS_PASSWORD": "hunter2", "API_PORT": "0"},
        {"REDIS_URL": "redis://:hunter2@[::1"},
        {"REDIS_URL": "redis://:hunter2@db:99999999/0"},
        {"REDIS_URL": "redis://:hunter2@db:port/0"},
        {"REDIS_URL": "redis://:hunter2@db/zero"},
    ],
)
def test_no_secret_is_in_what_is_said_of_bad_settings(monkeypatch: pytest.MonkeyPatch, bad: dict[str, str]) -> None:
    assert "hunter2" not in refused(monkeypatch, bad)


# --- production and open doors -----------------------------------------------------------------------------------


def test_production_with_its_secrets_starts_and_wants_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    found = from_environment(monkeypatch, PRODUCTION)
    assert found.production
    assert found.auth_is_required


@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_SECRET_KEY"])
def test_production_refuses_to_start_without_a_secret(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    told = refused(monkeypatch, {key: value for key, value in PRODUCTION.items() if key != name})
    assert told.startswith(f"  {name}: must be set in production")
    assert len(told.splitlines()) == 1


def test_production_names_everything_it_lacks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told = refused(monkeypatch, {"FLASK_ENV": "production"})
    assert [line.partition(":")[0].strip() for line in told.splitlines()] == [
        "SECRET_KEY",
        "JWT_SECRET_KEY",
    ]


@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_SECRET_KEY"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("a1b2c3d4e5f6g7h", "too short"),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", "trivial"),
        ("abababababababababababab", "trivial"),
        ("your-secret-key", "well-known"),
        ("Your-JWT-Secret-Key", "well-known"),
        ("change-me-in-production", "well-known"),
        ("changeMechangemechangeme", "trivial"),
        ("secret-secret-secret-sec", "trivial"),
        ("abcdefghijklmnopqrstuvwxyz", "trivial"),
    ],
)
def test_production_refuses_a_secret_that_anybody_could_guess(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    told = refused(monkeypatch, {**PRODUCTION, name: value})
    assert told.startswith(f"  {name}: ")
    assert reason in told
    assert value not in told


@pytest.mark.parametrize(
    "value", ["admin:admin", "admin:flowerflower", "some-operator:some-operator", "a:123456789012"]
)
def test_production_refuses_a_login_of_flower_that_anybody_could_guess(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    assert from_environment(monkeypatch, {"FLOWER_BASIC_AUTH": value}).flower_basic_auth is not None
    told = refused(monkeypatch, {**PRODUCTION, "FLOWER_BASIC_AUTH": value})
    assert told.startswith("  FLOWER_BASIC_AUTH: its password ")
    assert value not in told
    good = from_environment(monkeypatch, {**PRODUCTION, "FLOWER_BASIC_AUTH": "admin:right horse, wrong staple"})
    assert good.flower_basic_auth is not None


def test_development_takes_any_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_environment(monkeypatch, {"SECRET_KEY": "x", "JWT_SECRET_KEY": "y"}).secret_key is not None


def test_a_secret_of_the_least_length_will_do() -> None:
    assert secret_fault("a1b2c3d4e5f6g7h8") is None
    assert secret_fault(None) == secret_fault("") == "must be set in production."


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_without_tokens_the_api_may_listen_on_loopback(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    assert is_loopback(host)
    assert not from_environment(monkeypatch, {"API_HOST": host}).auth_is_required


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.5", "10.0.0.1", "myhost", "localhost.example.com", "::ffff:0.0.0.0", "0"]
)
def test_without_tokens_the_api_may_not_listen_on_the_network(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    told = refused(monkeypatch, {"API_HOST": host})
    assert told.startswith("  AUTH_REQUIRED: ")
    assert "ALLOW_ANONYMOUS_NETWORK" in told


def test_the_network_is_open_to_tokens_or_where_the_operator_means_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_environment(monkeypatch, {**PRODUCTION, "API_HOST": "0.0.0.0"}).auth_is_required
    monkeypatch.setenv("FLASK_ENV", "development")
    monkeypatch.setenv("AUTH_REQUIRED", "true")
    assert load().auth_is_required
    monkeypatch.setenv("AUTH_REQUIRED", "false")
    monkeypatch.setenv("ALLOW_ANONYMOUS_NETWORK", "true")
    assert not load().auth_is_required


def test_production_without_tokens_is_refused_on_the_network_too(monkeypatch: pytest.MonkeyPatch) -> None:
    told = refused(monkeypatch, {**PRODUCTION, "AUTH_REQUIRED": "false", "API_HOST": "0.0.0.0"})
    assert told.startswith("  AUTH_REQUIRED: ")


# --- the address of Redis ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "password", ["simple", "p@ss:w/rd", "#?&=%", "100%", " spaces ", "密码", "a\\b\"c'd", "[::1]", "/", ":@:@"]
)
def test_a_password_of_any_characters_reaches_redis_as_it_is(password: str) -> None:
    found = load(redis_password=password, redis_host="db", redis_port=6380, redis_db=3)
    parts = urlsplit(found.redis_address)
    assert unquote(parts.password or "") == password
    assert (parts.hostname, parts.port, parts.path) == ("db", 6380, "/3")
    assert found.redis_shown == "db:6380"


def test_the_address_without_anything_said_is_localhost() -> None:
    assert load().redis_address == "redis://localhost:6379/0"
    assert not load().redis_is_given


def test_redis_counts_as_given_by_its_host_or_by_its_url_but_not_by_its_port() -> None:
    assert load(redis_host="localhost").redis_is_given
    assert load(redis_url="redis://db").redis_is_given
    assert not load(redis_port=7000).redis_is_given


def test_the_url_wins_over_the_four_others() -> None:
    found = load(
        redis_url="rediss://user:pw@db:7000/4", redis_host="other", redis_port=1, redis_password="x", redis_db=1
    )
    assert found.redis_address == "rediss://user:pw@db:7000/4"
    assert found.redis_shown == "db:7000"
    assert load(redis_url="redis://db").redis_shown == "db:6379"


@pytest.mark.parametrize("host", ["::1", "fe80::1"])
def test_redis_may_have_an_ipv6_address(host: str) -> None:
    parts = urlsplit(load(redis_host=host).redis_address)
    assert (parts.hostname, parts.port) == (host, 6379)


# --- what follows from settings ----------------------------------------------------------------------------------


def test_code_slots_are_the_cores_unless_told_and_never_more_than_all_slots() -> None:
    assert load().code_slots == os.cpu_count()
    assert load(sandbox_concurrency=7).code_slots == 7
    assert load(sandbox_concurrency=7, max_concurrent_tasks=3).code_slots == 3


def test_any_of_the_constants_can_be_edited_as_the_guide_says(tmp_path: Path) -> None:
    source = Path(settings.__file__).read_text(encoding="utf-8")
    assert "API_PORT = 5000\n" in source
    (tmp_path / "edited.py").write_text(source.replace("API_PORT = 5000\n", "API_PORT = 5001\n"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", "import edited; print(edited.load().api_port)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(settings.__file__).parents[1]}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "5001"


def test_wrong_arguments_are_told_like_wrong_variables() -> None:
    with pytest.raises(InvalidSettings, match="API_PORT"):
        load(api_port="x")


# --- Sentinels ---------------------------------------------------------------------------------------------------


def test_sentinels_win_over_a_host_and_are_shown_without_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    found = from_environment(
        monkeypatch,
        {
            "REDIS_SENTINELS": "one, two:5000 ,[::1]:6000",
            "REDIS_SENTINEL_MASTER": "tasks",
            "REDIS_PASSWORD": "p@ss:w/rd",
            "REDIS_SENTINEL_PASSWORD": "a&b=c",
            "REDIS_HOST": "redis",
            "REDIS_DB": "2",
        },
    )
    assert found.redis_sentinels == ("one:26379", "two:5000", "[::1]:6000")
    assert found.redis_is_given
    assert found.redis_address == (
        "redis+sentinel://:p%40ss%3Aw%2Frd@one:26379,two:5000,[::1]:6000/2?master=tasks&sentinel_password=a%26b%3Dc"
    )
    assert found.redis_shown == "tasks (Sentinels one:26379, two:5000, [::1]:6000)"


def test_sentinels_and_the_url_of_a_server_are_refused_together(monkeypatch: pytest.MonkeyPatch) -> None:
    told = refused(monkeypatch, {"REDIS_SENTINELS": "one", "REDIS_URL": "redis://:hunter2@db"})
    assert "REDIS_SENTINELS" in told
    assert "hunter2" not in told
