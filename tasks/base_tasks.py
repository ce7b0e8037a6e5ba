"""The kinds of work. A new kind is one class here and one entry in KINDS; see docs/howto/add-a-kind.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_serializer

from config.settings import Settings
from tasks.errors import FieldProblem
from tasks.http_call import HttpCaller, HttpRequest
from tasks.http_request import authorization
from tasks.model import Failed, Limits, Outcome
from tasks.report import Report
from tasks.sandbox import Sandbox, check_arguments

MOST_DEPTH = 32


class Spec(BaseModel):
    """Base of every kind's fields: exact types, no unknown names."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=False)


class Kind:
    """One sort of work: which fields describe it, what is wrong with them, and how it is done."""

    #: What `kind` of a task says.
    name: ClassVar[str]
    #: The kind's own fields; validation and documentation come from it.
    Spec: ClassVar[type[Spec]]
    #: Fields that tell that a submission means this kind.
    marks: ClassVar[frozenset[str]]
    #: Fields in which `{{secret:NAME}}` is filled in; their values are shown to nobody.
    secret_fields: ClassVar[frozenset[str]] = frozenset()
    #: Whether a run may be done again, unasked, when its worker died under it.
    repeatable: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        self.default_timeout: float = settings.task_timeout

    def knows(self, body: Mapping[str, Any]) -> bool:  # noqa: ARG002 - for the kinds to use
        """Whether `problems` takes no time to speak of for the fields in `body`, which nobody has looked at yet."""
        return True

    def problems(self, spec: Any) -> Sequence[FieldProblem]:  # noqa: ARG002 - for the kinds to use
        """What else is wrong with a spec whose fields are each valid."""
        return ()

    def secret_problems(self, spec: Any) -> Sequence[FieldProblem]:  # noqa: ARG002 - for the kinds to use
        """What is wrong with a spec once its secrets are filled in, without asking anybody for it."""
        return ()

    def secret_texts(self, spec: Any) -> Sequence[str]:  # noqa: ARG002 - for the kinds to use
        """What the kind makes of a spec's secrets that is as secret as they are."""
        return ()

    def run(self, spec: Any, limits: Limits, report: Report) -> Outcome:
        """Do the work once, within `limits`, telling `report` what it prints; never raises for the work's faults."""
        raise NotImplementedError

    def prestart(self, *, runs: bool) -> None:
        """Make ready ahead of the first use, in a process that checks specs and, where `runs`, runs them too."""

    def health(self) -> Mapping[str, Any]:
        """What this kind adds to /api/health, by name."""
        return {}

    def close(self) -> None:
        """Leave nothing behind."""


def _depth_bounded(value: Any) -> Any:
    if _deeper(value, MOST_DEPTH):
        raise ValueError(f"is nested more than {MOST_DEPTH} levels deep")
    return value


