"""
Secrets in an answer (`secrets`) and in a prompt (`secrets_prompt`), and the operator's own canaries (`canary`).

Keys with a published form (AWS, Google, GitHub, GitLab, Slack, Stripe, OpenAI and Anthropic, Hugging Face, npm, PyPI,
Alibaba Cloud, Tencent Cloud and others), private keys in PEM, JSON Web Tokens, addresses with a password, and values
given to a name such as password or api_key when they are random enough. A canary is a string that the operator puts
into a system prompt or a document and that must never come out: found exactly, hence the one flag of a single answer
that is worth a page. Misses secrets of no known form, encoded or split ones. Placeholders (`sk-xxxx`, `YOUR_KEY`,
`<token>`, AKIAIOSFODNN7EXAMPLE) are passed over.
"""

import re
from collections import Counter
from collections.abc import Iterator
from math import log2
from pathlib import Path
from typing import Final

import msgspec

from detectors.checks._phrases import Group, Hits, answer_hits, prepare, prompt_hits
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Flag, Score
from watchkeeper.core.vocabulary import outputs

_CANDIDATES: Final = 300
_WORD: Final = re.compile(r"[A-Za-z0-9_]")
_FORMS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("aws", r"(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9])"),
        ("google", r"AIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])|ya29\.[0-9A-Za-z_-]{20,200}"),
        ("github", r"gh[pousr]_[0-9A-Za-z]{36,251}(?![0-9A-Za-z])|github_pat_[0-9A-Za-z_]{22,244}"),
        ("gitlab", r"glpat-[0-9A-Za-z_-]{20,64}"),
        ("model_provider", r"sk-(?:proj-|ant-|svcacct-|or-v1-)?[0-9A-Za-z_-]{20,200}|gsk_[0-9A-Za-z]{40,80}"),
        ("stripe", r"(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{16,120}"),
        ("slack", r"xox[bpa]-[0-9A-Za-z-]{20,120}|xapp-[0-9A-Za-z-]{20,120}"),
        ("slack", r"hooks\.slack\.com/services/T[0-9A-Z]{6,16}/B[0-9A-Z]{6,16}/[0-9A-Za-z]{16,32}"),
        ("hugging_face", r"hf_[0-9A-Za-z]{30,60}(?![0-9A-Za-z])"),
        ("package_registry", r"npm_[0-9A-Za-z]{36}(?![0-9A-Za-z])|pypi-AgE[0-9A-Za-z_-]{50,250}"),
        ("alibaba_cloud", r"LTAI[0-9A-Za-z]{12,26}(?![0-9A-Za-z])"),
        ("tencent_cloud", r"AKID[0-9A-Za-z]{13,40}(?![0-9A-Za-z])"),
        ("sendgrid", r"SG\.[0-9A-Za-z_-]{20,24}\.[0-9A-Za-z_-]{39,50}"),
        ("shop_or_host", r"dop_v1_[0-9a-f]{64}|shpat_[0-9a-fA-F]{32}"),
        ("json_web_token", r"eyJ[0-9A-Za-z_-]{10,2000}\.eyJ[0-9A-Za-z_-]{10,4000}\.[0-9A-Za-z_-]{10,1000}"),
        ("private_key", r"-----BEGIN (?:RSA |EC |DSA |OPENSSH |PGP |ENCRYPTED )?PRIVATE KEY(?: BLOCK)?-----\s{0,4}"
                        r"[0-9A-Za-z+/=]{16}"),
        ("url_password", r"://[^\s:/@\"'<>${}*]{1,64}:(?!\*|\$|<|\{|x{3}|\[|password|secret|pass)[^\s:/@\"'<>${}*]{4,64}@"
                         r"[0-9A-Za-z.-]{1,100}"),
    )
)  # fmt: skip
_ASSIGNED: Final = re.compile(
    r"(?:password|passwd|secret|api[_-]?key|access[_-](?:key|token)|密码|密钥|口令)[\w-]{0,24}[\"'`]?\s{0,3}"
    r"(?:is|为|是|[:=：]{1,2})\s{0,3}[\"'`]?([0-9A-Za-z_+/=.!@#$%^&*-]{8,128})",
    re.IGNORECASE,
)
_PLACEHOLDER: Final = re.compile(
    r"example|x{4}|your|placeholder|change|dummy|\.\.\.|\*{3}|1234567|abcdef|0{6}|_here|insert|redact", re.IGNORECASE
)
_LEAST_BITS: Final = 3.0


class SecretsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Secrets and canaries."""

    enabled: bool = True
    """a few microseconds, and a leak cannot be taken back"""
    prompts: bool = True
    """prompts, too; canaries are looked for in answers alone, they are in prompts on purpose"""
    canaries: tuple[str, ...] = ()
    """strings, at least 8 characters each, that must never be in an answer; better given by `canaries_file` or
    environment variable than in a file that many read"""
    canaries_file: str = ""
    """file with one more canary a line, read at start"""


class Secrets:
    def __init__(self, config: SecretsConfig, _: Ledger) -> None:
        self._prompts = config.prompts
        self._canaries = canaries(config)
        prepare()

    def score(self, call: Prepared) -> tuple[Score, ...]:
        scores: tuple[Score, ...] = ()
        if call.answer:
            scores = (Flag("secrets", kinds(call.answer, call.form(answer_hits))),)
        if self._canaries and call.has_answer:
            whole = call.text.answer
            found = sum(canary in whole for canary in self._canaries)
            scores += (Flag("canary", (("canary", found),) if found else ()),)
        if self._prompts and call.prompt:
            scores += (Flag("secrets_prompt", kinds(call.prompt, call.form(prompt_hits))),)
        return scores


def kinds(text: str, hits: Hits) -> tuple[tuple[str, int], ...]:
    """How often each kind of secret is in a text. Every candidate is looked at from its literal on, in bounded time."""
    if Group.SECRET not in hits:
        return ()
    return tuple(Counter(kind for kind, _, _ in spans(text, hits)).items())


def spans(text: str, hits: Hits, most: int = _CANDIDATES) -> Iterator[tuple[str, int, int]]:
    """Kind, begin and end of what is found, in order and apart; so many candidates are looked at."""
    end = -1
    for start in sorted(hits.get(Group.SECRET, ())[:most]):
        if start < end:
            continue
        kind, length = _at(text, start)
        if kind:
            end = start + length
            yield kind, start, end


def _at(text: str, start: int) -> tuple[str, int]:
    if text.startswith("://", start) or not (start and _WORD.match(text, start - 1)):
        for kind, form in _FORMS:
            match = form.match(text, start)
            if match and (kind in ("private_key", "url_password") or _is_random(match[0])):
                return kind, len(match[0])
    match = _ASSIGNED.match(text, start)
    if match and _is_random(match[1]) and _is_mixed(match[1]):
        return "assigned", len(match[0])
    return "", 0


def _is_mixed(value: str) -> bool:
    """Words are no passwords; code such as `get_password()` is none either."""
    return any(map(str.isdigit, value)) and any(map(str.isalpha, value)) and "." not in value[1:-1]


def _is_random(value: str) -> bool:
    """At least 3 bits a character, and not a placeholder."""
    if _PLACEHOLDER.search(value):
        return False
    counts = Counter(value)
    bits = -sum(count / len(value) * log2(count / len(value)) for count in counts.values())
    return bits >= min(_LEAST_BITS, 0.75 * log2(len(value)))


def canaries(config: SecretsConfig) -> tuple[str, ...]:
    """
    Those of the configuration and those of the file.

    :raises ConfigError: the file cannot be read
    """
    if not config.canaries_file:
        return config.canaries
    try:
        lines = Path(config.canaries_file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        where = "checks.secrets.canaries_file"
        raise ConfigError(f"{where}: '{config.canaries_file}' cannot be read; give a text of UTF-8") from None
    return (*config.canaries, *filter(None, map(str.strip, lines)))


def _problems(config: SecretsConfig) -> tuple[str, ...]:
    try:
        known = canaries(config)
    except ConfigError as error:
        return error.problems
    places = [f"canaries[{index}]" for index in range(len(config.canaries))]
    places += ["canaries_file"] * (len(known) - len(places))
    return tuple(
        f"checks.secrets.{place}: shorter than 8 characters; a short one is found by chance"
        for place, canary in zip(places, known, strict=True)
        if len(canary) < 8
    )


PLUGIN: Final = Plugin(
    name="secrets",
    summary="Secrets in answers and prompts, and the operator's own canaries.",
    config=SecretsConfig,
    build=Secrets,
    roles=("run", "sidecar", "gateway", "detector"),
    metrics=outputs.VERDICTS,
    problems=_problems,
)
