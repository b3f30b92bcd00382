"""Embeddings and classifiers of audio, for tasks and guidances that listen.

Each is a `torch.nn.Module` made without arguments, (audio [B, C, L], sample_rate) -> [B, M],
differentiable in the audio: the logits of M classes, or an embedding.
"""
