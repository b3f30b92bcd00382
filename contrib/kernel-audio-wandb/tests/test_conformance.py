from kernel_audio_testing import conformance

test_wandb = conformance("observer.wandb@kernel-audio-wandb")
