"""What model packs are held to."""

from __future__ import annotations

import torch

from kernel.assembly import Assembly, assemble
from kernel.checkpoint import read_tensors
from kernel.config import RunConfig
from kernel.errors import KernelError
from kernel.kinds import run_kinds
from kernel.models import ModelPack, find_pack
from kernel.registry import Selection
from kernel.runner.device import Machine
from kernel.runner.sampling import Sampler
from kernel_audio_testing._subject import Subject, Violation, require
from kernel_audio_testing._tools import finite

__all__ = ["CHECKS"]


def _pack(subject: Subject) -> ModelPack:
    return find_pack(subject.registry, subject.info.qualified)


def _assembly(subject: Subject, loaded: bool = False) -> Assembly:
    pack = _pack(subject)
    load = pack.load if loaded else None
    try:
        return assemble(subject.registry, Selection(), run_kinds(), {}, pack.manifest, load)[0]
    except KernelError as error:
        raise Violation(f"what the manifest names cannot be put together: {error}") from None


def check_manifest(subject: Subject) -> str | None:
    """Check that the manifest says under which licence the weights may be used."""
    manifest = _pack(subject).manifest
    require(bool(manifest.title.strip()), "the manifest has no title")
    require(bool(manifest.licence.strip()), "the manifest names no licence")
    return manifest.licence


def check_components(subject: Subject) -> str | None:
    """Check that what the manifest names is installed, takes its options and fits together."""
    assembly = _assembly(subject)
    for kind in ("solver", "schedule"):
        names = _pack(subject).manifest.plugins
        require(
            kind in names, f"the manifest recommends no {kind}, so that the model cannot be run"
        )
    assembly.build_network(_pack(subject).condition)
    return ", ".join(part.info.spelling for part in assembly.parts)


def check_weights(subject: Subject) -> str | None:
    """Check that the weights fit the network, name by name and shape by shape, and are finite."""
    pack = _pack(subject)
    assembly = _assembly(subject, loaded=True)
    try:
        assembly.build_network(pack.condition)
    except KernelError as error:
        raise Violation(str(error)) from None
    for name, tensor in sorted(read_tensors(pack.weights).items()):
        finite(tensor, f"the tensor {name!r}")
    return f"{pack.weights.stat().st_size / 1e6:.1f} MB"


def check_parameters(subject: Subject) -> str | None:
    """Check that the network has as many parameters as the manifest says."""
    pack = _pack(subject)
    network, claimed = _assembly(subject).build_network(pack.condition), pack.manifest.parameters
    found = sum(parameter.numel() for parameter in network.parameters())
    require(found == claimed, f"the network has {found} parameters and the manifest says {claimed}")
    return f"{found / 1e6:.2f} M"


def check_sounds(subject: Subject) -> str | None:
    """Check that one step of its recommended solver makes a finite sound that is not silent."""
    pack, assembly = _pack(subject), _assembly(subject, loaded=True)
    try:
        requests = assembly.task.requests((), 1)
        sampler = Sampler.of(assembly, pack, Machine.choose(RunConfig(device="cpu")))
        ((_, sound),) = sampler.sounds(requests, steps=1, seed=0, batch=1)
    except KernelError as error:
        raise Violation(str(error)) from None
    finite(sound.audio, "the sound")
    require(bool((sound.audio.abs() > 1e-5).any()), "the sound is silent")
    rms = 20 * float(torch.log10(sound.audio.square().mean().sqrt()))
    return f"{tuple(sound.audio.shape)}, {rms:.0f} dBFS"


CHECKS = (check_manifest, check_components, check_weights, check_parameters, check_sounds)
