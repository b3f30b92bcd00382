"""Hold `speech` to the promises of its kind."""

from kernel_audio_testing import conformance

test_speech = conformance("model.speech@kernel-audio-speech")
