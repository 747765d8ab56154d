"""What a scraper can read, from its Accept headers. Pure."""

from typing import Final

PLAIN: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_OPENMETRICS_VERSIONS: Final = ("", "0.0.1", "1.0.0")
"""what a reader of 1.0 asks for; one that takes 2.0 alone gets text"""


def wants_openmetrics(accept: str) -> bool:
    """
    True where OpenMetrics 1.0 is named and no less welcome than text. A browser or curl gets text.

    >>> wants_openmetrics("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2")
    True
    """
    openmetrics = plain = 0.0
    for entry in accept.split(","):
        kind, parameters = _entry(entry)
        quality = _quality(parameters)
        if kind == "application/openmetrics-text" and parameters.get("version", "") in _OPENMETRICS_VERSIONS:
            openmetrics = max(openmetrics, quality)
        elif kind == "text/plain":
            plain = max(plain, quality)
    return openmetrics > 0 and openmetrics >= plain


def accepts_gzip(accept_encoding: str) -> bool:
    """
    True where gzip is named and not refused.

    >>> accepts_gzip("gzip"), accepts_gzip("gzip;q=0"), accepts_gzip("")
    (True, False, False)
    """
    entries = map(_entry, accept_encoding.split(","))
    return any(coding == "gzip" and _quality(parameters) > 0 for coding, parameters in entries)


def _entry(text: str) -> tuple[str, dict[str, str]]:
    name, *parameters = (part.strip() for part in text.split(";"))
    pairs = (parameter.partition("=") for parameter in parameters)
    return name.lower(), {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}


def _quality(parameters: dict[str, str]) -> float:
    try:
        return float(parameters.get("q", "1"))
    except ValueError:
        return 0.0
