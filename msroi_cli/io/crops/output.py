"""Making an output so that a kill, a full disk or a failing one loses nothing that was done, and shows no half file.

Crops are written under another name, from any thread and in any order, without a call of HDF5. When the bytes of a
batch are on the disk, and not before, the journal beside the file says so. At the end the file gets its name, and the
journal goes. A job that finds the journal of the same job leaves out what is recorded there. The last batches are not
recorded: the output follows at once. Where Linux has files without a name, plain crops are in one until the first
record, so that a job of one batch needs no journal but for its lock.
A failed fsync is never retried: what it should have written may be gone from the page cache (PostgreSQL's findings of
2018 about fsync on Linux).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from msroi_cli.errors import MsroiError, UnlistedLinkError, UsageError
from msroi_cli.io.crops.compressed import SpoolWriter
from msroi_cli.io.crops.contiguous import PlainWriter
from msroi_cli.io.crops.reader import Crops
from msroi_cli.io.crops.record import BatchRecord
from msroi_cli.io.crops.schema import is_linked
from msroi_cli.io.crops.writer import CropsWriter, Output
from msroi_cli.io.files.atomic import failures_named, resolved
from msroi_cli.io.files.journal import Journal, recorded_identity
from msroi_cli.io.files.location import Location, parse_json
from msroi_cli.io.files.target import kind_of, same_file
from msroi_cli.io.files.work import remove
from msroi_cli.io.hdf5.read import open_group
from msroi_cli.io.hdf5.values import attribute
from msroi_cli.io.hdf5.write import fixed_texts


@contextmanager
def crops_writer(output: Output) -> Iterator[CropsWriter]:
    """Yields the writer of `output`, which the block ends with `finish`.

    If the block fails, what is recorded stays for a job that resumes, and if nothing is, no file stays.
    Raises UsageError if the file may not be written or holds unfinished work of another job, InputError for ids that
    are too long, RunError for what the file system refuses.
    """
    output.check()
    fixed_texts(output.path, output.header.image_ids)
    journal = Journal(output.target)
    try:
        journal.check_version(output.overwrite)
        journal.claim([output.partial, output.spool])
        writer = (PlainWriter if output.header.compression is None else SpoolWriter)(output, journal)
        writer.records = _earlier(output, journal, writer)
        resumed = bool(writer.records)
        try:
            with failures_named(output.path):
                if not resumed:
                    # What an unfinished job has left, which may have been of the other kind.
                    remove(output.partial)
                    remove(output.spool)
                    journal.clear()
                writer.begin(resumed)
            yield writer
        except BaseException as error:
            writer.keep()
            writer.close()
            if isinstance(error, UnlistedLinkError):
                # The file has no room for the sources that are listed anew.
                writer.records = []
            if not writer.records:
                with suppress(OSError):
                    writer.discard()
                journal.remove()
            raise
        writer.close()
        journal.remove()
    finally:
        journal.release()


def _earlier(output: Output, journal: Journal, writer: CropsWriter) -> list[BatchRecord]:
    """The batches of an earlier run to go on with; raises UsageError if there are some that must not be lost."""
    if not journal.records or (output.overwrite and not output.resume):
        return []
    if not output.resume:
        raise UsageError(f"{output.path}: interrupted job found: --resume continues it, --overwrite starts again")
    different = difference(journal.identity, output.identity)
    if different:
        raise UsageError(f"{output.path}: cannot resume: {different}; --overwrite starts again")
    try:
        records = [BatchRecord.from_json(values) for values in journal.records if "layout" not in values]
    except ValueError as error:
        raise UsageError(f"{output.path}: cannot resume: journal: {error}; --overwrite starts again") from error
    # A batch that was found damaged and made again has two records, of which the last one holds.
    latest = {record.batch: record for record in records}
    return list(latest.values()) if latest and writer.intact() else []


def recorded_sources(out: Path) -> Mapping[str, Any]:
    """The sources of an earlier run that wrote the output, by role: of the whole one, or of its journal.

    Empty if there is none, or none that can be read: who resumes it says what is wrong.
    """
    target = resolved(out)
    with suppress(MsroiError):
        found = _stated_sources(target) if target.exists() else recorded_identity(target).get("inputs")
        return found if isinstance(found, Mapping) else {}
    return {}


def _stated_sources(path: Path) -> Any:
    """What the attribute `sources` of a file says, without reading its columns; raises InputError."""
    root = open_group(Location(path), "a crops file")
    try:
        return parse_json(path, str(attribute(root, "sources", path)).encode(errors="replace"))
    finally:
        root.close()


def is_done(output: Output) -> bool:
    """Whether a job that resumes has nothing left to do: the output is whole already.

    Raises UsageError if a whole output is there that another job made.
    """
    output.check()
    if not (output.resume and output.target.exists()):
        return False
    if kind_of(output.partial) and not same_file(output.partial, output.target):
        return False
    crops = Crops(output.target)
    made = {
        "parameters": crops.parameters,
        "sources": crops.sources,
        "shape": list(crops.shape),
        "part": crops.part and asdict(crops.part),
    }
    wanted = {
        "parameters": output.header.parameters,
        "sources": output.header.sources_as_dict(),
        "shape": list(output.header.shape),
        "part": output.header.part and asdict(output.header.part),
    }
    different = difference(made, _known_to(made, wanted))
    if different:
        raise UsageError(f"{output.path}: cannot resume: it is whole, but of another job: {different}")
    # It is as good as new, and newer than its inputs: `make` does not ask again.
    with failures_named(output.path):
        os.utime(output.target)
    if kind_of(output.journal):
        # The job was killed between its last steps.
        journal = Journal(output.target)
        journal.claim([output.partial, output.spool])
        with suppress(OSError):
            remove(output.spool)
        journal.remove()
    return True


def _known_to(made: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """`wanted` without the times of inputs that a file does not know: it was made before they were recorded."""
    sources = {
        role: {
            name: value for name, value in source.items() if name != "modified" or name in made["sources"].get(role, {})
        }
        for role, source in wanted["sources"].items()
    }
    return {**wanted, "sources": sources}


def difference(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> str:
    """The first difference between the values of two runs, in words; empty where there is none."""
    found = _differences(before, now)
    earlier, present = _linked_roles(before or {}), _linked_roles(now)
    alone = sorted(earlier ^ present)
    if alone and len(found) == len(alone):
        return (
            f"{alone[0]} was read by the {'earlier' if alone[0] in earlier else 'present'} run only: it came or went, "
            "or one of the two had --strict, which opens more images than are pooled"
        )
    return found[0] if found else ""


def _linked_roles(values: Mapping[str, Any]) -> set[str]:
    """The roles of the files that the inputs of a run lead to."""
    inputs = values.get("inputs", values.get("sources"))
    return set(filter(is_linked, inputs)) if isinstance(inputs, Mapping) else set()


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    """Where two JSON values differ, in words."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = dict.fromkeys([*before, *now])
        return [line for key in keys for line in _differences(before.get(key), now.get(key), f"{name} {key}".strip())]
    return [] if before == now else [f"{name} was {before!r}, now {now!r}"]
