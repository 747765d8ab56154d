"""Points to lines of the text formats 0.0.4 and OpenMetrics 1.0. Pure; the two differ in headers and exemplars only."""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Final

from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.prometheus_names import label_name
from watchkeeper.core.records import Exemplar, HistogramValue, Labels

END: Final = b"# EOF\n"
"""last line of an OpenMetrics page; text 0.0.4 has none"""
_EXPONENT_FROM: Final = 1e6


def number(value: float) -> str:
    """
    The shortest text that reads back the same, with Go's exponents.

    >>> number(1), number(0.001), number(1e6), number(float("inf"))
    ('1.0', '0.001', '1e+06', '+Inf')
    """
    text = repr(float(value))
    if -math.inf < value < _EXPONENT_FROM:
        return text
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    whole, point, fraction = text.partition(".")
    if not point or len(whole) == 1:  # repr has an exponent already
        return text
    digits = f"{whole[0]}.{whole[1:]}{fraction}".rstrip("0").rstrip(".")
    return f"{digits}e+{len(whole) - 1:02d}"


def label_pairs(labels: Labels) -> str:
    """
    What stands between the braces, each pair followed by a comma. Empty values are absent labels.

    >>> label_pairs((("gen_ai.request.model", 'a"b'), ("tenant", "")))
    'gen_ai_request_model="a\\\\"b",'
    """
    return "".join([f'{label_name(name)}="{_escaped(value)}",' for name, value in labels if value])


def number_prefix(name: str, pairs: str) -> str:
    """A counter's or gauge's line up to its value."""
    return f"{name}{_braces(pairs)} "


def histogram_lines(name: str, pairs: str, value: HistogramValue, *, exemplars: bool) -> str:
    """Buckets cumulative up to +Inf, then sum and count."""
    totals = list(accumulate(value.counts, initial=0.0))[1:]
    texts = list(map(repr if totals[-1] < _EXPONENT_FROM else number, totals))
    count = texts[-1]
    if exemplars and value.exemplars:
        texts = [
            f"{text}{_exemplar(exemplar)}" if exemplar else text
            for text, exemplar in zip(texts, value.exemplars, strict=True)
        ]
    parts = list(_bucket_parts(name, value.bounds))
    parts[1::4] = [pairs] * len(texts)
    parts[3::4] = texts
    braces = _braces(pairs)
    return f"{''.join(parts)}\n{name}_sum{braces} {number(value.sum)}\n{name}_count{braces} {count}\n"


def header(metric: Metric, *, openmetrics: bool) -> str:
    """HELP and TYPE, in OpenMetrics UNIT too. A counter's OpenMetrics family has no `_total`."""
    name, text = metric.prometheus_name, metric.help.replace("\\", "\\\\").replace("\n", "\\n")
    if not openmetrics:
        return f"# HELP {name} {text}\n# TYPE {name} {metric.kind}\n"
    text = text.replace('"', '\\"')
    if metric.kind is Kind.COUNTER:
        name = name.removesuffix("_total")
    unit = metric.prometheus_unit
    unit_line = f"# UNIT {name} {unit}\n" if unit and name.endswith(f"_{unit}") else ""
    return f"# HELP {name} {text}\n# TYPE {name} {metric.kind}\n{unit_line}"


@lru_cache(maxsize=4096)
def _bucket_parts(name: str, bounds: Sequence[float]) -> tuple[str, ...]:
    """Four parts a bucket: up to the labels, room for them, `le` up to the value, room for it."""
    parts: list[str] = []
    for bound in (*bounds, math.inf):
        line_break = "\n" if parts else ""
        parts += (f"{line_break}{name}_bucket{{", "", f'le="{number(bound)}"}} ', "")
    return tuple(parts)


def _exemplar(exemplar: Exemplar) -> str:
    """Nothing for one without a trace."""
    if not exemplar.trace_id:
        return ""
    span = f',span_id="{exemplar.span_id.hex()}"' if exemplar.span_id else ""
    return f' # {{trace_id="{exemplar.trace_id.hex()}"{span}}} {number(exemplar.value)} {exemplar.at:.3f}'


def _braces(pairs: str) -> str:
    return f"{{{pairs[:-1]}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
