"""Make the sample data: three drawn pictures, the boxes of their words, and a text detector's feature pyramid of each.

Run `python make_sample_data.py` with the packages of requirements.txt; the files beside this script are replaced.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import distribution, version
from pathlib import Path

import h5py  # type: ignore[import-untyped,unused-ignore]
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort  # type: ignore[import-untyped,unused-ignore]
from PIL import Image, ImageDraw, ImageFont

FOLDER = Path(__file__).resolve().parent
LICENSE_NAME = "Apache-2.0"
LICENSE_URL = "https://www.apache.org/licenses/LICENSE-2.0"

WHEEL, DETECTOR = "rapidocr-onnxruntime", "ch_PP-OCRv4_det_infer.onnx"
LEVELS = {  # level: (stride, the model's tensor before the levels are joined)
    "p2": (4, "p2o.Add.277"),
    "p3": (8, "p2o.Add.271"),
    "p4": (16, "p2o.Add.265"),
    "p5": (32, "p2o.Add.259"),
}
COARSEST_STRIDE = 32
ZOOM = 1.28  # network input pixels per original pixel, before the sides are rounded to the coarsest stride
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # for channels 0, 1, 2 of a BGR picture, as it was trained

CATEGORIES = {"word": 1, "number": 2, "heading": 3, "block": 4}
FIRST_ANNOTATION_ID = 1001

Box = tuple[float, float, float, float]  # x1 y1 x2 y2, original pixels
Rgb = tuple[int, int, int]

INK, FADED = (34, 32, 30), (110, 100, 92)


@dataclass(frozen=True)
class Style:
    """How a run of text looks, and which category its words belong to ("" lets the text decide)."""

    font: ImageFont.FreeTypeFont
    color: Rgb = INK
    category: str = ""


@dataclass(frozen=True)
class Word:
    """One annotation: a text, where it stands in the picture, and its category."""

    text: str
    box: Box
    category: str


def installed_file(package: str, path: str) -> Path:
    """A data file of an installed package, found without importing that package."""
    return Path(str(distribution(package).locate_file(path)))


def dejavu(face: str, size: int) -> ImageFont.FreeTypeFont:
    """A DejaVu font out of matplotlib; basic layout, so that optional shaping libraries cannot move a letter."""
    path = installed_file("matplotlib", f"matplotlib/mpl-data/fonts/ttf/DejaVu{face}.ttf")
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


class Sheet:
    """A picture that remembers the box of every word drawn on it."""

    def __init__(self, image_id: int, file_name: str, size: tuple[int, int], paper: Rgb) -> None:
        self.image_id = image_id
        self.file_name = file_name
        self.image = Image.new("RGB", size, paper)
        self.draw = ImageDraw.Draw(self.image)
        self.words: list[Word] = []

    def line(self, xy: tuple[float, float], text: str, style: Style, align: float = 0.0) -> None:
        """Draw one line on the baseline at `xy`, which is its left end, its middle (align 0.5) or its right end (1)."""
        x, y = xy[0] - align * style.font.getlength(text), xy[1]
        space = style.font.getlength(" ")
        for token in text.split():
            self.draw.text((x, y), token, style.color, style.font, anchor="ls")
            box = self.draw.textbbox((x, y), token, style.font, anchor="ls")
            self.words.append(Word(token, box, style.category or category_of(token)))
            x += style.font.getlength(token) + space

    def paragraph(self, xy: tuple[float, float], text: str, style: Style, width: float, leading: float) -> float:
        """Draw lines of at most `width` pixels, the first baseline at `xy`; return the baseline after the last."""
        x, y = xy
        for line in wrapped(text, style.font, width):
            self.line((x, y), line, style)
            y += leading
        return y

    def annotations(self) -> list[Word]:
        """The words, and last one block around them all: small boxes alone would leave the coarse levels unused."""
        x1, y1, x2, y2 = zip(*(word.box for word in self.words), strict=True)
        box = (min(x1), min(y1), max(x2), max(y2))
        return [*self.words, Word(" ".join(word.text for word in self.words), box, "block")]


def category_of(token: str) -> str:
    """Whatever holds a digit is a number: 18.40, 2 or No.7."""
    return "number" if any(character.isdigit() for character in token) else "word"


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: float) -> Iterator[str]:
    """Break a text into lines of at most `width` pixels, greedily."""
    line = ""
    for token in text.split():
        longer = f"{line} {token}".strip()
        if line and font.getlength(longer) > width:
            yield line
            longer = token
        line = longer
    yield line


def draw_page() -> Sheet:
    """A short prose page, landscape, small serif words."""
    sheet = Sheet(17, "page.png", (500, 380), (250, 247, 240))
    body = Style(dejavu("Serif", 16))
    sheet.line((32, 56), "Notes from the Lighthouse", Style(dejavu("Serif-Bold", 25), category="heading"))
    sheet.draw.line((32, 72, 468, 72), FADED)
    y = 104.0
    for text in (
        "The fog came in before breakfast and stayed until the lamps were lit. From the gallery I counted eleven "
        "boats, each one a grey thought that the sea had not finished.",
        "At noon the keeper wound the clock, wrote 29.8 in the weather book, and read me the name of every ship that "
        "had passed in 1904. None of them, he said, had ever asked who kept the light.",
    ):
        y = sheet.paragraph((32, y), text, body, width=436, leading=25) + 9
    sheet.line((250, 362), "12", Style(dejavu("Serif", 13), FADED), align=0.5)
    return sheet


def draw_sign() -> Sheet:
    """A shop sign on a brick wall, wide, with words from small to very large."""
    sheet = Sheet(4, "sign.png", (610, 240), (150, 84, 66))
    for row, y in enumerate(range(0, 240, 16)):
        sheet.draw.line((0, y, 610, y), (186, 160, 146))
        for x in range(20 * (row % 2), 610, 40):
            sheet.draw.line((x, y, x, y + 16), (186, 160, 146))
    cream, gold = (247, 238, 214), (236, 186, 84)
    sheet.draw.rounded_rectangle((18, 14, 592, 226), radius=14, fill=(22, 62, 84), outline=gold, width=4)
    sheet.line((46, 72), "Bread & Books", Style(dejavu("Serif-Italic", 29), cream))
    sheet.line((566, 76), "CAFÉ", Style(dejavu("Sans-Bold", 56), gold, "heading"), align=1)
    sheet.line((305, 172), "LUMEN", Style(dejavu("Sans-Bold", 114), cream, "heading"), align=0.5)
    sheet.line((305, 208), "open daily 7:30 to 18:00", Style(dejavu("Sans", 21), gold), align=0.5)
    return sheet


def draw_receipt() -> Sheet:
    """A receipt, portrait: short words and right-aligned numbers in columns."""
    sheet = Sheet(230, "receipt.png", (351, 420), (244, 248, 246))
    mono, bold = Style(dejavu("SansMono", 14)), Style(dejavu("SansMono-Bold", 14))
    sheet.line((175, 44), "Fern & Finch", Style(dejavu("Sans-Bold", 26), (26, 92, 58), "heading"), align=0.5)
    sheet.line((175, 68), "Garden Supply", Style(dejavu("Sans", 15), FADED), align=0.5)
    sheet.line((24, 104), "Receipt 20418", mono)
    sheet.line((327, 104), "16.03.2024", mono, align=1)
    table = (
        ("Item", "Qty", "Price", "Sum"),
        ("Clay pot", "4", "3.50", "14.00"),
        ("Potting soil", "2", "7.95", "15.90"),
        ("Twine", "1", "2.20", "2.20"),
        ("Bean seeds", "6", "1.85", "11.10"),
        ("Hand rake", "1", "12.40", "12.40"),
        ("Watering can", "1", "18.90", "18.90"),
    )
    for row, cells in enumerate(table):
        style, y = (mono if row else bold), 142 + 27 * row
        sheet.line((24, y), cells[0], style)
        for right, cell in zip((182, 252, 327), cells[1:], strict=True):
            sheet.line((right, y), cell, style, align=1)
    for y in (120, 152, 318):
        sheet.draw.line((24, y, 327, y), FADED)
    sheet.line((24, 346), "Total", Style(dejavu("Sans-Bold", 20)))
    sheet.line((327, 346), "74.50", Style(dejavu("Sans-Bold", 20)), align=1)
    sheet.line((175, 392), "Thank you, come again", Style(dejavu("Sans-Oblique", 14), FADED), align=0.5)
    return sheet


def input_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the network's input: zoomed, then rounded so that every level fits without a remainder."""
    width, height = (COARSEST_STRIDE * round(ZOOM * side / COARSEST_STRIDE) for side in size)
    return width, height


