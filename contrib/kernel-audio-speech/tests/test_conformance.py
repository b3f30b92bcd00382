"""Hold `speech` to the promises of its kind."""

from kernel.testing import conformance

test_speech = conformance("model.speech@kernel-audio-speech")
