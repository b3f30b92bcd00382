"""Pure functions of floats or tensors that several kinds use; no component.

A process is a `NativePath`: a frozen record of its numbers whose methods are such functions.
"""
