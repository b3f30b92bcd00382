"""The samplers of other libraries, on one problem."""
