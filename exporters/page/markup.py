"""HTML by construction: whatever is not markup already is escaped, so that no label can become any."""

from collections.abc import Iterable
from html import escape
from typing import Final, Union

Child = Union[str, "Iterable[Child]", None]

_VOID: Final = frozenset({"meta", "link", "br", "path", "rect", "line"})


class Html(str):
    """Text that is markup already. Formatting or joining it gives plain text again, which is escaped."""

    __slots__ = ()


def element(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Html:
    """
    `class_` stands for `class`, `data_x` for `data-x`; True is a bare attribute, False and None leave it out.

    >>> element("a", "<b>", class_="x", title='"')
    '<a class="x" title="&quot;">&lt;b&gt;</a>'
    """
    written = "".join(
        f" {_name(key)}" if value is True else f' {_name(key)}="{escape(str(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{written}>" if name in ("meta", "link", "br") else f"<{name}{written}/>")
    return Html(f"<{name}{written}>{fragment(*children)}</{name}>")


def fragment(*children: Child) -> Html:
    return Html("".join(_markup(child) for child in children))


def _markup(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str):
        return escape(child, quote=False)
    return "".join(_markup(each) for each in child)


def _name(key: str) -> str:
    return key.removesuffix("_").replace("_", "-")
