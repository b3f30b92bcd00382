"""Kinds that the user leaves open are filled by what the parts and the model recommend."""

from __future__ import annotations

from typing import Any

import pytest

from kernel.assembly import assemble
from kernel.errors import UsageError
from kernel.kinds import run_kinds
from kernel.kinds.model import Manifest, Trained
from kernel.registry import Registry


def offer(site: Any, distribution: str, **recommends: object) -> None:
    """Install parts that do nothing but recommend; a part is written KIND_NAME."""
    entries, modules = {}, {}
    for part, given in recommends.items():
        kind, name = part.split("_")
        module = f"{distribution}_{part}"
        entries[f"{kind}.{name}"] = module
        modules[f"{module}.py"] = f"""
            import kernel

            class Part(kernel.{kind.capitalize()}):
                "Recommends."
                recommends = {given!r}

            @kernel.hookimpl
            def {kind}(name):
                return Part
        """
    site.install(distribution, entries, modules)


def taken(
    registry: Registry, *named: str, manifest: Manifest | None = None, without: tuple[str, ...] = ()
) -> list[str]:
    """Return what a run of the named parts is assembled from, in the order of their arrival."""
    selection = registry.select(named)
    _, selection = assemble(registry, selection, run_kinds(), {}, manifest, without=without)
    return [info.qualified for info in selection.plugins]


def pack(**plugins: str | list[str]) -> Manifest:
    return Manifest(
        title="a model",
        parameters=1,
        plugins={"objective": "a", "backbone": "a", "codec": "a", "task": "a", **plugins},
        steps=1,
        trained=Trained(
            sigma_min=0.1, sigma_max=1, condition_dropout=0, steps=1, batch=1, seed=0, sample_rate=8
        ),
    )


def test_a_named_part_of_any_kind_fills_open_kinds(site: Any) -> None:
    offer(site, "ours", objective_a={"schedule": ("a",), "metric": ("a", "b")}, schedule_a={})
    offer(site, "more", metric_a={}, metric_b={})
    assert taken(Registry.scan(path=site.path), "objective.a") == [
        "objective.a@ours",
        "metric.a@more",
        "metric.b@more",
        "schedule.a@ours",
    ]


def test_what_was_recommended_recommends_too(site: Any) -> None:
    offer(site, "ours", codec_a={"solver": ("a",)}, solver_a={"schedule": ("a",)}, schedule_a={})
    assert taken(Registry.scan(path=site.path), "codec.a") == [
        "codec.a@ours",
        "solver.a@ours",
        "schedule.a@ours",
    ]


def test_the_first_named_decides_and_the_user_before_all(site: Any) -> None:
    offer(site, "ours", codec_a={"solver": ("a",)}, objective_a={"solver": ("b",)})
    offer(site, "more", solver_a={}, solver_b={}, solver_c={})
    registry = Registry.scan(path=site.path)
    assert taken(registry, "codec.a", "objective.a")[2:] == ["solver.a@more"]
    assert taken(registry, "objective.a", "codec.a")[2:] == ["solver.b@more"]
    assert taken(registry, "objective.a", "solver.c") == ["objective.a@ours", "solver.c@more"]


def test_what_accumulates_is_filled_only_where_none_is_named(site: Any) -> None:
    offer(site, "ours", solver_a={"guidance": ("a",)}, guidance_a={}, guidance_b={})
    registry = Registry.scan(path=site.path)
    assert taken(registry, "solver.a") == ["solver.a@ours", "guidance.a@ours"]
    assert taken(registry, "solver.a", "guidance.b") == ["solver.a@ours", "guidance.b@ours"]


def test_a_recommendation_means_its_own_distribution_unless_the_user_prefers_another(
    site: Any,
) -> None:
    offer(site, "ours", codec_a={"solver": ("a",)}, solver_a={})
    offer(site, "lab", solver_a={})
    assert taken(Registry.scan(path=site.path), "codec.a")[1] == "solver.a@ours"
    prefer = {"solver.a": "lab"}
    assert taken(Registry.scan(prefer, site.path), "codec.a")[1] == "solver.a@lab"


