"""Corrects or drops variables of OpenTelemetry and prometheus_client whose values cannot be used, with one warning for each.

The libraries read these variables by themselves, some while they are imported, and a single odd value would cost all traces
or keep the service from starting. A warning names the variable and what is used instead. It never shows the value, which may
be a key.
"""

import logging
import os
import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
from urllib.parse import urlsplit

log = logging.getLogger(__name__)

MOST = 2**31 - 1
SAMPLERS = frozenset(
    f"{parent}{name}" for parent in ("", "parentbased_") for name in ("always_on", "always_off", "traceidratio")
)
EXPORTERS = frozenset(("otlp", "console", "none", "files", "jaeger", "jaeger_thrift"))
PROTOCOLS = frozenset(("http/protobuf", "grpc"))
# Such a plug-in makes the session that the exporter uses, so ours is not passed.
CREDENTIALS = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
)
HEADER = re.compile(r"\s*[!#-'*+.0-9A-Z^-z|~-]+\s*=[ !#-+\--:<-\[\]-~]*")

Mend = Callable[[str], str]
"""Returns the part of a value that can be used: all of it, some of it, or an empty string, for which the default is used."""


def _if(is_usable: Callable[[str], object]) -> Mend:
    def mend(value: str) -> str:
        try:
            return value if is_usable(value.strip()) else ""
        except Exception:
            return ""

    return mend


def _each(is_usable: Callable[[str], object], value: str) -> str:
    usable = _if(is_usable)
    parts = [part for part in value.split(",") if part.strip()]
    kept = [part for part in parts if usable(part)]
    return value if kept == parts else ",".join(kept)


def _list(is_usable: Callable[[str], object]) -> Mend:
    return lambda value: _each(is_usable, value)


def _offers(group: str) -> Callable[[str], object]:
    """A test whether an installed package offers a class of this name, and whether that can be instantiated."""

    def is_offered(name: str) -> bool:
        for found in entry_points(group=group, name=name):
            found.load()()
            return True
        return False

    return is_offered


def _is_exporter(name: str) -> object:
    return name in EXPORTERS or any(entry_points(group="opentelemetry_traces_exporter", name=name))


def _is_protocol(name: str) -> object:
    if name == "grpc":
        return any(entry_points(group="opentelemetry_traces_exporter", name="otlp_proto_grpc"))
    return name in PROTOCOLS


def _endpoint(value: str) -> str:
    """The address with `http://` in front if it has no scheme. gRPC needs none, so its address is left as it is."""
    if "grpc" in map(os.environ.get, _of_traces("PROTOCOL", str)):
        return value
    address = value.strip() if "://" in value else f"http://{value.strip()}"
    try:
        parts = urlsplit(address)
        is_usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_usable = False
    return (value if "://" in value else address) if is_usable else ""


_COUNT: Mend = _if(lambda value: 0 <= int(value) <= MOST)
_POSITIVE: Mend = _if(lambda value: 0 < float(value) <= MOST)
_WHOLE: Mend = _if(lambda value: 0 < int(value) <= MOST)
_FILE: Mend = _if(lambda value: os.path.isfile(value) and os.access(value, os.R_OK))
_URLS: Mend = _list(re.compile)
_COMPRESSION: Mend = _if(lambda value: value.lower() in ("gzip", "deflate", "none"))


def _of_traces(name: str, mend: Mend) -> dict[str, Mend]:
    """The same rule for two variables: the one for all signals and the one for traces."""
    return {f"OTEL_EXPORTER_OTLP_{each}{name}": mend for each in ("", "TRACES_")}


