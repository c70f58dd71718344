"""Where the group of an image lies in a file with nested groups: `images/{id}/features`."""

from __future__ import annotations

from typing import NamedTuple

from msroi_cli.errors import UsageError

ID = "{id}"


class GroupTemplate(NamedTuple):
    """parent: the group whose members are images. prefix, suffix: what stands around the id in a member's name.

    inside: the group of the levels inside a member, "" for the member itself.
    """

    parent: str
    prefix: str
    suffix: str
    inside: str

    @classmethod
    def parse(cls, text: str) -> GroupTemplate:
        """Takes a path with one `{id}` apart; raises UsageError."""
        parts = text.strip("/").split("/")
        numbers = [number for number, part in enumerate(parts) if ID in part]
        if len(numbers) != 1 or text.count(ID) != 1:
            raise UsageError(f"--group: expected a path with one {ID}, such as images/{ID}/features, got {text!r}")
        prefix, _, suffix = parts[numbers[0]].partition(ID)
        return cls("/".join(parts[: numbers[0]]), prefix, suffix, "/".join(parts[numbers[0] + 1 :]))

    def id_of(self, name: str) -> str | None:
        """The image id in the name of a member of `parent`; None where the name is another."""
        end = len(name) - len(self.suffix)
        fits = name.startswith(self.prefix) and name.endswith(self.suffix) and end > len(self.prefix)
        return name[len(self.prefix) : end] if fits else None

    def name(self, image: str) -> str:
        """The name of an image's member of `parent`."""
        return f"{self.prefix}{image}{self.suffix}"

    def member(self, image: str) -> str:
        """The path of an image's member of `parent`."""
        return f"{self.parent}/{self.name(image)}".lstrip("/")

    def levels(self, image: str) -> str:
        """The path of the group of an image's levels."""
        return f"{self.member(image)}/{self.inside}".rstrip("/")


PLAIN = GroupTemplate("", "", "", "")
"""One group an image, named by its id."""