def _deeper(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return False
    return levels == 0 or any(_deeper(item, levels - 1) for item in value)


class CodeLimits(BaseModel):
    """Bounds of one task's runs, lower than those of the service (SANDBOX_MEMORY_MB, SANDBOX_CPU_SECONDS)."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    memory_mb: int | None = Field(default=None, ge=16, description="MiB on top of what the interpreter takes.")
    cpu_seconds: int | None = Field(default=None, ge=1, description="Seconds of processor time.")


class CodeSpec(Spec):
    """A Python function and what to call it with."""

    function_code: str = Field(
        min_length=1,
        description="Python source that defines the function; at most 64 KiB.",
        examples=['def hello():\n    return "Hello World!"'],
    )
    function_name: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="Name of the function in function_code that is called.", examples=["hello"]
    )
    args: list[Any] = Field(default_factory=list, description="Positional arguments.")
    kwargs: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments.")
    limits: CodeLimits | None = Field(
        default=None, description="Lower bounds than the service's own, for memory and processor time."
    )

    @field_serializer("limits", when_used="unless-none")
    def _only_given(self, limits: CodeLimits) -> dict[str, int]:
        return limits.model_dump(exclude_none=True)


class CodeKind(Kind):
    """Runs a user's Python function in the sandbox."""

    name = "code"
    Spec = CodeSpec
    marks = frozenset({"function_code", "function_name"})
    secret_fields = frozenset({"args", "kwargs"})
    repeatable = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._most = {
            "memory_mb": (settings.sandbox_memory_mb, "MiB", "SANDBOX_MEMORY_MB"),
            "cpu_seconds": (settings.sandbox_cpu_seconds, "seconds", "SANDBOX_CPU_SECONDS"),
        }
        self._sandbox = Sandbox(
            memory_mb=settings.sandbox_memory_mb,
            cpu_seconds=settings.sandbox_cpu_seconds,
            extra_modules=settings.sandbox_extra_modules,
        )

    def knows(self, body: Mapping[str, Any]) -> bool:
        """Whether the code was seen before: a process of its own looks at what is new."""
        source = body.get("function_code")
        return isinstance(source, str) and self._sandbox.knows(source)

    def problems(self, spec: CodeSpec) -> Sequence[FieldProblem]:
        """What cannot be passed to the function, and what the language layer refuses, with line and column."""
        arguments = check_arguments(spec.args, spec.kwargs)
        checked = self._sandbox.check(spec.function_code, spec.function_name)
        return [*arguments, *self._too_much(spec.limits or CodeLimits()), *checked]

    def _too_much(self, limits: CodeLimits) -> Iterator[FieldProblem]:
        for name, (most, unit, setting) in self._most.items():
            asked = getattr(limits, name)
            if asked is not None and asked > most:
                text = f"must be at most {most} {unit} (the setting {setting})."
                yield FieldProblem(pointer=f"/limits/{name}", code="too_large", message=text)

    def run(self, spec: CodeSpec, limits: Limits, report: Report) -> Outcome:
        """Call the function in a child process of its own."""
        return self._sandbox.run(
            source=spec.function_code,
            function_name=spec.function_name,
            args=spec.args,
            kwargs=spec.kwargs,
            limits=limits,
            report=report,
            **(spec.limits.model_dump() if spec.limits else {}),
        )

    def prestart(self, *, runs: bool) -> None:
        """Start the sandbox's zygotes."""
        self._sandbox.prestart(runs=runs)

    def health(self) -> Mapping[str, Any]:
        """The layers in force."""
        return {"sandbox": self._sandbox.layers()}

    def close(self) -> None:
        """End the sandbox's processes."""
        self._sandbox.close()


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Scalar = str | int | float | bool
StatusCode = Annotated[int, Field(ge=100, le=599)]
StatusClass = Annotated[str, StringConstraints(pattern=r"^[1-5]xx$")]


class Auth(Spec):
    """How an HTTP task shows who it is."""

    type: Literal["basic", "bearer"]
    username: Annotated[str, StringConstraints(max_length=1000)] | None = Field(
        default=None, description="Of basic; without a colon."
    )
    password: Annotated[str, StringConstraints(max_length=1000)] | None = Field(default=None, description="Of basic.")
    token: Annotated[str, StringConstraints(max_length=8000)] | None = Field(default=None, description="Of bearer.")


class HttpSpec(Spec):
    """One HTTP request and which answer counts as success."""

    api_url: str = Field(min_length=1, max_length=8192, description="Where to call; http or https.")
    method: Annotated[Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], BeforeValidator(_upper)] = (
        Field(default="GET", description="In upper or lower case.")
    )
    headers: dict[str, Annotated[str, StringConstraints(max_length=8192)]] = Field(
        default_factory=dict, max_length=100, description="Request headers."
    )
    params: dict[str, Scalar | Annotated[list[Scalar], Field(max_length=1000, fail_fast=True)]] | None = Field(
        default=None, max_length=100, description="Query parameters, added to those in the URL."
    )
    json_: Annotated[Any, BeforeValidator(_depth_bounded)] = Field(
        default=None, alias="json", description="Body, sent as JSON. Not together with `body`."
    )
    body: Annotated[str, StringConstraints(max_length=1_048_576)] | None = Field(
        default=None, description="Body as text, sent in UTF-8."
    )
    form: dict[str, Scalar | Annotated[list[Scalar], Field(max_length=1000, fail_fast=True)]] | None = Field(
        default=None, max_length=1000, description="Body, sent as a form. Not together with `json` or `body`."
    )
    auth: Auth | None = Field(default=None, description="Credentials; another host never sees them after a redirect.")
    expected_status: Annotated[list[StatusCode | StatusClass], BeforeValidator(_listed)] = Field(
        default_factory=list, max_length=50, description="Statuses or classes that count as success; default: any 2xx."
    )
    follow_redirects: bool = Field(default=True, description="Up to 10; credentials stay behind when the host changes.")
    verify_tls: bool = Field(
        default=True, description="Whether the certificate must be valid; false needs HTTP_ALLOW_UNVERIFIED_TLS."
    )
    ca_certificate: Annotated[str, StringConstraints(min_length=1, max_length=65_536)] | None = Field(
        default=None, description="Certificates in PEM that are believed for this call, instead of the usual ones."
    )


