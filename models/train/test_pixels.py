"""The training sees what the program sees: `picture.decode` against `tinception classify --dump-input`.

Needs cargo, or the path of the program in TINCEPTION_PROGRAM.
"""

import io
import struct
import unittest
import warnings
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

import data
from fixtures import ARTEFACTS, Folder, program, run

SIZES = ((1, 1), (1, 2), (2, 1), (3, 5), (9, 4), (31, 33), (32, 32), (33, 31), (63, 65), (64, 64), (101, 57), (57, 101), (64, 97), (262, 324),
         (324, 262), (400, 37), (37, 400), (300, 1), (1, 300), (639, 479), (480, 641))


def noise(width: int, height: int, channels: int = 3, most: int = 256) -> np.ndarray:
    """Random pixels, which no two ways to resize agree on by chance."""
    generator = np.random.default_rng(width * 1000 + height)
    return generator.integers(0, most, (height, width, channels)).astype(np.uint8 if most == 256 else np.uint16)


def smooth(width: int, height: int) -> Image.Image:
    """Coarse colours, which lossy formats keep."""
    return Image.fromarray(noise(5, 4)).resize((width, height), Image.Resampling.BICUBIC)


def saved(picture: Image.Image, kind: str, **options) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def png(pixels: np.ndarray, *chunks: tuple[bytes, bytes], behind: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
    """A PNG of these grey, grey and alpha, RGB or RGBA pixels, 8 or 16 bits each, with chunks in front of its data or behind them."""
    return _png(pixels, [pixels], chunks, behind)


def interlaced(pixels: np.ndarray) -> bytes:
    """The same in the seven passes of Adam7."""
    starts = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    return _png(pixels, [pixels[y::down, x::right] for x, y, right, down in starts], (), ())


def _png(pixels: np.ndarray, passes: list[np.ndarray], chunks: Iterable[tuple[bytes, bytes]], behind: Iterable[tuple[bytes, bytes]]) -> bytes:
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for part in passes for row in part)
    colours = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, colours, 0, 0, len(passes) > 1)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), *behind, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    )


def exif(orientation: int, order: str = "<") -> bytes:
    """EXIF data that hold nothing but an orientation, behind another tag."""
    start = {"<": b"II*\0", ">": b"MM\0*"}[order]
    tags = struct.pack(f"{order}HHII", 0x100, 4, 1, 7) + struct.pack(f"{order}HHIHH", 0x112, 3, 1, orientation, 0)
    return start + struct.pack(f"{order}IH", 8, 2) + tags + bytes(4)


def in_jpeg(*segments: bytes) -> bytes:
    """A JPEG with these APP1 segments."""
    content = saved(smooth(70, 50), "JPEG", quality=95)
    return content[:2] + b"".join(b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body for body in segments) + content[2:]


def in_webp(body: bytes) -> bytes:
    """A lossless WebP with this EXIF chunk, as it is."""
    content = saved(smooth(70, 50), "WEBP", lossless=True, exif=bytes(len(body)))
    at = content.index(b"EXIF")
    return content[: at + 8] + body + content[at + 8 + len(body) :]


def bmp16(width: int, height: int, green: int) -> bytes:
    """A BMP of 16 bits a pixel: 5 of red and blue, 5 or 6 of green."""
    stride = (width * 2 + 3) // 4 * 4
    values = np.random.default_rng(4).integers(0, 1 << 16, (height, stride // 2)).astype("<u2")
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F) if green == 6 else struct.pack("<III", 0x7C00, 0x03E0, 0x001F)
    size = 14 + 40 + len(masks) + values.nbytes
    head = b"BM" + struct.pack("<IHHI", size, 0, 0, 66)
    return head + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 16, 3, values.nbytes, 2835, 2835, 0, 0) + masks + values.tobytes()


def resized() -> dict[str, bytes]:
    """Pictures of many sizes."""
    return {f"{width}x{height}.png": png(noise(width, height)) for width, height in SIZES}


