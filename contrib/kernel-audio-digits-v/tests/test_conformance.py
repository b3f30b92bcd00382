"""Hold `digits-v` to the promises of its kind."""

from kernel.testing import conformance

test_digits_v = conformance("model.digits-v@kernel-audio-digits-v")
