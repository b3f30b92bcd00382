"""HTML in which text is escaped unless it is HTML already."""

from __future__ import annotations

from html import escape

__all__ = ["Html", "element", "join"]

_VOID = frozenset({"img", "link", "meta", "path", "use"})


class Html(str):
    """Text that is HTML and goes into a page as it is."""

    __slots__ = ()


def join(*parts: str) -> Html:
    """Return the parts one after another, those that are not Html escaped."""
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in parts))


def element(tag: str, *children: str, **attributes: str | bool | None) -> Html:
    """Return an element.

    Attribute names lose a trailing underscore and spell others as hyphens; `True` stands for the
    name alone, `None` and `False` for no attribute.
    """
    head = tag
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        head += " " + name.rstrip("_").replace("_", "-")
        if value is not True:
            head += f'="{escape(value)}"'
    if tag in _VOID:
        return Html(f"<{head}>")
    return Html(f"<{head}>{join(*children)}</{tag}>")