def lossless() -> dict[str, bytes]:
    """The same kind of pixels in whatever keeps them."""
    found, width, height = {}, 75, 51
    for channels in (1, 2, 3, 4):
        for most in (256, 65536):
            found[f"{channels}x{most}.png"] = png(noise(width, height, channels, most))
    rgb, rgba = (Image.fromarray(noise(width, height, channels)) for channels in (3, 4))
    palette = rgb.quantize(256, dither=Image.Dither.NONE)
    for name, picture in {"1": rgb.convert("1"), "L": rgb.convert("L"), "P": palette, "RGB": rgb, "RGBA": rgba}.items():
        found[f"{name}.bmp"] = saved(picture, "BMP")
        found[f"{name}.png"] = saved(picture, "PNG")
    found["transparent-P.png"] = saved(palette, "PNG", transparency=bytes(range(256)))
    found["transparent-L.png"] = saved(rgb.convert("L"), "PNG", transparency=7)
    found["transparent-RGB.png"] = saved(rgb, "PNG", transparency=(1, 2, 3))
    for bits in (1, 2, 4):
        found[f"P{bits}.png"] = saved(rgb.quantize(1 << bits), "PNG", bits=bits)
    # The first colour of what is wholly transparent, too.
    clear = noise(width, height, 4)
    clear[..., 3] = 0
    found["clear.png"] = png(clear)
    found["clear.webp"] = saved(Image.fromarray(clear), "WEBP", lossless=True, exact=True)
    found["RGB.webp"] = saved(rgb, "WEBP", lossless=True)
    found["RGBA.webp"] = saved(rgba, "WEBP", lossless=True, exact=True)
    # What says how colours are meant changes none.
    found["gamma.png"] = png(noise(width, height), (b"gAMA", struct.pack(">I", 100_000)))
    found["profile.png"] = saved(rgb, "PNG", icc_profile=bytes(3 << 20))
    for depth in (256, 65536):
        found[f"interlaced{depth}.png"] = interlaced(noise(width, height, 3, depth))
    for green in (5, 6):
        found[f"565-{green}.bmp"] = bmp16(31, 20, green)
    found["rows-from-the-top.bmp"] = from_the_top(rgb)
    return found


def from_the_top(picture: Image.Image) -> bytes:
    """A BMP with a negative height: its rows run from top to bottom."""
    content, stride = saved(picture, "BMP"), (picture.width * 3 + 3) // 4 * 4
    rows = [content[at : at + stride] for at in range(54, len(content), stride)]
    return content[:22] + struct.pack("<i", -picture.height) + content[26:54] + b"".join(reversed(rows))


def turned() -> dict[str, bytes]:
    """Every orientation in every format that has it, and what looks like one."""
    found = {}
    prefix = b"Exif\0\0"
    for value in range(10):
        for order in "<>":
            name = f"{value}{'le' if order == '<' else 'be'}"
            found[f"{name}.png"] = png(noise(70, 50), (b"eXIf", exif(value, order)))
            found[f"{name}.jpg"] = in_jpeg(prefix + exif(value, order))
            found[f"{name}.webp"] = in_webp(exif(value, order))
    found["grey16.png"] = png(noise(70, 50, 1, 65536), (b"eXIf", exif(6)))
    found["rgba16.png"] = png(noise(70, 50, 4, 65536), (b"eXIf", exif(5)))
    found["behind.png"] = png(noise(70, 50), behind=((b"eXIf", exif(6)),))
    found["prefixed.webp"] = in_webp(prefix + exif(6))
    found["prefixed.png"] = png(noise(70, 50), (b"eXIf", prefix + exif(6)))
    found["twice.jpg"] = in_jpeg(prefix + exif(6), prefix + exif(3))
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    found["xmp.jpg"] = in_jpeg(b"http://ns.adobe.com/xap/1.0/\0" + xmp)
    found["xmp.png"] = png(noise(70, 50), (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))
    found["text.png"] = png(noise(70, 50), (b"tEXt", b"exif\0Exif" + exif(6)))
    for length in (3, 7, 9, 12, 30, 37):
        found[f"cut{length}.jpg"] = in_jpeg(prefix + exif(6)[:length])
        found[f"cut{length}.png"] = png(noise(70, 50), (b"eXIf", exif(6)[:length]))
    found["long.jpg"] = in_jpeg(prefix + exif(6).replace(struct.pack("<HHI", 0x112, 3, 1), struct.pack("<HHI", 0x112, 4, 1)))
    return found


def lossy() -> dict[str, bytes]:
    """What decoders may round in their own way."""
    picture, found = smooth(75, 51), {}
    for subsampling in (0, 1, 2):
        for progressive in (False, True):
            options = {"quality": 90, "subsampling": subsampling, "progressive": progressive}
            found[f"{subsampling}{progressive}.jpg"] = saved(picture, "JPEG", **options)
    found["grey.jpg"] = saved(picture.convert("L"), "JPEG")
    found["rgb.jpg"] = saved(picture, "JPEG", keep_rgb=True)
    found["two.jpg"] = saved(picture, "MPO", save_all=True, append_images=[picture.rotate(180)])
    for quality in (50, 90):
        found[f"{quality}.webp"] = saved(picture, "WEBP", quality=quality)
    transparent = picture.convert("RGBA")
    transparent.putalpha(Image.fromarray(noise(75, 51, 1)[..., 0]))
    found["transparent.webp"] = saved(transparent, "WEBP")
    return found


