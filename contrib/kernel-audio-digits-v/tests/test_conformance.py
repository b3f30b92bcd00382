"""Hold `digits-v` to the promises of its kind."""

from kernel_audio_testing import conformance

test_digits_v = conformance("model.digits-v@kernel-audio-digits-v")