def test_a_named_part_comes_before_the_model_and_the_model_before_its_own_parts(site: Any) -> None:
    base = {"objective_a": {"solver": ("b",)}, "backbone_a": {}, "codec_a": {}, "task_a": {}}
    offer(site, "ours", **base, task_b={"guidance": ("b",)})
    offer(site, "more", solver_a={}, solver_b={}, guidance_a={}, guidance_b={})
    registry = Registry.scan(path=site.path)
    model = pack(solver="a", guidance=["a"])
    filled = taken(registry, manifest=model)
    assert "solver.a@more" in filled and "guidance.a@more" in filled
    assert "solver.b@more" in taken(registry, "objective.a", manifest=model)
    assert "guidance.b@more" in taken(registry, "task.b", manifest=model)


def test_a_recommendation_that_is_not_installed_names_both_sides(site: Any) -> None:
    offer(site, "ours", codec_a={"solver": ("gone",)})
    with pytest.raises(UsageError, match=r"codec\.a recommends solver\.gone, but there is no"):
        taken(Registry.scan(path=site.path), "codec.a")


def test_a_recommendation_of_a_kind_that_is_not_assembled_is_not_asked(site: Any) -> None:
    offer(site, "ours", metric_a={"solver": ("gone",)})
    registry = Registry.scan(path=site.path)
    assembly, _ = assemble(registry, registry.select(["metric.a"]), ("metric",), {})
    assert [part.info.spelling for part in assembly.parts] == ["metric.a"]


def test_an_observer_that_is_recommended_joins_those_that_are_named(site: Any) -> None:
    base = {"objective_a": {"observer": ("b",)}, "backbone_a": {}, "codec_a": {}, "task_a": {}}
    offer(site, "ours", **base, observer_a={}, observer_b={}, observer_c={})
    offer(site, "lab", observer_a={})
    registry = Registry.scan(path=site.path)
    model = pack(observer=["a"])
    filled = taken(registry, "observer.c", "observer.a@lab", manifest=model)
    assert sorted(each for each in filled if each.startswith("observer")) == [
        "observer.a@lab",
        "observer.b@ours",
        "observer.c@ours",
    ]


def test_what_is_left_out_is_not_taken_whoever_brings_it(site: Any) -> None:
    parts = {"objective_a": {"metric": ("a", "b")}, "backbone_a": {}, "codec_a": {}, "task_a": {}}
    offer(site, "ours", **parts, metric_a={}, metric_b={}, observer_a={}, solver_a={})
    registry = Registry.scan(path=site.path)
    model = pack(observer=["a"], solver="a")
    everything = taken(registry, "objective.a", manifest=model)
    for each in ("metric.b", "observer.a", "solver.a"):
        left = taken(registry, "objective.a", manifest=model, without=(each,))
        assert sorted([*left, f"{each}@ours"]) == sorted(everything)
    left = taken(registry, "metric.b", "solver.a", without=("metric.b",))
    assert left == ["solver.a@ours"]


def test_what_is_left_out_needs_not_be_installed(site: Any) -> None:
    offer(site, "ours", codec_a={"observer": ("gone",)})
    registry = Registry.scan(path=site.path)
    assert taken(registry, "codec.a", without=("observer.gone",)) == ["codec.a@ours"]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        (
            "observer.b",
            r"nothing recommends observer\.b; leave --without observer\.b out.*observer\.a",
        ),
        ("solver.z", r"nothing recommends solver\.z"),
        ("page", r"--without page names no plugin that could be left out; write KIND\.NAME"),
        ("solver.", r"--without solver\. names no plugin"),
        ("model.a", r"--without model\.a names no plugin.*KIND is one of backbone, codec"),
        ("colour.a", r"--without colour\.a names no plugin"),
    ],
)
def test_what_nobody_brings_cannot_be_left_out(site: Any, word: str, sentence: str) -> None:
    offer(site, "ours", codec_a={"observer": ("a",)}, observer_a={})
    registry = Registry.scan(path=site.path)
    with pytest.raises(UsageError, match=sentence):
        taken(registry, "codec.a", without=(word,))
