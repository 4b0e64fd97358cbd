"""What an exported file (.onnx) says of itself."""

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from data import DataError


def read(path: Path) -> onnx.ModelProto:
    """The file's content.

    Raises:
        DataError: it is no ONNX file.
    """
    try:
        model = onnx.load(path)
    except DecodeError as error:
        raise DataError(f"{path}: no ONNX file, or a damaged one") from error
    if not model.graph.node:
        raise DataError(f"{path}: no ONNX file, or an empty one")
    return model


def labels(path: Path) -> list[str]:
    """The classes that export.py wrote into the file.

    Raises:
        DataError: it names none.
    """
    properties = {entry.key: entry.value for entry in read(path).metadata_props}
    if "labels" not in properties:
        raise DataError(f"{path}: names no classes; export it with export.py")
    return properties["labels"].split("\n")


def side(path: Path) -> int:
    """The side of the pictures that the file takes, in pixels."""
    return read(path).graph.input[0].type.tensor_type.shape.dim[2].dim_value
