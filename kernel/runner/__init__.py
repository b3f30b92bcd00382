"""The runner: devices, the sampling loop and the training loop. Nothing else knows a device."""
