"""`python -m msroi_cli` is `msroi`. Worker processes import this module again, so that it imports nothing."""


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    from msroi_cli.cli import main as command

    command(prog_name="msroi")


if __name__ == "__main__":
    main()
