from kernel.testing import conformance

test_midpoint = conformance("solver.midpoint")
