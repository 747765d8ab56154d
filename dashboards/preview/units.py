"""Numbers as people read them, by Grafana's names of units."""

from typing import Final

_DECIMAL: Final = ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"))
_SHORT: Final = ((1e12, " Tri"), (1e9, " Bil"), (1e6, " Mil"), (1e3, " K"))
_BINARY: Final = ((2**40, " TiB"), (2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"))
_SPANS: Final = ((31_536_000, " years"), (604_800, " weeks"), (86_400, " days"), (3_600, " hours"), (60, " min"))
_SUFFIX: Final = {"reqps": " req/s", "cps": "/s", "celsius": " °C", "kwatth": " kWh"}
_PREFIXED: Final = {"watt": "W", "joule": "J", "hertz": "Hz"}


def readable(value: float, unit: str, decimals: int | None = None) -> str:
    """
    >>> readable(0.1234, "percentunit"), readable(2_500, "watt"), readable(0.0042, "s")
    ('12.3%', '2.50 kW', '4.20 ms')
    """
    if value != value:
        return "–"
    if unit == "percentunit":
        return f"{_digits(value * 100, decimals)}%"
    if unit == "s":
        return _seconds(value)
    if unit == "dtdurations":
        return _scaled(value, ((*_SPANS,)), " s", 1 if decimals is None else decimals)
    if unit == "bytes":
        return _scaled(value, _BINARY, " B", decimals)
    if unit in _PREFIXED:
        name = _PREFIXED[unit]
        text = _scaled(value, _DECIMAL, " ", decimals)
        return f"{text}{name}"
    if unit == "none":
        return _digits(value, decimals)
    return _scaled(value, _SHORT, "", decimals) + _SUFFIX.get(unit, "")


def _seconds(value: float) -> str:
    if value and abs(value) < 0.001:
        return f"{_digits(value * 1e6, None)} µs"
    if value and abs(value) < 1:
        return f"{_digits(value * 1e3, None)} ms"
    return _scaled(value, ((3_600, " h"), (60, " min")), " s", None)


def _scaled(value: float, scale: tuple[tuple[float, str], ...], plain: str, decimals: int | None) -> str:
    for size, name in scale:
        if abs(value) >= size:
            return f"{_digits(value / size, decimals)}{name}"
    return f"{_digits(value, decimals)}{plain}"


def _digits(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return f"{value:.{decimals}f}"
    if value == round(value) and abs(value) < 1e6:
        return f"{value:.0f}"
    return f"{value:.{max(0, min(2, 2 - len(str(int(abs(value)))) + 1))}f}" if abs(value) >= 1 else f"{value:.3g}"
