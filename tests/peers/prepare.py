"""Makes the int8 models: ONNX Runtime's own static quantisation (QDQ), and a .tin file."""

import hashlib
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

# What BVLC's networks take: blue first, these means, the middle 224 of a photo whose shorter side is 256.
MEAN = (104, 117, 123)
SIDE, CROP = 256, 224
# Ranges need no more for timing.
PICTURES = 20


def picture(path):
    """A photo as the network's input, 1 x 3 x 224 x 224."""
    image = Image.open(path).convert("RGB")
    scale = SIDE / min(image.size)
    image = image.resize([max(SIDE, round(side * scale)) for side in image.size], Image.Resampling.BILINEAR)
    left, top = ((side - CROP) // 2 for side in image.size)
    pixels = np.asarray(image.crop((left, top, left + CROP, top + CROP)), np.float32)[:, :, ::-1]
    return np.ascontiguousarray((pixels - np.array(MEAN, np.float32)).transpose(2, 0, 1)[None])


class Pictures(CalibrationDataReader):
    """Feeds photos to the quantiser."""

    def __init__(self, name, files):
        self.feeds = iter({name: picture(file)} for file in files)

    def get_next(self):
        return next(self.feeds, None)


def quantized_onnx(model, files, cache):
    """The QDQ model: uint8 activations, int8 weights per channel."""
    key = hashlib.sha256(model.read_bytes() + onnxruntime.__version__.encode()).hexdigest()[:16]
    path = cache / f"{model.stem}-{key}-qdq.onnx"
    if not path.exists():
        simplified = cache / "simplified.onnx"
        quant_pre_process(model, simplified, skip_symbolic_shape=True)
        name = onnxruntime.InferenceSession(model).get_inputs()[0].name
        quantize_static(
            simplified,
            cache / "unfinished.onnx",
            Pictures(name, files[:PICTURES]),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        simplified.unlink()
        (cache / "unfinished.onnx").rename(path)
    return path


def quantized_tin(program, model, calibration, cache):
    """The .tin file, made anew each time: the compiler may have changed."""
    path = cache / f"{model.stem}.tin"
    command = [program, "quantize", model, "--calibration", calibration, "--preset", "caffe-imagenet", "-o", path]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return path


def photos(folder):
    """The photos in a folder, in the order of their names."""
    files = sorted(file for file in Path(folder).iterdir() if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not files:
        raise SystemExit(f"{folder}: no photos to quantise with")
    return files
