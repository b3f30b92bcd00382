"""The subcommand of `kernel` that this distribution offers."""
