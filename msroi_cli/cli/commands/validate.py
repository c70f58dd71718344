"""`msroi validate`: everything that is wrong with the inputs of `extract`, in one run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from msroi_cli.cli import model_options, options
from msroi_cli.cli.choice_options import box_choice, choice_options
from msroi_cli.cli.output import findings_text, printable, say
from msroi_cli.errors import InputError

if TYPE_CHECKING:
    from msroi_cli.job.validate.checks import ValidateRequest

EPILOG = """
\b
Example:
  msroi validate features.h5 instances.json --box-space original

\b
Exit codes: 0 extract would work; 3 it would not.
"""


@click.command(epilog=EPILOG)
@click.argument("pyramid")
@click.argument("boxes")
@click.option("--json", "as_json", is_flag=True, help="Print all findings as one JSON object.")
@click.option("--strict", is_flag=True, help="Exit with 3 for warnings too, as extract --strict does.")
@options.pool_options
@options.assign_option
@options.level_options
@options.group_option
@options.box_options
@choice_options
@model_options.pictures_option
@model_options.model_options
@click.option("-q", "--quiet", is_flag=True, help="Print nothing if there are no findings.")
@click.pass_context
def validate(context: click.Context, /, as_json: bool, strict: bool, quiet: bool, **given: Any) -> None:
    """Check PYRAMID and BOXES without pooling, and list every problem.

    Takes the options of extract. Errors are what extract refuses; warnings, which extract prints before it starts, are
    valid but implausible: boxes outside the picture, x and y swapped, xywh read as xyxy, original pixels read as input
    pixels, levels whose sizes do not follow their strides, and the like. Prints nothing on standard output if there are
    no findings.
    """
    from msroi_cli.job.validate.checks import validate as validated

    result = validated(_request(**given))
    if as_json:
        click.echo(json.dumps(result.as_dict(), indent=2))
    elif result.findings:
        click.echo(printable(findings_text(result.findings), keep="\n"))
    if not quiet and not result.findings:
        say(f"{result.boxes:,} boxes of {result.images:,} images: no findings")
    good = result.extractable and not (strict and result.warnings)
    context.exit(0 if good else InputError.exit_code)


def _request(**given: Any) -> ValidateRequest:
    from msroi_cli.job.request import BoxOptions, PoolOptions, taken
    from msroi_cli.job.validate.checks import ValidateRequest

    model = model_options.model_of(given, given.pop("pictures"))
    pyramid, boxes = given.pop("pyramid"), given.pop("boxes")
    levels, assign = options.level_choice(given), given.pop("assign")
    given["choice"] = box_choice(given)
    box = taken(BoxOptions, given)
    return ValidateRequest(pyramid, boxes, PoolOptions(**given), box, levels, assign, model)
