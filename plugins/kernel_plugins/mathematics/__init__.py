"""What several kinds share: pure functions of floats or tensors, and no component.

A process is a frozen record of its numbers, a `NativePath`; its methods are such functions.
"""