def network_input(image: Image.Image) -> npt.NDArray[np.float32]:
    """(1, 3, H, W) float32, channels B, G, R: the picture resized to `input_size`, scaled to 0..1 and normalized."""
    resized = image.resize(input_size(image.size), Image.Resampling.BILINEAR)
    bgr = np.asarray(resized, np.float32)[:, :, ::-1] / np.float32(255)
    normalized = (bgr - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(normalized.transpose(2, 0, 1)[np.newaxis])


def open_detector() -> ort.InferenceSession:
    """The text detector with its pyramid's tensors added to its outputs; one thread, so that sums keep their order."""
    model = onnx.load(installed_file(WHEEL, f"rapidocr_onnxruntime/models/{DETECTOR}"))
    for _, tensor in LEVELS.values():
        model.graph.output.append(onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def write_pyramid(path: Path, sheets: Iterable[Sheet]) -> None:
    """One group per picture, named by its image id, with one float16 (C, H, W) dataset per level."""
    detector = open_detector()
    with h5py.File(path, "w") as file:
        file.attrs["title"] = "Feature pyramids of three drawn pictures, sample data of msroi"
        file.attrs["source"] = f"PP-OCRv4 text detector (PaddleOCR), {DETECTOR} of {WHEEL} {version(WHEEL)}"
        file.attrs["license"] = LICENSE_NAME
        for sheet in sheets:
            write_levels(file.create_group(str(sheet.image_id)), sheet, detector)


def write_levels(group: h5py.Group, sheet: Sheet, detector: ort.InferenceSession) -> None:
    """Run the detector on one picture; the sign is chunked and compressed, so that readers meet both layouts."""
    width, height = sheet.image.size
    input_width, input_height = input_size(sheet.image.size)
    group.attrs["file_name"] = sheet.file_name
    group.attrs["image_size"] = np.array((width, height), np.int64)
    group.attrs["scale_factor"] = np.array((input_width / width, input_height / height), np.float64)
    filters = {"chunks": True, "compression": "gzip", "shuffle": True} if sheet.file_name == "sign.png" else {}
    maps = detector.run([tensor for _, tensor in LEVELS.values()], {"x": network_input(sheet.image)})
    for (name, (stride, _)), level in zip(LEVELS.items(), maps, strict=True):
        group.create_dataset(name, data=level[0].astype(np.float16), **filters).attrs["stride"] = stride


def interleaved(sheets: Iterable[Sheet]) -> list[tuple[int, Word]]:
    """All (image id, word) pairs, each picture's spread evenly over the list: boxes of one image are not neighbours."""
    placed = []
    for sheet in sheets:
        words = sheet.annotations()
        placed += [((index + 0.5) / len(words), sheet.image_id, word) for index, word in enumerate(words)]
    return [(image_id, word) for _, image_id, word in sorted(placed, key=lambda place: place[:2])]


def coco_image(sheet: Sheet) -> dict[str, object]:
    """A picture as a COCO object."""
    width, height = sheet.image.size
    return {"id": sheet.image_id, "file_name": sheet.file_name, "width": width, "height": height, "license": 1}


def coco_annotation(annotation_id: int, image_id: int, word: Word) -> dict[str, object]:
    """A word as a COCO object: bbox is x, y, width, height in original pixels."""
    x1, y1, x2, y2 = word.box
    bbox = [round(float(value), 2) for value in (x1, y1, x2 - x1, y2 - y1)]
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": CATEGORIES[word.category],
        "bbox": bbox,
        "area": round(bbox[2] * bbox[3], 2),
        "iscrowd": 0,
        "text": word.text,
    }


def coco_data_set(sheets: list[Sheet]) -> dict[str, object]:
    """Pictures and words as a COCO data set."""
    pairs = enumerate(interleaved(sheets), FIRST_ANNOTATION_ID)
    return {
        "info": {"description": "Words of three drawn pictures, sample data of msroi", "version": "1.0"},
        "licenses": [{"id": 1, "name": LICENSE_NAME, "url": LICENSE_URL}],
        "categories": [{"id": number, "name": name} for name, number in CATEGORIES.items()],
        "images": [coco_image(sheet) for sheet in sheets],
        "annotations": [coco_annotation(number, image_id, word) for number, (image_id, word) in pairs],
    }


def json_text(document: dict[str, object]) -> str:
    """JSON with one row of each list to a line, so that people can read the file and diffs stay small."""
    parts = []
    for key, value in document.items():
        if isinstance(value, list):
            rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in value)
            parts.append(f' "{key}": [\n  {rows}\n ]')
        else:
            parts.append(f' "{key}": {json.dumps(value, ensure_ascii=False)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    """Draw, run the detector, and write every file."""
    sheets = [draw_page(), draw_sign(), draw_receipt()]
    for sheet in sheets:
        sheet.image.save(FOLDER / sheet.file_name, optimize=True)
    (FOLDER / "words.json").write_text(json_text(coco_data_set(sheets)), encoding="utf-8")
    write_pyramid(FOLDER / "pyramid.h5", sheets)


if __name__ == "__main__":
    main()
