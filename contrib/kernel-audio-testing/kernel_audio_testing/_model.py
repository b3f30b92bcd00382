"""What model packs are held to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kernel.assembly import Assembly, assemble
from kernel.codecs import furnish
from kernel.config import RunConfig
from kernel.errors import KernelError
from kernel.kinds import run_kinds
from kernel.models import ModelPack, find_pack
from kernel.registry import Selection
from kernel.runner.device import Machine
from kernel.runner.sampling import Sampler
from kernel.tensors import read_tensors
from kernel_audio_testing._sounds import tones
from kernel_audio_testing._subject import Subject, Violation, require
from kernel_audio_testing._tools import finite

__all__ = ["CHECKS"]


def _pack(subject: Subject) -> ModelPack:
    return find_pack(subject.registry, subject.info.qualified)


def _assembly(subject: Subject, loaded: bool = False) -> Assembly:
    pack, registry = _pack(subject), subject.registry
    load = pack.load if loaded else None
    try:
        assembly, _ = assemble(registry, Selection(), run_kinds(), {}, pack.manifest, load)
        if loaded:
            furnish(assembly, registry, pack)
    except KernelError as error:
        raise Violation(f"what the manifest names cannot be put together: {error}") from None
    return assembly


def _built(subject: Subject, loaded: bool = False) -> nn.Module:
    """Return the network, or the codec of a pack without one."""
    pack, assembly = _pack(subject), _assembly(subject, loaded)
    try:
        network = pack.manifest.network
        return assembly.build_network(pack.condition) if network else assembly.build_codec()
    except KernelError as error:
        raise Violation(str(error)) from None


def check_manifest(subject: Subject) -> str | None:
    """Check that the manifest names the licence of the weights."""
    manifest = _pack(subject).manifest
    require(bool(manifest.title.strip()), "the manifest has no title")
    require(bool(manifest.licence.strip()), "the manifest names no licence")
    return manifest.licence


def check_components(subject: Subject) -> str | None:
    """Check that the manifest's components are installed, take its options and fit together."""
    assembly, manifest = _assembly(subject), _pack(subject).manifest
    for kind in ("solver", "schedule"):
        require(
            kind in manifest.plugins or not manifest.network,
            f"the manifest recommends no {kind}, so that the model cannot be run",
        )
    _built(subject)
    return ", ".join(part.info.spelling for part in assembly.parts)


def check_weights(subject: Subject) -> str | None:
    """Check that the weights are finite and fit the network or codec by name and shape."""
    pack = _pack(subject)
    _built(subject, loaded=True)
    files = [each for each in (pack.weights, pack.codec) if each.is_file()]
    for file in files:
        for name, tensor in sorted(read_tensors(file).items()):
            finite(tensor, f"the tensor {name!r}")
    return f"{sum(each.stat().st_size for each in files) / 1e6:.1f} MB"


def check_parameters(subject: Subject) -> str | None:
    """Check that the manifest gives the number of parameters of the network or codec."""
    claimed = _pack(subject).manifest.parameters
    found = sum(parameter.numel() for parameter in _built(subject).parameters())
    require(found == claimed, f"it has {found} parameters and the manifest says {claimed}")
    return f"{found / 1e6:.2f} M"


def check_sounds(subject: Subject) -> str | None:
    """Check that its solver, or its codec, makes a finite sound that is not silent.

    One step is taken. A codec is given a decaying tone.
    """
    pack, assembly = _pack(subject), _assembly(subject, loaded=True)
    if not pack.manifest.network:
        return _given_back(assembly, _built(subject, loaded=True))
    try:
        requests = assembly.task.requests((), 1)
        sampler = Sampler.of(assembly, pack, Machine.choose(RunConfig(device="cpu")))
        ((_, sound),) = sampler.sounds(requests, steps=1, seed=0, batch=1)
    except KernelError as error:
        raise Violation(str(error)) from None
    return _audible(sound.audio)


@torch.no_grad()
def _given_back(assembly: Assembly, codec: Any) -> str:
    sound = tones(assembly.task.audio, assembly.task.samples, batch=1)
    encoded = codec.eval().encode(sound)
    latent = encoded[0] if isinstance(encoded, tuple) else encoded
    return _audible(codec.decode(latent, sound.shape[-1])[0])


def _audible(audio: Tensor) -> str:
    finite(audio, "the sound")
    require(bool((audio.abs() > 1e-5).any()), "the sound is silent")
    rms = 20 * float(torch.log10(audio.square().mean().sqrt()))
    return f"{tuple(audio.shape)}, {rms:.0f} dBFS"


CHECKS = (check_manifest, check_components, check_weights, check_parameters, check_sounds)
