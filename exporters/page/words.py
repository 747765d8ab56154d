"""Every sentence of the page as a typed record: a language that lacks one does not import."""

import re
from collections.abc import Mapping

import msgspec

from exporters.page.figures import age
from exporters.page.status import State, Why
from exporters.page.tally import Origin
from watchkeeper.core.memory import Did
from watchkeeper.core.records import Finding, Outcome, Severity
from watchkeeper.core.vocabulary.faults import FaultClass


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """Places for values are named in braces and the same in every language; a test holds them to it."""

    tag: str
    """BCP 47"""
    other_tag: str
    other_name: str
    """the other language, in its own words"""

    # the head
    version: str
    role: str
    uptime: str
    memory: str
    series: str
    metrics_link: str

    # is it well
    states: Mapping[State, str]
    remarks: Mapping[Why, str]
    well: str
    well_idle: str
    unknown: str
    more: str
    listed_more: str
    lost: str
    """in the browser, when watchkeeper no longer answers"""

    # the live numbers
    live: str
    last_minute: str
    requests: str
    counted_by_engines: str
    ttft: str
    tpot: str
    tokens: str
    input: str
    output: str
    errors: str
    errors_of: str
    """what the share is of, in short"""
    errors_meaning: str
    """the same in full"""
    in_flight: str
    running: str
    waiting: str
    per_second: str
    median: str
    p95: str
    origins: Mapping[Origin, str]
    origins_short: Mapping[Origin, str]
    outcomes: Mapping[Outcome, str]
    no_failures: str
    last_quarter: str
    left_out: str
    now: str
    highest: str
    chart: str

    # why a number is absent
    absent_requests: str
    absent_ttft: str
    absent_tpot: str
    absent_tokens: str
    absent_errors: str
    absent_in_flight: str
    absent_group: str
    absent_engine: str
    absent_itself: str
    absent_record: str
    absent_queue: str
    absent_state: str

    # what is watched
    models: str
    model: str
    services: str
    service: str
    unnamed: str
    and_more: str
    error_share: str
    engines: str
    accelerators: str
    engine: str
    state: str
    up: str
    down: str
    kv_cache: str
    output_tokens: str

    # accelerators
    accelerator: str
    device_busy: str
    compute: str
    device_memory: str
    of_memory: str
    temperature: str
    power: str
    free: str
    """no pod has it, as far as is known"""
    held_back: str
    faults_since: str
    device_states: Mapping[str, str]
    fault_classes: Mapping[FaultClass, str]
    absent_device: str

    no_models: str
    no_engines: str
    no_services: str

    # findings
    findings: str
    no_findings: str
    signals: Mapping[str, str]
    """titles of findings by what raised them"""
    subjects: Mapping[str, str]
    """what a finding is about, by label"""
    earlier: str
    alike: str
    and_alike: str
    span: str
    """of two ages"""
    severities: Mapping[Severity, str]
    since: str
    resolved: str
    cause: str
    causes: str
    evidence: str
    action: str
    runbook: str

    # what the record knows of findings
    deeds: Mapping[Did, str]
    untaken: str
    """nobody acknowledged it"""
    more_comments: str
    before: str
    before_meaning: str
    """what is between backquotes is set as code"""
    record_not_read: str
    record_away: str
    record_away_since: str
    record_old: str

    # sources and the rest
    sources: str
    last_record: str
    ago: str
    failures: str
    queue: str
    queues: str
    rejected: str
    refused_requests: str
    dropped: str
    since_start: str
    no_sources: str
    exporters: str
    not_written: str

    # nothing yet
    empty_title: str
    empty_steps: tuple[str, ...]
    """what is between backquotes is set as code"""

    reasons: Mapping[str, str]
    """values of the label `reason` of watchkeeper's own metrics, and of an engine's fault"""
    reasons_of: str
    because: str

    units: Mapping[str, str]
    """one amount of time: second, minute, hour, day"""
    separator: str
    """between things in a sentence"""

    def outcome(self, name: str) -> str:
        """An outcome that is not of the vocabulary keeps its name."""
        known = {outcome.value: outcome for outcome in Outcome}.get(name)
        return name if known is None else self.outcomes[known]

    def reason(self, name: str) -> str:
        """A reason that is not known here keeps its name."""
        return self.reasons.get(name, name or self.unnamed)

    def device_state(self, name: str) -> str:
        return self.device_states.get(name, name)

    def fault_class(self, name: str) -> str:
        known = {kind.value: kind for kind in FaultClass}.get(name)
        return self.reason(name) if known is None else self.fault_classes[known]

    def title_of(self, finding: Finding) -> str:
        """What raised it, in words; where that is not known here, its subject as it stands."""
        return self.signals.get(finding.name) or _named(finding.subject)

    def about(self, finding: Finding) -> str:
        """What it is about; empty where the title says that already."""
        if finding.name not in self.signals:
            return ""
        own = dict(finding.labels)
        if "k8s.pod.name" in own and "k8s.namespace.name" in own:
            own["k8s.pod.name"] = f"{own.pop('k8s.namespace.name')}/{own['k8s.pod.name']}"
        if "server.address" in own and "server.port" in own:
            own["server.address"] += f":{own.pop('server.port')}"
        if "hw.name" in own:  # what it is called, and not its number for machines
            own.pop("hw.id", "")
            own["hw.name"] = " ".join(filter(None, (own.pop("hw.vendor", ""), own["hw.name"])))
        if "reason" in own:
            reason = own["reason"]
            own["reason"] = self.fault_class(reason) if finding.name == "fault" else self.reason(reason)
        return " · ".join(self.subjects.get(label, "{name}").format(name=name) for label, name in own.items())

    def age(self, seconds: float) -> str:
        return " ".join(self.units[unit].format(amount=amount) for amount, unit in age(seconds))

    def ago_of(self, seconds: float) -> str:
        return self.ago.format(age=self.age(seconds))

    def listed(self, names: tuple[str, ...], most: int = 3) -> str:
        """The first few, and how many more."""
        shown = self.separator.join(names[:most])
        return shown if len(names) <= most else self.listed_more.format(names=shown, count=len(names) - most)


def preferred(wanted: str | None, accepted: str, known: tuple[str, ...]) -> str:
    """
    The language of the page: `wanted` (from the address), else the best of an Accept-Language header, else the first.

    >>> preferred(None, "de, zh-CN;q=0.8, en;q=0.5", ("en", "zh"))
    'zh'
    """
    if wanted is not None and _primary(wanted) in known:
        return _primary(wanted)
    best, found = 0.0, known[0]
    for part in accepted[:500].split(","):
        tag, _, parameters = part.partition(";")
        language = _primary(tag)
        weight = _weight(parameters)
        if language in known and weight > best:
            best, found = weight, language
    return found


def _primary(tag: str) -> str:
    return tag.strip().lower().partition("-")[0]


def _weight(parameters: str) -> float:
    match = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", parameters)
    return min(float(match[1]), 1.0) if match else 1.0


def _named(subject: str) -> str:
    """
    A segment without the parts that it does not have.

    >>> _named("drift of error of /chat/qwen"), _named("drift of error of //")
    ('drift of error of chat/qwen', 'drift of error')
    """
    what, found, segment = subject.rpartition(" of /")
    return " of ".join(filter(None, (what, segment.lstrip("/")))) if found else subject
