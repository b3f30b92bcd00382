from kernel_audio_testing import conformance

test_tensorboard = conformance("observer.tensorboard@kernel-audio-tensorboard")
test_tensorboard_seldom = conformance(
    "observer.tensorboard@kernel-audio-tensorboard", every=1000, sounds=0
)
