"""One picture file, decoded to the pixels that the runtime gives the network: what is trained on is what is classified.

The rule is the program's (`edge-linux/src/picture.rs`, `core/src/image/geometry.rs`): JPEG, PNG, BMP and WebP, told apart by
their content; upright by the EXIF orientation; 16 bits a channel rounded to 8; the colours below transparency as they
are; the shorter side to the network's, the longer one truncated; then the centre. `test_pixels.py` compares the two.
"""

import io
import struct
import warnings

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

FORMATS = ("BMP", "JPEG", "PNG", "WEBP")

MAX_SIDE = 32_767
MOST_BYTES = 512 << 20
"""A picture's longest side and most decoded bytes: the program's limits. Pillow's own is lower."""
LARGEST_FILE = MOST_BYTES
MAX_RESIZED = 1 << 24
"""Longest side of a picture once it is resized, before the crop, as in the program."""
Image.MAX_IMAGE_PIXELS = None
# It warns of damaged EXIF data and odd palettes in pictures that it reads, a line each.
warnings.filterwarnings("ignore", module=r"PIL\.")
# Colour profiles of printers have more than Pillow's megabyte.
PngImagePlugin.MAX_TEXT_CHUNK = 64 << 20

TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of each EXIF orientation upright; 1 is upright."""

SIXTEEN_BIT_BMP = {"BGR;15": (5, 5, 5), "BGR;16": (5, 6, 5)}
"""Bits of red, green and blue in Pillow's names of such a BMP's pixels."""

KINDS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: run git lfs pull"),
    (b"GIF8", "a GIF picture; convert it to PNG"),
    (b"II*\0", "a TIFF or raw picture; convert it to JPEG or PNG"),
    (b"MM\0*", "a TIFF or raw picture; convert it to JPEG or PNG"),
    (b"%PDF", "a PDF document"),
    (b"<", "a web page or another text, not a picture; download it again"),
)
"""What files begin with that bear a picture's name and are something else."""
BRANDS = {b"avif": "an AVIF picture; convert it to JPEG or PNG", b"avis": "an AVIF picture; convert it to JPEG or PNG"}
HEIC = "a HEIC picture; convert it to JPEG"


