"""Every setting of the service: its default, its bounds, and how it is read from the environment.

Edit a default here, or set an environment variable of the same name; the variable wins. A secret may also come
from a file: `SECRET_KEY_FILE=/run/secrets/key`. `load()` reports every bad value at once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BeforeValidator,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from config import network, redis_address
from config.secret_files import UNREADABLE, SecretFiles, readable
from config.strength import password_fault, secret_fault

# --- Redis: where everything is kept -----------------------------------------------------------------------------
REDIS_HOST: str | None = None  # None: localhost, and start.py starts an embedded server when none answers there
REDIS_PORT = 6379
REDIS_PASSWORD: str | None = None
REDIS_DB = 0
REDIS_URL: str | None = None  # redis://… or rediss://…; wins over the four above
REDIS_SENTINELS: tuple[str, ...] = ()  # Sentinels, "host:26379", to ask for the master; win over REDIS_HOST
REDIS_SENTINEL_MASTER = "mymaster"  # what they call it
REDIS_SENTINEL_PASSWORD: str | None = None  # their own password

# --- API ---------------------------------------------------------------------------------------------------------
FLASK_ENV = "development"  # or "production"
DEBUG = False
API_HOST = "127.0.0.1"
API_PORT = 5000
API_PROCESSES: int | None = None  # None: one for each core, at most 4
API_THREADS = 64  # requests answered at once in each process
SECRET_KEY: str | None = None  # production refuses to start without it
JWT_SECRET_KEY: str | None = None  # production refuses to start without it
SECRET_KEY_PREVIOUS: str | None = None  # secrets stored under it can still be read, while the key is changed
JWT_SECRET_KEY_PREVIOUS: str | None = None  # tokens signed with it are still taken, while the key is changed
AUTH_REQUIRED: bool | None = None  # None: no in development, yes in production
ALLOW_ANONYMOUS_NETWORK = False  # allows AUTH_REQUIRED=false on an address that is not loopback
ADMIN_USERNAME = "admin"  # the first administrator, made at the first login where there is none yet
ADMIN_PASSWORD: str | None = None
JWT_ACCESS_SECONDS = 900  # how long an access token is good for
JWT_REFRESH_SECONDS = 1_209_600  # how long a refresh token is good for
MAX_BODY_BYTES = 1_048_576  # largest request body
RATE_LIMIT: str | None = None  # requests for each user, key and address; None: 600/minute in production, else no limit
LOGIN_RATE_LIMIT = "10/minute"  # logins from each address, right and wrong ones
TRUSTED_PROXIES = 0  # reverse proxies in front of the API whose X-Forwarded-For is believed
CORS_ORIGINS: tuple[str, ...] = ()  # pages of these origins may call the API: "https://console.example.com"
ALLOWED_HOSTS: tuple[str, ...] = ()  # names by which the API may be called besides addresses and undotted names
MAX_CONNECTIONS = 2000  # connections that may be open at once
SLOW_CLIENT_SECONDS = 15  # how long a client may take to send a request
AUDIT_LENGTH = 100_000  # entries that the audit log keeps

# --- Quotas: how much one owner may have; None: any number where nobody has to say who he is --------------------
QUOTA_TASKS: int | None = None  # stored tasks; None: 100,000 where AUTH_REQUIRED
QUOTA_SCHEDULES: int | None = None  # scheduled tasks that have not ended; None: 1,000 where AUTH_REQUIRED
QUOTA_RUNS: int | None = None  # runs at once, over all workers; None: 100 where AUTH_REQUIRED

# --- Flower ------------------------------------------------------------------------------------------------------
FLOWER_HOST = "127.0.0.1"
FLOWER_PORT = 5555
FLOWER_BASIC_AUTH: str | None = None  # user:password; None: start.py makes one and keeps it in DATA_DIR

# --- Files -------------------------------------------------------------------------------------------------------
DATA_DIR = "./var"
LOG_DIR = "./logs"
LOG_LEVEL = "INFO"
LOG_MAX_BYTES = 10_485_760
LOG_BACKUP_COUNT = 5

# --- Tasks and workers -------------------------------------------------------------------------------------------
TASK_TIMEOUT = 1800  # most seconds a task may ask for, and what a code task gets that asks for none
WORKER_PROCESSES = 1  # worker processes that start.py runs
WORKER_NICE = 2  # how far workers and the code they run step back for the API and Redis, as nice(1) counts
MAX_CONCURRENT_TASKS = 200  # runs at once in one worker process
SANDBOX_CONCURRENCY: int | None = None  # code runs at once in one worker process; None: one for each core, shared out
GRACE_SECONDS = 10.0  # how long a stopping worker lets its runs go on before it gives them back
RESULT_TTL = 604_800  # seconds a finished task is kept
RUN_HISTORY = 100  # runs kept for each scheduled task, and as many skipped occurrences
MAX_RESULT_BYTES = 1_048_576  # largest result of a run, as JSON
MAX_OUTPUT_BYTES = 262_144  # stdout and stderr kept for a run, each

# --- Sandbox -----------------------------------------------------------------------------------------------------
SANDBOX_MEMORY_MB = 256
SANDBOX_CPU_SECONDS = 60
SANDBOX_EXTRA_MODULES: tuple[str, ...] = ()  # further reviewed modules that user code may import

# --- HTTP tasks --------------------------------------------------------------------------------------------------
HTTP_ALLOWED_NETWORKS: tuple[str, ...] = ()  # CIDRs that HTTP tasks may reach besides the public internet
HTTP_MAX_RESPONSE_BYTES = 1_048_576
HTTP_ALLOW_UNVERIFIED_TLS = False  # lets a task say verify_tls: false

# --- Callbacks ---------------------------------------------------------------------------------------------------
CALLBACK_PAUSES: tuple[float, ...] = (5, 300, 1800, 7200, 18_000, 36_000, 36_000)  # seconds before each further try
CALLBACK_TIMEOUT = 10.0  # how long a receiver may take to answer
CALLBACK_CONCURRENCY = 32  # callbacks on their way at once in one worker process

SECRET_NAMES = (
    "REDIS_PASSWORD",
    "REDIS_URL",
    "REDIS_SENTINEL_PASSWORD",
    "SECRET_KEY",
    "JWT_SECRET_KEY",
    "SECRET_KEY_PREVIOUS",
    "JWT_SECRET_KEY_PREVIOUS",
    "ADMIN_PASSWORD",
    "FLOWER_BASIC_AUTH",
)
#: More processes than that are for whoever measured that they help.
MOST_API_PROCESSES = 4
#: What a user may be called.
USERNAME = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"
#: How a Sentinel may call a master (Redis, sentinel.conf).
MASTER = r"^[A-Za-z0-9._-]{1,128}$"
#: The notation of rate limits: `600/minute`, `10/15seconds`.
RATE = r"^[1-9]\d{0,6}/([1-9]\d{0,3})?(second|minute|hour|day)s?$"


class InvalidSettings(Exception):
    """At least one setting is wrong; the message names each, a line each."""


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


#: A comma-separated list in the environment.
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Spans = Annotated[
    tuple[Annotated[float, Field(ge=0, le=604_800, allow_inf_nan=False)], ...],
    NoDecode,
    BeforeValidator(_split),
    Field(max_length=50),
]
Networks = Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_split)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Settings(BaseSettings):
    """All settings, validated once and never changed. Read with `load()`."""

    model_config = SettingsConfigDict(
        frozen=True, validate_default=True, env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    redis_host: str | None = REDIS_HOST
    redis_port: Port = REDIS_PORT
    redis_password: SecretStr | None = Field(default=REDIS_PASSWORD)  # type: ignore[assignment]
    redis_db: int = Field(default=REDIS_DB, ge=0, le=15)
    redis_url: SecretStr | None = Field(default=REDIS_URL)  # type: ignore[assignment]
    redis_sentinels: Words = REDIS_SENTINELS
    redis_sentinel_master: str = Field(default=REDIS_SENTINEL_MASTER, pattern=MASTER)
    redis_sentinel_password: SecretStr | None = Field(default=REDIS_SENTINEL_PASSWORD)  # type: ignore[assignment]

    flask_env: Literal["development", "production"] = FLASK_ENV  # type: ignore[assignment]
    debug: bool = DEBUG
    api_host: str = API_HOST
    api_port: Port = API_PORT
    api_processes: int | None = Field(default=API_PROCESSES, ge=1, le=64)
    api_threads: int = Field(default=API_THREADS, ge=2, le=1000)
    secret_key: SecretStr | None = Field(default=SECRET_KEY)  # type: ignore[assignment]
    jwt_secret_key: SecretStr | None = Field(default=JWT_SECRET_KEY)  # type: ignore[assignment]
    secret_key_previous: SecretStr | None = Field(default=SECRET_KEY_PREVIOUS)  # type: ignore[assignment]
    jwt_secret_key_previous: SecretStr | None = Field(default=JWT_SECRET_KEY_PREVIOUS)  # type: ignore[assignment]
    auth_required: bool | None = AUTH_REQUIRED
    allow_anonymous_network: bool = ALLOW_ANONYMOUS_NETWORK
    admin_username: str = Field(default=ADMIN_USERNAME, pattern=USERNAME)
    admin_password: SecretStr | None = Field(default=ADMIN_PASSWORD)  # type: ignore[assignment]
    jwt_access_seconds: int = Field(default=JWT_ACCESS_SECONDS, ge=10, le=86_400)
    jwt_refresh_seconds: int = Field(default=JWT_REFRESH_SECONDS, ge=60, le=31_536_000)
    max_body_bytes: int = Field(default=MAX_BODY_BYTES, ge=1024, le=104_857_600)
    rate_limit: str | None = Field(default=RATE_LIMIT, pattern=RATE)
    login_rate_limit: str = Field(default=LOGIN_RATE_LIMIT, pattern=RATE)
    trusted_proxies: int = Field(default=TRUSTED_PROXIES, ge=0, le=10)
    cors_origins: Words = CORS_ORIGINS
    allowed_hosts: Words = ALLOWED_HOSTS
    max_connections: int = Field(default=MAX_CONNECTIONS, ge=100, le=100_000)
    slow_client_seconds: int = Field(default=SLOW_CLIENT_SECONDS, ge=1, le=600)
    audit_length: int = Field(default=AUDIT_LENGTH, ge=100, le=100_000_000)

    quota_tasks: int | None = Field(default=QUOTA_TASKS, ge=1)
    quota_schedules: int | None = Field(default=QUOTA_SCHEDULES, ge=1)
    quota_runs: int | None = Field(default=QUOTA_RUNS, ge=1)

    flower_host: str = FLOWER_HOST
    flower_port: Port = FLOWER_PORT
    flower_basic_auth: SecretStr | None = Field(default=FLOWER_BASIC_AUTH)  # type: ignore[assignment]

    data_dir: Path = Path(DATA_DIR)
    log_dir: Path = Path(LOG_DIR)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = LOG_LEVEL  # type: ignore[assignment]
    log_max_bytes: int = Field(default=LOG_MAX_BYTES, ge=10_000)
    log_backup_count: int = Field(default=LOG_BACKUP_COUNT, ge=0, le=100)

    task_timeout: float = Field(default=TASK_TIMEOUT, gt=0, le=604_800, allow_inf_nan=False)
    worker_processes: int = Field(default=WORKER_PROCESSES, ge=1, le=64)
    worker_nice: int = Field(default=WORKER_NICE, ge=0, le=19)
    max_concurrent_tasks: int = Field(default=MAX_CONCURRENT_TASKS, ge=1, le=2000)
    sandbox_concurrency: int | None = Field(default=SANDBOX_CONCURRENCY, ge=1, le=512)
    grace_seconds: float = Field(default=GRACE_SECONDS, ge=0, le=3600, allow_inf_nan=False)
    result_ttl: int = Field(default=RESULT_TTL, ge=60)
    run_history: int = Field(default=RUN_HISTORY, ge=1, le=10_000)
    max_result_bytes: int = Field(default=MAX_RESULT_BYTES, ge=1024, le=67_108_864)
    max_output_bytes: int = Field(default=MAX_OUTPUT_BYTES, ge=0, le=67_108_864)

    sandbox_memory_mb: int = Field(default=SANDBOX_MEMORY_MB, ge=16, le=65_536)
    sandbox_cpu_seconds: int = Field(default=SANDBOX_CPU_SECONDS, ge=1, le=86_400)
    sandbox_extra_modules: Words = SANDBOX_EXTRA_MODULES

    http_allowed_networks: Networks = Field(default=HTTP_ALLOWED_NETWORKS)  # type: ignore[arg-type]
    http_allow_unverified_tls: bool = HTTP_ALLOW_UNVERIFIED_TLS
    http_max_response_bytes: int = Field(default=HTTP_MAX_RESPONSE_BYTES, ge=1024, le=67_108_864)

    callback_pauses: Spans = CALLBACK_PAUSES
    callback_timeout: float = Field(default=CALLBACK_TIMEOUT, gt=0, le=300, allow_inf_nan=False)
    callback_concurrency: int = Field(default=CALLBACK_CONCURRENCY, ge=1, le=1000)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first (tests), then the environment, then `NAME_FILE`."""
        return init_settings, env_settings, SecretFiles(settings_cls, SECRET_NAMES)

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator(*(name.lower() for name in SECRET_NAMES), mode="before")
    @classmethod
    def _readable(cls, value: Any) -> Any:
        return readable(value)

    @field_validator("redis_url")
    @classmethod
    def _redis_form(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not redis_address.is_url(value.get_secret_value()):
            raise ValueError("must look like redis://host:6379/0 or rediss://host:6379/0")
        return value

    @field_validator("redis_sentinels")
    @classmethod
    def _sentinels(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(redis_address.sentinel, value))

    @field_validator("flower_basic_auth")
    @classmethod
    def _user_and_password(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not all(value.get_secret_value().partition(":")[::2]):
            raise ValueError("must be user:password")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not network.is_origin(origin):
                raise ValueError(f"{origin} is no origin, such as https://console.example.com")
        return value

    @field_validator("http_allowed_networks")
    @classmethod
    def _no_wrapped_addresses(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        for found in value:
            if network.carries_ipv4(found):
                raise ValueError(f"{found} holds IPv4 addresses in disguise; name the IPv4 networks instead")
        return value

    @field_validator("data_dir", "log_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @model_validator(mode="after")
    def _safe_together(self) -> Settings:
        problems = [*self._two_redises(), *self._missing_secrets(), *self._open_doors()]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _two_redises(self) -> list[str]:
        both = bool(self.redis_sentinels) and self.redis_url is not None
        return ["REDIS_URL: it names a server, and REDIS_SENTINELS others to ask for it; unset one."] if both else []

    def _missing_secrets(self) -> list[str]:
        if not self.production:
            return []
        problems = []
        for name in ("SECRET_KEY", "JWT_SECRET_KEY"):
            secret: SecretStr | None = getattr(self, name.lower())
            fault = secret_fault(secret.get_secret_value() if secret else None)
            if fault:
                problems.append(f"{name}: {fault} Make one with: openssl rand -hex 32")
        if self.secret_key_previous and (fault := secret_fault(self.secret_key_previous.get_secret_value())):
            problems.append(f"SECRET_KEY_PREVIOUS: {fault}")
        if self.jwt_secret_key_previous and (fault := secret_fault(self.jwt_secret_key_previous.get_secret_value())):
            problems.append(f"JWT_SECRET_KEY_PREVIOUS: {fault}")
        if self.admin_password and (
            fault := password_fault(self.admin_password.get_secret_value(), self.admin_username)
        ):
            problems.append(f"ADMIN_PASSWORD: {fault}")
        if self.flower_basic_auth:
            user, _, password = self.flower_basic_auth.get_secret_value().partition(":")
            if fault := password_fault(password, user):
                problems.append(f"FLOWER_BASIC_AUTH: its password {fault}")
        return problems

    def _open_doors(self) -> list[str]:
        if self.auth_is_required or self.allow_anonymous_network or network.is_loopback(self.api_host):
            return []
        return [
            f"AUTH_REQUIRED: false is refused while API_HOST={self.api_host} can be reached from the network. "
            "Set AUTH_REQUIRED=true, or API_HOST=127.0.0.1, or ALLOW_ANONYMOUS_NETWORK=true if you mean it."
        ]

    @property
    def production(self) -> bool:
        """Whether FLASK_ENV is `production`."""
        return self.flask_env == "production"

    @property
    def auth_is_required(self) -> bool:
        """Whether a token is needed: AUTH_REQUIRED, by default only in production."""
        return self.production if self.auth_required is None else self.auth_required

    @property
    def request_rate(self) -> str | None:
        """RATE_LIMIT, by default only in production."""
        return "600/minute" if self.rate_limit is None and self.production else self.rate_limit

    @property
    def task_quota(self) -> int | None:
        """Stored tasks that one owner may have."""
        return 100_000 if self.quota_tasks is None and self.auth_is_required else self.quota_tasks

    @property
    def schedule_quota(self) -> int | None:
        """Scheduled tasks that one owner may have at once."""
        return 1_000 if self.quota_schedules is None and self.auth_is_required else self.quota_schedules

    @property
    def run_quota(self) -> int | None:
        """Runs of one owner that may go at once."""
        return 100 if self.quota_runs is None and self.auth_is_required else self.quota_runs

    @property
    def redis_is_given(self) -> bool:
        """Whether the operator named a Redis, so that none may be started instead."""
        return self.redis_host is not None or self.redis_url is not None or bool(self.redis_sentinels)

    @property
    def redis_address(self) -> str:
        """The Redis URL, with its password: never print it, print `redis_shown`."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        password, database = _open(self.redis_password), self.redis_db
        if self.redis_sentinels:
            return redis_address.of_watched(
                self.redis_sentinels,
                self.redis_sentinel_master,
                password=password,
                sentinel_password=_open(self.redis_sentinel_password),
                database=database,
            )
        host = self.redis_host or "localhost"
        return redis_address.of_server(host, self.redis_port, password=password, database=database)

    @property
    def redis_shown(self) -> str:
        """Host and port of Redis, or who knows them, fit for messages and logs."""
        if self.redis_sentinels:
            return f"{self.redis_sentinel_master} (Sentinels {', '.join(self.redis_sentinels)})"
        parts = urlsplit(self.redis_address)
        return f"{parts.hostname}:{parts.port or 6379}"

    @property
    def api_process_count(self) -> int:
        """How many processes serve the API."""
        return self.api_processes or min(os.cpu_count() or 1, MOST_API_PROCESSES)

    @property
    def code_slots(self) -> int:
        """Code runs at once in one worker process."""
        return min(self.sandbox_concurrency or os.cpu_count() or 1, self.max_concurrent_tasks)


def _open(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


#: What pydantic says in its own words.
PLAINER = {
    "bool_parsing": "must be true or false.",
    "string_pattern_mismatch": "does not have the form that it must have; docs/reference/settings.md shows it.",
}


def load(**over: Any) -> Settings:
    """The settings of this process, from the environment and the defaults above.

    Keyword arguments win over both. Raises InvalidSettings, naming every setting that is wrong.
    """
    try:
        return Settings(**over)
    except ValidationError as error:
        lines = [line for problem in error.errors() for line in _explain(problem)]
        raise InvalidSettings("\n".join(lines)) from None


def _explain(problem: Mapping[str, Any]) -> list[str]:
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return [f"  {line}" for line in message.splitlines()]
    message = PLAINER.get(problem["type"], message)
    place = "".join(f"[{part}]" for part in problem["loc"][1:])
    name = str(problem["loc"][0]).upper() + ("_FILE" if problem["type"] == UNREADABLE else "")
    return [f"  {name}{place}: {message}"]
