from kernel_audio_testing import conformance

test_mlflow = conformance("observer.mlflow@kernel-audio-mlflow")
