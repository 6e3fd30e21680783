"""Open a .tflite file with MediaPipe Tasks, as an app would; runs in an environment that has `mediapipe` 1.2.

    python mediapipe_client.py check
    python mediapipe_client.py classifier MODEL OUT.json IMAGE.. [--allow CATEGORY]
    python mediapipe_client.py segmenter MODEL OUT.npz IMAGE..
    python mediapipe_client.py metadata MODEL OUT.json

`check` ends with 1 and the reason where MediaPipe's library can't be loaded.
"""

import argparse
import json
from pathlib import Path

import mediapipe as mp
import numpy as np
from mediapipe.tasks.metadata import metadata_schema_py_generated as metadata_schema
from mediapipe.tasks.metadata import schema_py_generated as schema
from mediapipe.tasks.python import BaseOptions, vision
from mediapipe.tasks.python.core import mediapipe_c_bindings


def check() -> str | None:
    try:
        mediapipe_c_bindings.load_raw_library()
    except OSError as error:
        return f"MediaPipe: {error}. On Debian: apt-get install libegl1 libgles2."
    return None


def classifier(model: str, out: Path, images: list[str], allow: list[str] | None) -> None:
    options = vision.ImageClassifierOptions(BaseOptions(model_asset_path=model), category_allowlist=allow)
    with vision.ImageClassifier.create_from_options(options) as task:
        results = [task.classify(mp.Image.create_from_file(image)).classifications for image in images]
    out.write_text(
        json.dumps(
            [
                {head.head_name: [[c.index, c.category_name, c.score] for c in head.categories] for head in heads}
                for heads in results
            ]
        )
    )


def segmenter(model: str, out: Path, images: list[str]) -> None:
    base = BaseOptions(model_asset_path=model)
    options = vision.ImageSegmenterOptions(base, output_category_mask=True, output_confidence_masks=True)
    with vision.ImageSegmenter.create_from_options(options) as task:
        results = [task.segment(mp.Image.create_from_file(image)) for image in images]
        np.savez(
            out,
            labels=np.array(task.labels),
            masks=np.stack([r.category_mask.numpy_view().squeeze() for r in results]),
            confidences=np.stack(
                [np.stack([m.numpy_view().squeeze() for m in r.confidence_masks], axis=-1) for r in results]
            ),
        )


def metadata(model: str, out: Path) -> None:
    file = schema.ModelT.InitFromPackedBuf(Path(model).read_bytes())
    (entry,) = (entry for entry in file.metadata if entry.name == b"TFLITE_METADATA")
    content = file.buffers[entry.buffer].data.tobytes()
    note = metadata_schema.ModelMetadataT.InitFromPackedBuf(content)
    (graph,) = note.subgraphMetadata
    tensors = [*graph.inputTensorMetadata, *graph.outputTensorMetadata]
    said = {
        "identified": metadata_schema.ModelMetadata.ModelMetadataBufferHasIdentifier(content, 0),
        "name": note.name,
        "description": note.description,
        "version": note.version,
        "author": note.author,
        "license": note.license,
        "tensors": [[tensor.name, tensor.description] for tensor in tensors],
        "color_spaces": [tensor.content.contentProperties.colorSpace for tensor in tensors if tensor.content],
    }
    out.write_text(json.dumps(said, default=bytes.decode))


def main() -> str | None:
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=["check", "classifier", "segmenter", "metadata"])
    parser.add_argument("model", nargs="?")
    parser.add_argument("out", nargs="?", type=Path)
    parser.add_argument("images", nargs="*")
    parser.add_argument("--allow", action="append")
    args = parser.parse_args()
    match args.task:
        case "check":
            return check()
        case "classifier":
            classifier(args.model, args.out, args.images, args.allow)
        case "segmenter":
            segmenter(args.model, args.out, args.images)
        case "metadata":
            metadata(args.model, args.out)
    return None


if __name__ == "__main__":
    raise SystemExit(main())
