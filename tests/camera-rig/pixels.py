"""Pictures as a camera's frames, and what these frames show: in YUV the colours are other than the picture's."""

import numpy as np
from PIL import Image, ImageOps

SIZE = (1280, 720)

# The program's name of a format, and V4L2's code of it.
CODES = {"rgb24": "RGB3", "yuyv": "YUYV", "nv12": "NV12", "grey": "GREY"}
# Those with luma and differences.
YUV = {"yuyv", "nv12"}

# ITU-R BT.601 in limited range: weights of red and blue in luma; the ranges of luma and of the differences; the bits
# that a factor has behind its point (docs/arithmetic.md).
RED, BLUE = 0.299, 0.114
LUMA, DIFFERENCE = 219 / 255, 224 / 255
BITS = 20


def shown(path):
    """A picture as the camera sees it: as much of it as fits, 1280 x 720 pixels."""
    with Image.open(path) as picture:
        return ImageOps.fit(picture.convert("RGB"), SIZE)


def frame(picture, name):
    """A picture as a frame of a format, and the picture that this frame is."""
    rgb = np.asarray(picture)
    if name == "rgb24":
        return rgb.tobytes(), picture
    luma, blue, red = to_yuv(rgb)
    if name == "grey":
        return luma.tobytes(), Image.fromarray(np.repeat(luma[:, :, None], 3, axis=2))
    # A difference is that of the first pixel for two beside each other, in NV12 also for the two below.
    rows = 2 if name == "nv12" else 1
    pairs = np.stack([blue[::rows, ::2], red[::rows, ::2]], axis=2)
    if name == "nv12":
        data = luma.tobytes() + pairs.tobytes()
    else:
        data = np.stack([luma[:, ::2], pairs[:, :, 0], luma[:, 1::2], pairs[:, :, 1]], axis=2).tobytes()
    spread = pairs.repeat(rows, axis=0).repeat(2, axis=1)
    return data, Image.fromarray(to_rgb(luma, spread[:, :, 0], spread[:, :, 1]))


def to_yuv(rgb):
    """Luma, blue and red difference. Any rounding will do: what counts is what the frame's values mean."""
    red, green, blue = np.moveaxis(rgb.astype(np.float64), 2, 0)
    luma = RED * red + (1 - RED - BLUE) * green + BLUE * blue
    planes = (
        16 + LUMA * luma,
        128 + DIFFERENCE * (blue - luma) / (2 * (1 - BLUE)),
        128 + DIFFERENCE * (red - luma) / (2 * (1 - RED)),
    )
    return [np.rint(plane).astype(np.uint8) for plane in planes]


def to_rgb(luma, blue, red):
    """The pixels, rounded once, as docs/arithmetic.md has it."""

    def fixed(factor):
        return round(factor * (1 << BITS))

    grey = (luma.astype(np.int64) - 16) * fixed(1 / LUMA) + (1 << (BITS - 1))
    blue, red = (plane.astype(np.int64) - 128 for plane in (blue, red))
    of_red, of_blue = (2 * (1 - weight) / DIFFERENCE for weight in (RED, BLUE))
    green = 1 - RED - BLUE
    sums = (
        grey + fixed(of_red) * red,
        grey - fixed(of_blue * BLUE / green) * blue - fixed(of_red * RED / green) * red,
        grey + fixed(of_blue) * blue,
    )
    return np.stack([np.clip(value >> BITS, 0, 255) for value in sums], axis=2).astype(np.uint8)
