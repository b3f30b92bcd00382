from kernel_audio_testing import conformance

test_import = conformance("command.import@kernel-audio-import")
test_plain = conformance("importer.plain@kernel-audio-import")
