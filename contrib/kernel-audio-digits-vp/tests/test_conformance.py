"""Hold `digits-vp` to the promises of its kind."""

from kernel_audio_testing import conformance

test_digits_vp = conformance("model.digits-vp@kernel-audio-digits-vp")