# The libraries read these while they are imported, or each time a provider is requested, so they are corrected before that.
AT_IMPORT: Mapping[str, tuple[Mend, str]] = {
    "OTEL_PROPAGATORS": (
        _list(lambda name: name.lower() == "none" or _offers("opentelemetry_propagator")(name)),
        "tracecontext,baggage",
    ),
    "OTEL_PYTHON_TRACER_PROVIDER": (_if(_offers("opentelemetry_tracer_provider")), "ours"),
    "OTEL_PYTHON_METER_PROVIDER": (_if(_offers("opentelemetry_meter_provider")), "the default"),
    "OTEL_PYTHON_CONTEXT": (_if(_offers("opentelemetry_context")), "contextvars_context"),
    "OTEL_RESOURCE_ATTRIBUTES": (
        _list(lambda pair: pair.partition("=")[0].strip() and "=" in pair),
        "no attributes",
    ),
    "PROMETHEUS_MULTIPROC_DIR": (
        _if(lambda path: os.path.isdir(path) and os.access(path, os.W_OK)),
        "numbers of one process",
    ),
}
AT_START: Mapping[str, Mend] = {
    "OTEL_TRACES_EXPORTER": _list(_is_exporter),
    "OTEL_TRACES_SAMPLER": _if(lambda name: name.lower() in SAMPLERS),
    "OTEL_TRACES_SAMPLER_ARG": _if(lambda value: 0 <= float(value) <= 1),
    "OTEL_PYTHON_ID_GENERATOR": _if(_offers("opentelemetry_id_generator")),
    "OTEL_SDK_DISABLED": _if(lambda value: value.lower() in ("true", "false")),
    "OTEL_CONFIG_FILE": _FILE,
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": _list(
        lambda name: name == "*" or any(entry_points(group="opentelemetry_resource_detector", name=name))
    ),
    "OTEL_PYTHON_EXCLUDED_URLS": _URLS,
    "OTEL_PYTHON_HTTPX_EXCLUDED_URLS": _URLS,
    **dict.fromkeys(CREDENTIALS, _if(_offers("opentelemetry_otlp_credential_provider"))),
    "OTEL_EXPORTER_JAEGER_AGENT_PORT": _WHOLE,
    "OTEL_EXPORTER_JAEGER_TIMEOUT": _WHOLE,
    **{
        f"OTEL_{name}_LIMIT": _COUNT
        for name in ("ATTRIBUTE_COUNT", "SPAN_ATTRIBUTE_COUNT", "EVENT_ATTRIBUTE_COUNT", "LINK_ATTRIBUTE_COUNT")
        + ("SPAN_EVENT_COUNT", "SPAN_LINK_COUNT", "ATTRIBUTE_VALUE_LENGTH", "SPAN_ATTRIBUTE_VALUE_LENGTH")
    },
    **{
        f"OTEL_BSP_{name}": _WHOLE
        for name in ("SCHEDULE_DELAY", "MAX_QUEUE_SIZE", "MAX_EXPORT_BATCH_SIZE", "EXPORT_TIMEOUT")
    },
    **_of_traces("PROTOCOL", _if(_is_protocol)),
    **_of_traces("ENDPOINT", _endpoint),
    **_of_traces("HEADERS", _list(HEADER.fullmatch)),
    **_of_traces("TIMEOUT", _POSITIVE),
    **_of_traces("COMPRESSION", _COMPRESSION),
    **_of_traces("CERTIFICATE", _FILE),
    **_of_traces("CLIENT_KEY", _FILE),
    **_of_traces("CLIENT_CERTIFICATE", _FILE),
}  # fmt: skip
_left_out: dict[str, str] = {}
"""For each variable that was corrected at import, what is used instead: logging is not configured yet at that time."""


def mend_for_import() -> None:
    """Removes the values that cannot be used from the environment for good, since some variables are read again and again."""
    for name, (mend, default) in AT_IMPORT.items():
        given = os.environ.get(name, "")
        if given and (used := mend(given)) != given:
            _left_out[name] = _in_words(name, used, default)
            os.environ.pop(name)
            if used:
                os.environ[name] = used


def usable(defaults: Mapping[str, str]) -> dict[str, str]:
    """The variables whose values cannot be used, each with what is used instead: an empty string stands for the SDK's default."""
    for name, instead in _left_out.items():
        _warn(name, instead)
    _left_out.clear()
    mended: dict[str, str] = {}
    for name, mend in AT_START.items():
        given = os.environ.get(name, "")
        if given.strip() and (used := mend(given)) != given:
            mended[name] = used or defaults.get(name, "")
            _warn(name, _in_words(name, used, mended[name] or "the default"))
    return mended


def _in_words(name: str, used: str, default: str) -> str:
    """What the warning says is used instead, without showing a value that may hold a key."""
    if not used:
        return default
    return "what of it can be used" if name.endswith(("_HEADERS", "_ATTRIBUTES", "_ENDPOINT")) else used


def _warn(name: str, instead: str) -> None:
    log.warning("a variable cannot be used", extra={"variable": name, "used_instead": instead})


@contextmanager
def environment(values: Mapping[str, str]) -> Generator[None]:
    """Sets variables during the block for the SDK, which takes its settings from nowhere else, and restores them afterwards.

    Left in place, child processes would inherit them. A variable with an empty value is removed.
    """
    before = dict(os.environ)
    for name, value in values.items():
        if value:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
