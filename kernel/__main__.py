"""`python -m kernel`: the command line, also where `torchrun` starts it."""

from kernel.cli import main

if __name__ == "__main__":
    main(prog_name="kernel")
