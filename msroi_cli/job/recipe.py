"""How crops were made: the attribute `parameters` of a crops file, written and parsed here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msroi_cli.core.reduce import REDUCTIONS
from msroi_cli.core.spec import PoolSpec
from msroi_cli.errors import ArgumentError, InputError
from msroi_cli.io.crops.reader import Crops
from msroi_cli.io.pyramid.levels import LevelChoice
from msroi_cli.job.request import BoxChoice, BoxOptions

# The options of how boxes are read that a crops file records.
BOX_OPTIONS = ("box_format", "box_space", "normalized", "image_key", "on_bad_box", "on_unknown_image")


class Recipe(NamedTuple):
    """How crops were made.

    levels: the names of the levels, one a scale of `spec`. box: how the boxes were read, with nothing left open.
    reduce: "mean" or "max" for vectors, None for crops. order: of the rows, "input" or "image".
    group: where the group of an image lies in the pyramid, None for the usual places. choice: what boxes were
    chosen by, as `BoxChoice.as_dict`. made: how the features were made, of those that were not stored.
    assign: which levels boxes were pooled from, "canonical", "all" or the name of a level.
    backend: "native", or "numpy", whose crops may differ in the last bits.
    """

    spec: PoolSpec
    levels: tuple[str, ...]
    box: BoxOptions
    reduce: str | None = None
    order: str = "input"
    group: str | None = None
    choice: Mapping[str, Any] = {}
    made: Mapping[str, Any] | None = None
    assign: str = "canonical"
    backend: str = "native"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; `parse` reads them back."""
        return {
            **self.spec.as_dict(),
            "levels": list(self.levels),
            **{name: getattr(self.box, name) for name in BOX_OPTIONS},
            **({"reduce": self.reduce} if self.reduce else {}),
            **({"group": self.group} if self.group else {}),
            **({"order": self.order} if self.order != "input" else {}),
            **self.choice,
            **({"assign": self.assign} if self.assign != "canonical" else {}),
            **({"made": dict(self.made)} if self.made else {}),
            **({"backend": self.backend} if self.backend != "native" else {}),
        }

    @classmethod
    def parse(cls, where: object, parameters: Mapping[str, Any]) -> Recipe:
        """Reads what `as_dict` gave; keys that it does not know are left alone.

        Raises InputError that names the key that is missing or has no such value.
        """
        found = _Parameters(f"{where}: attribute parameters", parameters)
        spec = found.spec()
        return cls(
            spec,
            found.levels(len(spec.spatial_scales)),
            found.box(),
            found.one_of("reduce", (None, *REDUCTIONS)),
            found.one_of("order", ("input", "image")),
            found.text("group"),
            {name: parameters[name] for name in BoxChoice.__dataclass_fields__ if name in parameters},
            found.object("made"),
            found.text("assign") or "canonical",
            found.one_of("backend", ("native", "numpy")),
        )

    @classmethod
    def of(cls, crops: Crops) -> Recipe:
        """The recipe of a crops file; raises InputError."""
        return cls.parse(crops.path, crops.parameters)

    @property
    def strides(self) -> list[tuple[float, float]]:
        """The (y, x) stride of each level, input pixels per feature pixel."""
        return [(1 / y, 1 / x) for y, x in self.spec.spatial_scales]

    def level_choice(self) -> LevelChoice:
        """The levels that were pooled, to open the pyramid with."""
        return LevelChoice(
            self.levels, scales=self.spec.spatial_scales, group=self.group, mixed=self.assign != "canonical"
        )


def level_name(parameters: Mapping[str, Any], level: int) -> str:
    """The name of a level, to show; its number where `parameters` has none."""
    names = parameters.get("levels")
    return str(names[level]) if isinstance(names, list) and 0 <= level < len(names) else str(level)


class _Parameters:
    """The parameters of one file, with errors that say where."""

    def __init__(self, where: str, values: Mapping[str, Any]) -> None:
        self._where = where
        self._values = values

    def _required(self, name: str) -> Any:
        if name not in self._values:
            raise InputError(f"{self._where}: expected {name}, got none")
        return self._values[name]

    def spec(self) -> PoolSpec:
        """How boxes were pooled."""
        names = ("compat", "aligned", "canonical_level", "canonical_scale")
        scales, size, ratio = (self._required(name) for name in ("spatial_scales", "output_size", "sampling_ratio"))
        options = {name: self._required(name) for name in names}
        try:
            return PoolSpec.resolve(scales, size, ratio, **options)
        except ArgumentError as error:
            raise InputError(f"{self._where}: {error}") from error

    def levels(self, count: int) -> tuple[str, ...]:
        """The names of `count` levels."""
        names = self._required("levels")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(f"{self._where}: expected levels, a list of names, got {str(names)[:60]}")
        if len(names) != count:
            raise InputError(f"{self._where}: expected {count} names of levels, got {len(names)}")
        return tuple(names)

    def box(self) -> BoxOptions:
        """How the boxes were read."""
        options = {name: self._values[name] for name in BOX_OPTIONS if name in self._values}
        for name, value in options.items():
            if isinstance(value, (list, dict)):
                raise InputError(f"{self._where}: {name}: expected one value, got {str(value)[:60]}")
        return BoxOptions(**options)

    def text(self, name: str) -> str | None:
        """The text of `name`, None if there is none."""
        value = self._values.get(name)
        if not isinstance(value, str | None):
            raise InputError(f"{self._where}: {name}: expected a text, got {str(value)[:60]}")
        return value

    def object(self, name: str) -> Mapping[str, Any] | None:
        """The object under `name`, None if there is none."""
        value = self._values.get(name)
        if not isinstance(value, Mapping | None):
            raise InputError(f"{self._where}: {name}: expected an object, got {str(value)[:60]}")
        return value

    def one_of(self, name: str, allowed: Sequence[str | None]) -> Any:
        """The value of `name`, the first of those allowed if there is none."""
        value = self._values.get(name, allowed[0])
        if value not in allowed:
            raise InputError(f"{self._where}: {name}: expected {', '.join(map(str, allowed))}, got {str(value)[:60]}")
        return value
