from __future__ import annotations

import pytest

from kernel import UsageError
from kernel_audio_testing.projects import Names


@pytest.mark.parametrize(
    ("distribution", "name", "package", "identifier", "title"),
    [
        ("kernel-audio-zig", "zig", "kernel_audio_zig", "zig", "Zig"),
        ("kernel-zig", "zig", "kernel_zig", "zig", "Zig"),
        ("my-kernel-zig", "my-kernel-zig", "my_kernel_zig", "my_kernel_zig", "MyKernelZig"),
        ("audio-zig", "audio-zig", "audio_zig", "audio_zig", "AudioZig"),
        ("lab-zig", "lab-zig", "lab_zig", "lab_zig", "LabZig"),
        ("kernel-audio-dpmpp-2m", "dpmpp-2m", "kernel_audio_dpmpp_2m", "dpmpp_2m", "Dpmpp2m"),
        ("kernels", "kernels", "kernels", "kernels", "Kernels"),
    ],
)
def test_what_follows_from_a_name(
    distribution: str, name: str, package: str, identifier: str, title: str
) -> None:
    names = Names.of(distribution)
    assert names.distribution == distribution
    assert (names.name, names.package, names.identifier, names.title) == (
        name,
        package,
        identifier,
        title,
    )


@pytest.mark.parametrize(
    "distribution",
    ["", "Kernel-audio-x", "kernel--x", "-x", "x-", "2x", "a.b", "a_b", "../x", "a b", "naïve"],
)
def test_a_name_that_no_distribution_should_have(distribution: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be called '.*' here; use lower-case letters"):
        Names.of(distribution)


def test_a_component_begins_with_a_letter() -> None:
    with pytest.raises(UsageError, match="would offer something called '2m', which begins"):
        Names.of("kernel-audio-2m")


@pytest.mark.parametrize("taken", ["kernel", "kernel-audio", "sys", "json", "torch", "class"])
def test_a_name_that_is_taken(taken: str) -> None:
    with pytest.raises(UsageError, match=f"the name {taken} is taken .* choose another name"):
        Names.of(taken)


def test_a_component_may_have_a_name_of_its_own() -> None:
    names = Names.of("lab-parts", "zig-zag")
    assert (names.distribution, names.package) == ("lab-parts", "lab_parts")
    assert (names.name, names.identifier, names.title) == ("zig-zag", "zig_zag", "ZigZag")
    assert Names.of("kernel-audio-2m", "two-m").name == "two-m"


@pytest.mark.parametrize("name", ["", "Zig", "2m", "a.b", "a_b", "../x", "-x"])
def test_a_name_that_no_component_should_have(name: str) -> None:
    with pytest.raises(UsageError, match=r"a component cannot be called '.*'; use lower-case"):
        Names.of("lab-parts", name)
