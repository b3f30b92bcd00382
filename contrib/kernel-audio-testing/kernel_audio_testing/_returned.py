"""What a task returns of a recording that it is given: outside its spans, at its level, joined."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from kernel import Request, Window, resample
from kernel.audio import write_audio
from kernel.errors import KernelError
from kernel.values import AudioSpec, Sound
from kernel_audio_testing._scene import Scene, scene_of
from kernel_audio_testing._sounds import found_in, tones
from kernel_audio_testing._subject import Inapplicable, Subject, require

__all__ = ["CHECKS", "starts_from_given"]


def check_joined(subject: Subject) -> str | None:
    """Check that windows of one level join without a seam, if all of the sound is new."""
    joined = 0
    with scene_of(subject) as scene:

        def level(window: Window) -> Tensor:
            return torch.full((scene.task.audio.channels, window.samples), 0.01)

        if "measurement" in scene.task.offers:
            raise Inapplicable("what is known is put beside what is made")
        for request in scene.requests(len(scene.files)):
            lists, sounds = scene.played(request, level)
            if sum(map(len, lists)) < 2 or request.given is None:
                continue
            for sound in sounds:
                given = request.given
                if torch.equal(sound.audio[:, : given.shape[-1]], given):
                    # It goes on from the recording, which has levels of its own.
                    continue
                skip = sound.audio.shape[-1] // 20
                middle = sound.audio[:, skip:-skip]
                low, high = float(middle.min()), float(middle.max())
                fact = f"windows of one level become a sound of levels from {low:.3g} to {high:.3g}"
                require(high - low <= 0.05 * abs(high), fact)
                joined += 1
    if not joined:
        raise Inapplicable("no sound is made of several windows")
    return f"{joined} sounds"


def check_inputs(subject: Subject) -> str | None:
    """Check that of as many requests as there are recordings, each is given one of its own."""
    with scene_of(subject) as scene:
        files = scene.files
        try:
            requests = scene.task.requests(files, len(files))
        except KernelError as error:
            raise Inapplicable(f"it takes no six recordings: {error}") from None
        given = [request.given for request in requests if request.given is not None]
        if not given or scene.task.usual_count(files) != len(files):
            raise Inapplicable("it is not given one recording for each request")
        sums = {(each.shape, float(each.double().sum())) for each in given}
        count = len(files)
        require(len(sums) == count, f"{count} requests of {count} files are given {len(sums)}")
    return f"{len(sums)} recordings"


def check_echo(subject: Subject) -> str | None:
    """Check that windows that are answered with their own origins become the sound as given."""
    heard = 0
    with scene_of(subject) as scene:
        stereo = _elsewhere(scene)
        for files in (scene.files[-1:], [stereo], scene.files[-2:]):
            try:
                requests = scene.task.requests(files, 1)
            except KernelError:
                continue
            for request in requests:
                if starts_from_given(scene, request):
                    heard += sum(map(_echoed, scene.echoed(request)))
    if not heard:
        raise Inapplicable("its windows do not start from a recording that it is given")
    return f"{heard} channels"


def starts_from_given(scene: Scene, request: Request) -> bool:
    """Return whether the first window of a request starts from the recording that it is given."""
    (window, *_) = next(scene.task.make(request))
    if window.origin is None or request.given is None:
        return False
    rate = scene.task.audio.sample_rate
    given = resample(request.given[:1], request.sample_rate or rate, rate)
    return found_in(given[0], window.origin[0])[0] > 0.9


def _echoed(sound: Sound) -> int:
    """Return how many channels of a sound are as given; raises Violation for one that is not."""
    if sound.given is None:
        return 0
    count = min(sound.audio.shape[-1], sound.given.shape[-1])
    found, wanted = len(sound.audio), len(sound.given)
    require(found == wanted, f"{sound.name!r} has {found} channels and was given {wanted}")
    for channel, (made, given) in enumerate(zip(sound.audio, sound.given, strict=True)):
        error = float((made - given)[:count].norm() / given[:count].norm())
        fact = (
            f"channel {channel} of {sound.name!r} differs by {float(error):.0%} from what is given"
        )
        require(float(error) < 0.3, f"{fact}, though every window is as its origin")
    return len(sound.audio)


def _elsewhere(scene: Scene) -> Path:
    """Write a stereo file of another rate than the task's, whose channels differ in level."""
    place = scene.files[0].parent / "kit" / "other.wav"
    place.parent.mkdir(exist_ok=True)
    rate = scene.task.audio.sample_rate * 3 // 2
    seconds = scene.task.samples / scene.task.audio.sample_rate
    sound = tones(AudioSpec(rate, 2), round(0.9 * seconds * rate) + 7, 1, seed=1)[0]
    write_audio(place, sound * torch.tensor([[1.0], [0.3]]), rate)
    return place


def check_kept(subject: Subject) -> str | None:
    """Check that a sound is the given one outside its spans, bit for bit, and new inside."""
    kept = 0
    with scene_of(subject) as scene:
        place = _elsewhere(scene)
        for files in (scene.files[-1:], scene.files[-2:], [place], [place, scene.files[-1]]):
            try:
                requests = scene.task.requests(files, 1)
            except KernelError:
                continue
            for request in requests:
                kept += sum(_held(request, sound) for sound in scene.sounds(request))
    if not kept:
        raise Inapplicable("its sounds have no spans")
    return f"{kept} samples"


def _held(request: Request, sound: Sound) -> int:
    """Return how many samples outside its spans a sound was given; raises Violation."""
    if sound.given is None or not sound.spans:
        return 0
    count = min(sound.audio.shape[-1], sound.given.shape[-1])
    given, found = sound.given[:, :count], sound.audio[:, :count]
    inside = torch.zeros(count, dtype=torch.bool)
    for start, stop in sound.spans:
        inside[round(start * sound.sample_rate) : round(stop * sound.sample_rate)] = True
    require(given.shape == found.shape, f"{sound.name!r} has {len(found)} channels, not as given")
    error = float((given - found)[:, ~inside].abs().amax()) if not inside.all() else 0.0
    require(error == 0, f"{sound.name!r} differs by {error:.2g} from what is given, beside a span")
    new = not inside.any() or not torch.equal(given[:, inside], found[:, inside])
    require(new, f"{sound.name!r} is as given within a span, where it is to be made anew")
    return int((~inside).sum())


CHECKS = (check_inputs, check_joined, check_echo, check_kept)
