"""The subcommands of `kernel` that this distribution offers."""
