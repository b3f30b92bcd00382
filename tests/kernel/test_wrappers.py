"""A wrapper that is wrong is an error with an owner."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import indent
from typing import Any

import pytest

from kernel.assembly import Assembly, assemble
from kernel.errors import PluginError
from kernel.registry import Registry
from kernel_audio_training.model import check_merge

PARTS = """
import kernel
from kernel import hookimpl
from torch import nn

class Whole(kernel.Backbone):
    "Builds a linear map."
    def build(self, latent, condition):
        return nn.Linear(2, 2)

class Samples(kernel.Codec):
    "Builds the identity."
    def latent(self, audio, samples):
        return kernel.LatentSpec(1, (samples,))
    def build(self, audio):
        return nn.Identity()

class Hears(kernel.Task):
    "Knows the audio."
    @property
    def audio(self):
        return kernel.AudioSpec(8000)
    @property
    def samples(self):
        return 8

class Around(kernel.Wrapper):
    "Wraps."
{body}

@hookimpl
def backbone():
    return Whole

@hookimpl
def codec():
    return Samples

@hookimpl
def task():
    return Hears

@hookimpl
def wrapper():
    return Around
"""


@pytest.fixture
def assembled(site: Any) -> Callable[..., Assembly]:
    """Return a function from a wrapper's methods to the assembly with it."""

    def make(body: str) -> Assembly:
        text = PARTS.replace("{body}", indent(body.replace("\n", "\n"), "    "))
        kinds = ("backbone", "codec", "task", "wrapper")
        site.install("lab", {f"{kind}.mine": "lab_mine" for kind in kinds}, {"lab_mine.py": text})
        registry = Registry.scan(path=site.path)
        return assemble(registry, registry.select(["mine"]), kinds, {})[0]

    return make


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("pass", "its class has no method that is marked @hookimpl(wrapper=True)"),
        (
            "@hookimpl\ndef build_codec(self): return None",
            "its method 'build_codec' is not marked @hookimpl(wrapper=True)",
        ),
        (
            "@hookimpl(wrapper=True)\ndef build_codex(self): return (yield)",
            "there is no hook 'build_codex'; did you mean 'build_codec'",
        ),
        (
            "@hookimpl(wrapper=True)\ndef build_codec(self, sound): return (yield)",
            "its hook does not match the specification",
        ),
        (
            "@hookimpl(wrapper=True)\ndef build_codec(self): return 1",
            "its hook does not match the specification",
        ),
    ],
)
def test_a_wrapper_that_cannot_wrap_is_refused_with_its_owner(
    assembled: Callable[..., Assembly], body: str, message: str
) -> None:
    with pytest.raises(PluginError) as caught:
        assembled(body)
    assert str(caught.value).startswith("wrapper.mine of lab 1.0 (")
    assert message in str(caught.value)


def test_a_module_that_builds_without_a_wrapper_is_refused(site: Any) -> None:
    hook = "import kernel\n@kernel.hookimpl\ndef build_codec(component, audio): return component\n"
    site.install("lab", {"codec.mine": "lab_mine"}, {"lab_mine.py": hook})
    (info,) = Registry.scan(path=site.path).plugins
    with pytest.raises(PluginError, match="module implements 'build_codec'; only a method of a wr"):
        Registry.scan().load(info)


def test_a_wrapper_that_returns_nothing_is_named(assembled: Callable[..., Assembly]) -> None:
    assembly = assembled("@hookimpl(wrapper=True)\ndef build_codec(self): yield")
    with pytest.raises(PluginError) as caught:
        assembly.build_codec()
    assert str(caught.value) == (
        "wrapper.mine@lab made None of codec.mine, which is no Module; have it return what it was "
        "asked for"
    )


def test_a_wrapper_that_is_not_undone_is_told_before_the_training(
    assembled: Callable[..., Assembly],
) -> None:
    body = """
@hookimpl(wrapper=True)
def build_backbone(self):
    return nn.Sequential((yield))

def merge(self, module):
    return module
"""
    with pytest.raises(PluginError) as caught:
        check_merge(assembled(body))
    assert str(caught.value) == (
        "wrapper.mine@lab cannot be undone: '0.bias' is of shape (2,) after merge() and "
        "missing in the backbone's own network; leave the wrapper out, or have it mended"
    )


def test_an_assembly_says_who_wrapped_whom(assembled: Callable[..., Assembly]) -> None:
    assembly = assembled("@hookimpl(wrapper=True)\ndef build_codec(self): return (yield)")
    assert assembly.wrapped == {"codec.mine@lab": ["wrapper.mine@lab"]}
