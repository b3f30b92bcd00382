"""Hold `digits-ve` to the promises of its kind."""

from kernel_audio_testing import conformance

test_digits_ve = conformance("model.digits-ve@kernel-audio-digits-ve")
