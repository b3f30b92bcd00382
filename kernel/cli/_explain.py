"""The description of one plugin, and its options."""

from __future__ import annotations

import inspect
import json
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from kernel.cli.table import paragraph
from kernel.errors import KernelError
from kernel.kinds import accumulates
from kernel.kinds._component import Component
from kernel.registry import PluginInfo, Registry

_BOUNDS = {
    "gt": ">",
    "ge": ">=",
    "lt": "<",
    "le": "<=",
    "multiple_of": "a multiple of",
    "min_length": "length >=",
    "max_length": "length <=",
    "pattern": "matching",
}


def explain(info: PluginInfo, registry: Registry) -> dict[str, Any]:
    """Return the description and options of a plugin, or the error that its import raises."""
    record = info._asdict()
    if info.kind == "model":
        return record | {"doc": f"A trained model: see `kernel models {info.name}`.", "options": []}
    try:
        component = registry.load(info)
    except KernelError as error:
        return record | {"error": str(error)}
    doc = inspect.cleandoc(component.__doc__ or "")
    return record | {"doc": doc, "options": _options(component)}


def show(record: dict[str, Any]) -> str:
    """Return the result of `explain` as text for people."""
    spelling = f"{record['kind']}.{record['name']}"
    lines = [f"{spelling}  ({record['distribution']} {record['version']}, {record['target']})", ""]
    if "error" in record:
        return "\n".join([*lines, paragraph(record["error"], "  ")])
    lines.append("\n\n".join(_prose(part) for part in record["doc"].split("\n\n")))
    key = spelling if accumulates(record["kind"]) else record["kind"]
    for option in record["options"]:
        lines += ["", f"  {key}.{option['name']} {_written(option)}"]
        facts = ", ".join([option["type"], *option["bounds"]])
        lines.append(paragraph(f"{facts}: {option['description']}", "      "))
    if record["options"]:
        lines += ["", f"  Set one with -o {key}.{record['options'][0]['name']}=VALUE"]
    return "\n".join(lines)


def _prose(text: str) -> str:
    """Return a paragraph filled and indented; text that is laid out by spaces keeps its lines."""
    if text.startswith(" ") or "   " in text:
        return "\n".join(f"  {line}" for line in text.splitlines())
    return paragraph(" ".join(text.split()), "  ")


def _options(component: type[Component]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "type": _type(field.annotation),
            "required": field.is_required(),
            "default": _default(field),
            "bounds": _bounds(field),
            "description": field.description or "",
        }
        for name, field in component.model_fields.items()
    ]


def _type(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(json.dumps(choice) for choice in parts)
    if origin in (Union, UnionType):
        return " | ".join(map(_type, parts))
    if origin is Annotated:
        return _type(parts[0])
    if annotation in (None, NoneType):
        return "None"
    if origin is None or not isinstance(origin, type):
        return getattr(annotation, "__name__", str(annotation))
    return f"{origin.__name__}[{', '.join('...' if p is ... else _type(p) for p in parts)}]"


def _default(field: FieldInfo) -> Any:
    try:
        value = field.get_default(call_default_factory=True, validated_data={})
        return None if value is PydanticUndefined else to_jsonable_python(value, fallback=str)
    except Exception as error:  # a plugin's own factory
        return f"{type(error).__name__}: {error}"


def _bounds(field: FieldInfo) -> list[str]:
    return [
        f"{sign} {value}"
        for constraint in field.metadata
        for name, sign in _BOUNDS.items()
        if (value := getattr(constraint, name, None)) is not None
    ]


def _written(option: dict[str, Any]) -> str:
    if option["required"]:
        return "(required)"
    if option["default"] is None:
        return "(not set)"
    return f"= {json.dumps(option['default'], ensure_ascii=False)}"
