"""The trainer: `kernel train`, and `train` in Python.

It drives a recipe, whatever that computes, and owns data, optimizers, averages, checkpoints and
processes. It uses the kernel's tooling API alone, so that another trainer can stand in its place.
"""

from __future__ import annotations

from kernel_audio_training.api import train
from kernel_audio_training.config import GroupConfig, TrainConfig
from kernel_audio_training.plan import TrainingPlan, plan_training

__all__ = ["GroupConfig", "TrainConfig", "TrainingPlan", "plan_training", "train"]
