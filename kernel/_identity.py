"""Whose a model's options are, which of them a component takes, and which may not be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from kernel._scan import canonical
from kernel.config import explain
from kernel.errors import MisfitError, UsageError
from kernel.kinds import accumulates

if TYPE_CHECKING:
    from kernel.kinds._component import Component
    from kernel.kinds.model import Manifest
    from kernel.registry import PluginInfo


def owners(info: PluginInfo, component: type[Component]) -> set[str]:
    """Return the distributions whose models a component belongs to: its own and earlier ones."""
    return {canonical(name) for name in (info.distribution, *component.formerly)}


def trained_options(
    manifest: Manifest | None, info: PluginInfo, component: type[Component]
) -> tuple[dict[str, Any], str]:
    """Return what a component takes of a model's options, and a note where it is a substitute.

    The options belong to the distribution that the model was trained with, and to one whose
    component was `formerly` there. A substitute of a kind that weights belong to takes them too, if
    it accepts all of them; one of another kind takes none. Raises MisfitError for one that does not
    accept them.
    """
    if manifest is None:
        return {}, ""
    own = info.name in manifest.names(info.kind)
    owner = manifest.distributions.get(info.spelling, info.distribution)
    at_home = canonical(owner) in owners(info, component)
    if info.kind == "task" and not (own and at_home):
        # Every task of a model takes its options on audio: rate, length, level.
        given = manifest.options.get("task", {})
        return {name: value for name, value in given.items() if name in component.model_fields}, ""
    # A model may hold options of what it does not recommend: another grid, found for it.
    key = info.kind if own and not accumulates(info.kind) else info.spelling
    options = dict(manifest.options.get(key, {}))
    if at_home:
        return options, ""
    stand_in = f"{info.qualified} stands in for {info.spelling}@{owner} of {manifest.title!r}"
    if not component.fixed:
        return {}, f"{stand_in}, and takes none of the model's options"
    try:
        component.model_validate(options)
    except ValidationError as error:
        reason = explain(error, component, "the model's option")
        raise MisfitError(
            f"{info.qualified} cannot stand in for {info.spelling}@{owner}, which "
            f"{manifest.title!r} was trained with: {reason}; name {info.spelling}@{owner}, or "
            f"another model"
        ) from None
    return options, f"{stand_in}, with the options that the model was trained with"


def refuse_changes(info: PluginInfo, own: Component, changed: Component, forced: bool) -> str:
    """Return a note on a trained option that the user changed by force; "" where there is none.

    own: the component with the model's options alone. Raises UsageError for a change without force.
    """
    for name in sorted(type(own).model_fields.keys() - changed.changeable):
        option, was, now = f"{info.kind}.{name}", getattr(own, name), getattr(changed, name)
        if was != now and forced:
            return f"{option} is {now!r} by force, where the model was trained with {was!r}"
        if was != now:
            raise UsageError(
                f"the model was trained with {option}={was!r}, and {now!r} would not fit its "
                f"weights; leave the option out, or add --force-options to hear what it does"
            )
    return ""