def four_inks() -> dict[str, bytes]:
    """JPEGs of cyan, magenta, yellow and black, also as luma, chroma and black (Adobe's transform 2)."""
    inks = np.asarray(smooth(75, 51).convert("CMYK")).copy()
    inks[..., 3] = np.asarray(smooth(75, 51).convert("L")) // 2
    found = {f"cmyk{level}.jpg": saved(Image.fromarray(inks, "CMYK"), "JPEG", quality=95, subsampling=level) for level in range(3)}
    at = found["cmyk0.jpg"].index(b"Adobe") + 11
    found["ycck.jpg"] = found["cmyk0.jpg"][:at] + b"\2" + found["cmyk0.jpg"][at + 1 :]
    return found


def animated() -> dict[str, bytes]:
    """What has several pictures, of which the first one counts."""
    first, second = smooth(75, 51), Image.fromarray(noise(75, 51))
    common = {"save_all": True, "append_images": [second]}
    return {
        "moving.webp": saved(first, "WEBP", lossless=True, **common),
        "moving.png": saved(first, "PNG", **common),
        "preview.png": saved(first, "PNG", default_image=True, **common),
    }


class Pixels(Folder):
    def setUp(self) -> None:
        super().setUp()
        # unittest shows the warnings that `picture` leaves out.
        warnings.filterwarnings("ignore", module=r"PIL\.")

    def compare(self, pictures: dict[str, bytes], model: str = "googlenet-64.tin", side: int = 64) -> dict[str, np.ndarray]:
        """How far each value is from the program's."""
        tinception = program()

        def difference(name: str) -> np.ndarray:
            path, dump = self.folder / name, self.folder / f"{name}.dump.png"
            path.write_bytes(pictures[name])
            run(tinception, "classify", path, "--model", ARTEFACTS / model, "--dump-input", dump)
            seen = np.asarray(Image.open(dump).convert("RGB")).astype(int)
            return np.abs(data._decode(pictures[name], side) - seen)

        with ThreadPoolExecutor(2) as pool:
            return dict(zip(pictures, pool.map(difference, pictures)))

    def same(self, pictures: dict[str, bytes], **options) -> None:
        apart = {name: int(found.max()) for name, found in self.compare(pictures, **options).items() if found.any()}
        self.assertEqual(apart, {}, "largest differences")

    def test_sizes(self) -> None:
        self.same(resized())
        self.same(resized(), model="nano.tin", side=32)

    def test_channels_and_depths(self) -> None:
        self.same(lossless())

    def test_orientations(self) -> None:
        self.same(turned())

    def test_lossy_formats(self) -> None:
        self.same(lossy())

    def test_the_first_picture_counts(self) -> None:
        self.same(animated())

    def test_four_inks(self) -> None:
        self.same(four_inks())

    def test_very_narrow_pictures(self) -> None:
        pictures = {f"{width}x{height}.png": png(noise(width, height)) for width, height in ((3, 4000), (4000, 3), (1, 32767), (32767, 1))}
        for name, found in self.compare(pictures).items():
            with self.subTest(name):
                self.assertLessEqual(found.max(), 1)

    def test_what_the_program_refuses_is_refused(self) -> None:
        pictures = {**lossless(), **lossy(), **four_inks(), "70x50.jpg": in_jpeg(b"Exif\0\0" + exif(6))}
        # Its first picture is whole where its second one is cut.
        del pictures["two.jpg"]
        for name, content in pictures.items():
            for share in (0.0, 0.01, 0.3, 0.6, 0.9):
                with self.subTest(name, share=share), self.assertRaises(data.PictureError):
                    data._decode(content[: int(share * len(content))], 32)
        for content in (saved(smooth(9, 9), "GIF"), saved(smooth(9, 9), "TIFF"), png(noise(1, 32768))):
            path = self.folder / "other.jpg"
            path.write_bytes(content)
            with self.assertRaises(AssertionError):
                run(program(), "classify", path)
            with self.assertRaises(data.PictureError):
                data._decode(content, 32)


if __name__ == "__main__":
    unittest.main()
