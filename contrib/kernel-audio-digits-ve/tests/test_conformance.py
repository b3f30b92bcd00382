"""Hold `digits-ve` to the promises of its kind."""

from kernel.testing import conformance

test_digits_ve = conformance("model.digits-ve@kernel-audio-digits-ve")