class PictureError(Exception):
    """The picture can't be used; the message says what it is instead, or what is wrong with it.

    Attributes:
        passing: another time it might be read.
    """

    def __init__(self, message: str, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


def decode(content: bytes, size: int) -> np.ndarray:
    """The bytes of a picture file as pixels of a network: uint8, (size, size, 3), RGB.

    Raises:
        PictureError: it is no picture of the kinds that are read, a damaged one, or too large.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            _check_size(picture)
            # Before its pixels are read: of a PNG the program knows what stands in front of them.
            turned = TURNED.get(_orientation(_exif(picture)))
            upright = _eight_bits(content, picture)
        if turned is not None:
            upright = upright.transpose(turned)
        return np.asarray(_resize(upright, size).convert("RGB"))
    except PictureError:
        raise
    except MemoryError as error:
        raise PictureError("needs more memory than there is; make it smaller", passing=True) from error
    except UnidentifiedImageError as error:
        kind = "not a JPEG, PNG, BMP or WebP picture, or its first bytes are damaged; convert it"
        raise PictureError(_what_it_is(content) or kind) from error
    # Pillow's parsers end in whatever a damaged file makes them stumble over: SyntaxError, struct.error and others.
    except Exception as error:
        raise PictureError(_what_it_is(content) or f"truncated or damaged ({error}); copy it again") from error


def _what_it_is(content: bytes) -> str | None:
    """The kind of a file that can't be read, if it is known."""
    if not content:
        return "empty; copy it again"
    if content[4:8] == b"ftyp":
        return BRANDS.get(content[8:12], HEIC)
    return next((kind for start, kind in KINDS if content.lstrip(b"\xef\xbb\xbf \r\n").startswith(start)), None)


def _check_size(picture: Image.Image) -> None:
    width, height = picture.size
    if max(width, height) > MAX_SIDE:
        raise PictureError(f"{width} x {height} pixels are too many: a side may have {MAX_SIDE}; make it smaller")
    channels = 3 if picture.mode == "P" else len(picture.getbands())
    size = width * height * channels * (2 if _sixteen_bits(picture) else 1)
    if size > MOST_BYTES:
        limit = f"need {size >> 20} MiB, and {MOST_BYTES >> 20} are the limit"
        raise PictureError(f"{width} x {height} pixels {limit}; make it smaller")


def _exif(picture: Image.Image) -> bytes:
    """The picture's EXIF data, without what a JPEG puts in front of it; of several, the first, as in the program."""
    prefix = b"Exif\0\0"
    if hasattr(picture, "applist"):
        segments = (data[6:] for marker, data in picture.applist if marker == "APP1" and data.startswith(prefix))
        return next(segments, b"")
    data = picture.info.get("exif", b"")
    return data[6:] if picture.format == "PNG" else data


def _orientation(exif: bytes) -> int:
    """The tag Orientation (0x112) of the first directory, 1 to 8; 1 where there is none, or a damaged one.

    Pillow's `exif_transpose` looks into XMP too, and into text chunks, which the program doesn't.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for index in range(count):
            tag, kind, values, value = struct.unpack_from(f"{order}HHIHxx", exif, start + 2 + 12 * index)
            if (tag, kind, values) == (0x112, 3, 1):
                return value
    except struct.error:
        pass
    return 1


def _sixteen_bits(picture: Image.Image) -> bool:
    return picture.format == "PNG" and bool(picture.tile) and str(picture.tile[0].args).endswith("16B")


def _eight_bits(content: bytes, picture: Image.Image) -> Image.Image:
    """The decoded picture, grey or RGB, 8 bits a channel: that of `content`, which `picture` has been opened from."""
    if _sixteen_bits(picture):
        return _rounded(content, picture)
    if picture.mode in ("1", "L", "LA"):
        return picture.convert("L")
    bits = SIXTEEN_BIT_BMP.get(picture.tile[0].args[0]) if picture.format == "BMP" and picture.tile else None
    # An alpha channel is dropped, and a palette's colours take its place.
    rgb = picture.convert("RGB")
    return rgb if bits is None else rgb.point([value for count in bits for value in _spread(count)])


def _spread(bits: int) -> list[int]:
    """For what Pillow makes of numbers of so few bits, truncated: the same rounded, of 0 to 255."""
    table, most = list(range(256)), (1 << bits) - 1
    for value in range(most + 1):
        table[value * 255 // most] = round(value * 255 / most)
    return table


def _rounded(content: bytes, picture: Image.Image) -> Image.Image:
    """A PNG of 16 bits a channel, each rounded to 8. Pillow, which cuts them off, is made to give both halves."""
    if picture.mode.startswith("I"):
        value = np.asarray(picture).astype(np.uint32)
    elif picture.tile[0].args == "LA;16B":
        # Grey and alpha of 16 bits lie in the file as red, green, blue and alpha of 8 bits do.
        halves = _as(content, "RGBA")
        value = halves[..., 0].astype(np.uint32) << 8 | halves[..., 1]
    else:
        # Read as if their second half were the high one, numbers give the low one.
        low = _as(content, f"{picture.mode};16L")[..., :3]
        value = np.asarray(picture)[..., :3].astype(np.uint32) << 8 | low
    return Image.fromarray(((value + 128) // 257).astype(np.uint8))


def _as(content: bytes, layout: str) -> np.ndarray:
    """The channels of a PNG whose pixels are taken for this layout, one of Pillow's."""
    picture = Image.open(io.BytesIO(content), formats=FORMATS)
    picture.tile = [tile._replace(args=layout) for tile in picture.tile]
    return np.asarray(picture)


def _resize(picture: Image.Image, size: int) -> Image.Image:
    """Brings the shorter side to `size`, the longer one to `size * longer / shorter`, truncated, and takes the centre.

    Horizontally first, then vertically, as the program does; left to itself Pillow 13 sometimes takes the other order.
    """
    width, height = picture.size
    if width == height == size:
        return picture
    longer = size * max(width, height) // min(width, height)
    if longer > MAX_RESIZED:
        raise PictureError(f"{width} x {height} pixels: too narrow for a square of {size}; crop it")
    resized_width, resized_height = (size, longer) if width <= height else (longer, size)
    # Python's `round`, as in torchvision's CenterCrop: halves go to the even neighbour.
    left, top = round((resized_width - size) / 2), round((resized_height - size) / 2)
    bilinear = Image.Resampling.BILINEAR
    picture = picture.resize((resized_width, height), bilinear).crop((left, 0, left + size, height))
    if resized_height > 100 * size:
        # Almost all of it would be cut away again. Values may differ by one from the program's.
        part = (0, top * height / resized_height, size, (top + size) * height / resized_height)
        return picture.resize((size, size), bilinear, box=part)
    return picture.resize((size, resized_height), bilinear).crop((0, top, size, top + size))
