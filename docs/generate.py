"""Write the generated parts of the documents; `--check` only says whether they are up to date.

A generated part stands between `<!-- WHAT: ARGUMENT -->` and `<!-- end -->`; WHAT is a function of
this module, called with the argument.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import re
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import kernel
import kernel_audio_testing
from kernel.cli._explain import _options, explain
from kernel.kinds import KINDS
from kernel.kinds import model as records
from kernel.models import survey
from kernel.registry import PluginInfo, Registry

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
OURS = "kernel-audio-plugins"
PARTS = "plugins|template|filled|example|offers|options|names|record|manifest"
PART = re.compile(rf"(<!-- ({PARTS})(?:: ([^>]*))? -->\n)(?:.*?\n)??(<!-- end -->)", re.DOTALL)

registry = Registry.scan()


def shipped(kind: str) -> list[PluginInfo]:
    """Return our own plugins of a kind."""
    return [info for info in registry.plugins if (info.kind, info.distribution) == (kind, OURS)]


def plugins() -> str:
    """Return the table of the shipped plugins: the names of each kind, and the models."""
    rows = ["| kind | what is shipped |", "|---|---|"]
    for kind in KINDS:
        names = [f"[`{info.name}`]({_page(info)})" for info in shipped(kind)]
        if names and kind != "model":
            rows.append(f"| {kind} | {', '.join(names)} |")
    models = [
        f"`{pack.name}` ({pack.manifest.title}; {pack.manifest.parameters / 1e6:.1f} M parameters)"
        for pack in survey(registry)[0]
        if pack.info and pack.info.distribution == OURS
    ]
    return "\n".join([*rows, f"| model | {', '.join(models)} |"])


def template(kind: str) -> str:
    """Return the component that `kernel new --kind KIND` writes."""
    text = (
        files("kernel_audio_testing.projects")
        .joinpath("templates", f"{kind}.py")
        .read_text("utf-8")
    )
    return f"```python\n{text}```"


def filled(name: str) -> str:
    """Return the class of the guide's plugin, which contrib holds."""
    path = ROOT / "contrib" / f"kernel-audio-{name}" / f"kernel_audio_{name}" / "solver.py"
    source = path.read_text("utf-8")
    start, end = source.index("class "), source.index("@hookimpl")
    return f"```python\n{source[start:end].rstrip()}\n```"


def example(argument: str) -> str:
    """Return classes and functions of a plugin of the acceptance tests: FILE NAME [NAME ...].

    A dotted name is a method, which is shown under the line of its class.
    """
    place, *names = argument.split()
    source = (ROOT / "tests" / "integration" / "acceptance" / place).read_text("utf-8")
    lines, shown, before = source.splitlines(), [], ""
    for name in names:
        owner, _, method = name.rpartition(".")
        node = _defined(ast.parse(source), *name.split("."))
        first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
        if method and owner and owner != before:
            shown += ["", "", lines[_defined(ast.parse(source), owner).lineno - 1], "    ..."]
        shown += ["", *([] if owner else [""]), *lines[first - 1 : node.end_lineno]]
        before = owner or name
    text = "\n".join(shown).strip("\n")
    return f"```python\n{text}\n```"


def _defined(tree: ast.AST, *path: str) -> Any:
    """Return the class or function at a path of names."""
    for name in path:
        (tree,) = (each for each in ast.iter_child_nodes(tree) if getattr(each, "name", "") == name)
    return tree


def offers(kind: str) -> str:
    """Return the shipped components of a kind, with links."""
    found = [f"[`{info.name}`](../{_page(info).removeprefix('docs/')})" for info in shipped(kind)]
    return ", ".join(found) or "None is shipped; `contrib/` and others publish some."


def options(kind: str) -> str:
    """Return what every shipped component of a kind does and can be told."""
    return "\n\n".join(_component(info) for info in shipped(kind))


def names() -> str:
    """Return every public name with the first sentence of its documentation."""
    rows = ["| name | what it is |", "|---|---|"]
    for module in (kernel, kernel_audio_testing):
        for name in sorted(set(module.__all__) - {"API", "__version__"}):
            value = getattr(module, name)
            call = _signature(value) if inspect.isfunction(value) else ""
            text = _first(inspect.getdoc(value) or "")
            rows.append(f"| `{module.__name__}.{name}{call}` | {text} |")
    return "\n".join(rows).replace("`kernel.", "`")


def record(name: str) -> str:
    """Return the fields of a record of `model.toml`: Manifest, Trained or Origin."""
    return "\n".join(_table("field", _options(getattr(records, name))))


def manifest() -> str:
    """Return the `model.toml` that `kernel new --kind model` writes."""
    folder = files("kernel_audio_testing.projects").joinpath("templates", "model")
    return f"```toml\n{folder.joinpath('model.toml').read_text('utf-8').strip()}\n```"


def _component(info: PluginInfo) -> str:
    record = explain(info, registry)
    lines = [f"## `{info.name}`", "", _markdown(record["doc"])]
    if record["options"]:
        lines += ["", *_table("option", record["options"])]
    return "\n".join(lines)


def _table(what: str, options: list[dict[str, Any]]) -> list[str]:
    rows = [f"| `{option['name']}` | {_default(option)} | {_about(option)} |" for option in options]
    return [f"| {what} | default | what it is |", "|---|---|---|", *rows]


def _markdown(doc: str) -> str:
    """Return a docstring as paragraphs; what is laid out by spaces becomes a block."""
    parts = []
    for part in doc.split("\n\n"):
        laid_out = part.startswith(" ") or "   " in part
        parts.append(f"```text\n{part}\n```" if laid_out else _cell(" ".join(part.split())))
    return "\n\n".join(parts)


def _default(option: dict[str, Any]) -> str:
    if option["required"]:
        return "required"
    return f"`{json.dumps(option['default'], ensure_ascii=False)}`"


def _about(option: dict[str, Any]) -> str:
    facts = ", ".join([option["type"], *option["bounds"]])
    return _cell(f"{option['description']} ({facts})")


def _signature(function: Any) -> str:
    parameters = inspect.signature(function).parameters.values()
    shown = [str(parameter.replace(annotation=parameter.empty)) for parameter in parameters]
    return _cell(f"({', '.join(shown)})")


def _page(info: PluginInfo) -> str:
    return f"docs/plugins/{info.kind}.md#{info.name}"


def _first(doc: str) -> str:
    return _cell(" ".join(doc.strip().split("\n\n")[0].split()))


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", text)


def documents() -> Iterator[tuple[Path, str]]:
    """Yield every document that has generated parts, made anew."""
    for path in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]:
        text = path.read_text("utf-8")
        yield path, PART.sub(_renewed, text)


def _renewed(match: re.Match[str]) -> str:
    head, what, argument, end = match.groups()
    part = globals()[what]
    return f"{head}{part(argument) if argument else part()}\n{end}"


def main() -> None:
    """Renew the documents, or exit with 1 when one is not up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    for path, text in documents():
        if text == path.read_text("utf-8"):
            continue
        if check:
            sys.exit(f"{path.relative_to(ROOT)} is out of date; run python docs/generate.py")
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
