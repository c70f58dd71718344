"""`python -m msroi_cli` is `msroi`."""

from msroi_cli.cli import main

if __name__ == "__main__":
    main(prog_name="msroi")