class HttpKind(Kind):
    """Makes one HTTP call, through the guard against requests to inner networks."""

    name = "http"
    Spec = HttpSpec
    marks = frozenset({"api_url"})
    secret_fields = frozenset({"headers", "json", "body", "form", "auth"})

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.default_timeout = min(30.0, settings.task_timeout)
        self._unverified_is_allowed = settings.http_allow_unverified_tls
        self._caller = HttpCaller(
            allowed_networks=settings.http_allowed_networks,
            max_response_bytes=settings.http_max_response_bytes,
        )

    def problems(self, spec: HttpSpec) -> Sequence[FieldProblem]:
        """What is wrong with the URL, the headers and the body together."""
        problems = self._caller.problems(_request(spec))
        if self._is_refused(spec):
            problems.append(FieldProblem(pointer="/verify_tls", code="not_allowed", message=UNVERIFIED))
        return problems

    def secret_problems(self, spec: HttpSpec) -> Sequence[FieldProblem]:
        """What is wrong with the headers and the body."""
        return self._caller.problems(_request(spec))

    def secret_texts(self, spec: HttpSpec) -> Sequence[str]:
        """The credentials of basic authentication in Base64."""
        if spec.auth is None or spec.auth.type != "basic":
            return ()
        return (authorization(spec.auth.model_dump()).partition(" ")[2],)

    def _is_refused(self, spec: HttpSpec) -> bool:
        return not spec.verify_tls and not self._unverified_is_allowed

    def run(self, spec: HttpSpec, limits: Limits, report: Report) -> Outcome:
        """Make the call."""
        if self._is_refused(spec):
            return Failed(code="unverified_tls", message=UNVERIFIED)
        return self._caller.call(_request(spec), limits=limits, report=report)


UNVERIFIED = "Only where the operator sets HTTP_ALLOW_UNVERIFIED_TLS may a certificate go unchecked."


def _request(spec: HttpSpec) -> HttpRequest:
    given = {name: getattr(spec, name) for name in ("api_url", "method", "headers", "params", "body", "form")}
    body = {"json": spec.json_} if "json_" in spec.model_fields_set else {}
    return HttpRequest(
        **given,
        **body,
        auth=None if spec.auth is None else spec.auth.model_dump(),
        expected_status=tuple(spec.expected_status),
        follow_redirects=spec.follow_redirects,
        verify_tls=spec.verify_tls,
        ca_certificate=spec.ca_certificate,
    )


#: Every kind there is.
KINDS: tuple[type[Kind], ...] = (CodeKind, HttpKind)


def build_kinds(settings: Settings) -> dict[str, Kind]:
    """The kinds by name, each with its settings."""
    return {kind.name: kind(settings) for kind in KINDS}
