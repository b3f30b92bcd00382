"""Commands that plugins offer: listed without being imported, imported when they are called."""

from __future__ import annotations

from typing import Any

import pytest

from kernel.registry import Registry

GREET = '''\
    """Greet somebody."""
    import click
    from kernel import Command, UsageError, hookimpl

    class Greet(Command):
        """Greet somebody."""

        def build(self):
            @click.command()
            @click.argument("name")
            def greet(name):
                """Greet NAME."""
                if name == "nobody":
                    raise UsageError("there is nobody to greet; name somebody")
                click.echo(f"hello {name}")

            return greet

    @hookimpl
    def command():
        return Greet
'''
SOLVER = '''
    from kernel import Solver, hookimpl

    class Mine(Solver):
        """Nothing."""

    @hookimpl
    def solver():
        return Mine
'''


@pytest.fixture
def lab(site: Any) -> Any:
    files = {"lab_code/__init__.py": "", "lab_code/greet.py": GREET, "lab_code/mine.py": SOLVER}
    entries = {"command.greet": "lab_code.greet", "solver.greet": "lab_code.mine"}
    site.install("lab-b", entries, files, version="2.1")
    return site


def broken(site: Any, top: str = "", build: str = "return None") -> Any:
    module = f"""
        {top}
        from kernel import Command, hookimpl

        class Bad(Command):
            "Fail."
            def build(self):
                {build}

        @hookimpl
        def command():
            return Bad
    """
    site.install("bad-lab", {"command.bad": "bad_lab"}, {"bad_lab.py": module})
    return site


def test_a_command_is_called_by_the_name_of_its_entry_point(lab: Any) -> None:
    result = lab.invoke("greet", "Ada")
    assert (result.exit_code, result.stdout) == (0, "hello Ada\n")
    assert lab.invoke("greet", "--help").stdout.startswith("Usage: kernel greet [OPTIONS] NAME")


def test_an_error_of_a_command_is_one_sentence(lab: Any) -> None:
    result = lab.invoke("greet", "nobody")
    assert (result.exit_code, result.stderr) == (
        2,
        "kernel: there is nobody to greet; name somebody\n",
    )


def test_help_lists_it_with_its_distribution_and_the_first_line_of_its_module(lab: Any) -> None:
    lines = lab.invoke("--help").stdout.splitlines()
    place = lines.index("Commands of lab-b:")
    assert lines[place + 1].split(maxsplit=1) == ["greet", "Greet somebody."]


@pytest.mark.slow
def test_help_imports_no_command(lab: Any) -> None:
    assert not {"lab_code", "lab_code.greet"} & lab.modules_after("--help")


@pytest.mark.parametrize(
    ("top", "build", "cause"),
    [
        ("import sys; sys.exit(3)", "pass", "importing bad_lab raised SystemExit: 3"),
        ("syntax error", "pass", "importing bad_lab raised SyntaxError"),
        ("", "raise RuntimeError('no wire')", "its method build() raised RuntimeError: no wire"),
        ("", "return None", "its method build() returned None, which is not a click.Command"),
    ],
)
def test_a_broken_command_stops_with_its_owner_and_its_cause(
    site: Any, top: str, build: str, cause: str
) -> None:
    result = broken(site, top, build).invoke("bad")
    assert result.exit_code == 3
    assert result.stderr.startswith("kernel: command.bad of bad-lab 1.0 (")
    assert cause in result.stderr


@pytest.mark.parametrize("top", ["import sys; sys.exit(3)", "syntax error"])
def test_a_broken_command_takes_nothing_else_down(lab: Any, top: str) -> None:
    broken(lab, top)
    listed = lab.invoke("--help")
    assert listed.exit_code == 0
    assert "Commands of bad-lab:\n  bad  `kernel bad --help` explains it.\n" in (listed.stdout)
    assert lab.invoke("greet", "Ada").exit_code == 0


def test_a_command_of_two_distributions_has_to_be_settled(lab: Any) -> None:
    lab.install("lab-c", {"command.greet": "lab_c"}, {"lab_c.py": GREET.replace("hello", "bye")})
    result = lab.invoke("greet", "Ada")
    assert result.exit_code == 2
    assert "command.greet@lab-b, command.greet@lab-c; use one of these spellings" in result.stderr
    assert lab.invoke("command.greet@lab-c", "Ada").stdout == "bye Ada\n"
    assert lab.invoke("greet@lab-b", "Ada").stdout == "hello Ada\n"


def test_a_command_does_not_shadow_a_built_in_one(site: Any) -> None:
    site.install("lab-run", {"command.run": "lab_run"}, {"lab_run.py": GREET})
    sentence = "kernel-audio has a command 'run' of its own"
    told = " ".join(site.invoke("plugins").stdout.split())
    assert f"command.run of lab-run 1.0 is never called, because {sentence}" in told
    assert "Usage: kernel run" in site.invoke("run", "--help").stdout
    assert "Commands of lab-run" not in site.invoke("--help").stdout
    result = site.invoke("command.run@lab-run")
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_a_command_is_no_part_of_a_run(lab: Any) -> None:
    registry = Registry.scan(path=lab.path)
    assert [info.spelling for info in registry.select(["greet"]).plugins] == ["solver.greet"]
    result = lab.invoke("run", "--plugins", "command.greet")
    assert result.exit_code == 2
    assert result.stderr == (
        "kernel: 'greet' is a command and not a plugin to combine; type `kernel greet`\n"
    )


def test_a_misspelt_command_is_told_with_near_misses(lab: Any) -> None:
    result = lab.invoke("gret")
    assert result.exit_code == 2
    assert result.stderr == "kernel: there is no command 'gret'; did you mean 'greet'?\n"
    assert lab.invoke("x/y").stderr == (
        "kernel: there is no command 'x/y'; `kernel --help` lists them\n"
    )


@pytest.mark.parametrize(
    ("command", "distribution"),
    [("check", "kernel-audio-testing"), ("lock", "kernel-audio-plugins")],
)
def test_a_command_that_is_not_installed_says_what_brings_it(
    lab: Any, command: str, distribution: str
) -> None:
    result = lab.invoke_alone(command)
    assert result.exit_code == 2
    assert result.stderr == (
        f"kernel: the command {command!r} is not installed; "
        f"`pip install {distribution}` brings it\n"
    )


def test_a_command_is_explained_like_any_plugin(lab: Any) -> None:
    shown = lab.invoke("plugins", "command.greet").stdout
    assert "command.greet  (lab-b 2.1, lab_code.greet)" in shown
    assert "Greet somebody." in shown
