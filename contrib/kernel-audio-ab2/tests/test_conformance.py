"""Hold `ab2` to the promises of its kind."""

from kernel_audio_testing import conformance

test_ab2 = conformance("solver.ab2@kernel-audio-ab2")
