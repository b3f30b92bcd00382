from kernel_audio_testing import conformance

test_estoi = conformance("metric.estoi@kernel-audio-speech-metrics")
test_lsd = conformance("metric.lsd@kernel-audio-speech-metrics")
test_pesq = conformance("metric.pesq@kernel-audio-speech-metrics")
test_pesq_narrow = conformance("metric.pesq@kernel-audio-speech-metrics", mode="nb")
test_si_sdr = conformance("metric.si-sdr@kernel-audio-speech-metrics")
