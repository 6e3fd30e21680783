"""What the preview's server answers, asked over HTTP. How its page behaves is in test_serve_page.py."""

import base64
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mobile_kit.apps import serve
from mobile_kit.apps.web_preview import STEPS, TOP, Preview
from mobile_kit.evaluation.overlay import LEAST_SHARE
from mobile_kit.evaluation.predict import predict
from mobile_kit.evaluation.predictor import Predictor, class_map
from mobile_kit.preprocessing import image_files as images
from mobile_kit.preprocessing.synthetic_images import scene
from tests.conftest import Answer
from tests.exports import Export
from tests.parity import photos
from tests.serving import Said, Server, encoded, served
from tests.small_families import HIERA

pytest.importorskip("starlette", reason="the extra `serve` isn't installed")
pytest.importorskip("uvicorn", reason="the extra `serve` isn't installed")

Command = Callable[..., Answer]
EVIL = "<script>alert('x')</script>"


def decoded(png: str) -> Any:
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def classifier(digits: Export) -> Iterator[Server]:
    with served(digits["tflite-fp32"]) as server:
        yield server


def test_a_photo_gets_its_top_classes_and_times(
    classifier: Server, views: list[tuple[bytes, str]], digits: Export, tmp_path: Path
) -> None:
    data, label = views[0]
    said = classifier.ask("POST", "/answer?name=digit.png", data)
    assert said.status == 200
    assert said.headers["content-type"] == "application/json"
    answer = said.json
    (tmp_path / "digit.png").write_bytes(data)
    expected = predict(digits["tflite-fp32"], tmp_path / "digit.png", TOP)
    assert [(each["label"], each["score"]) for each in answer["classes"]] == list(expected.classes)
    assert answer["classes"][0]["label"] == label
    assert (answer["figure"], answer["outputs"], answer["map"]) == ("probability", None, None)
    assert tuple(answer["ms"]) == STEPS
    assert all(value > 0 for value in answer["ms"].values())
    preprocess = classifier.preview.predictor.manifest.preprocess
    assert np.array_equal(decoded(answer["seen"]), preprocess.geometry(images.decode_image(data, "digit.png")))


def test_a_jpeg_of_a_phone_is_turned_upright(classifier: Server, views: list[tuple[bytes, str]]) -> None:
    data, label = views[0]
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    with Image.open(io.BytesIO(data)) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(stream, "JPEG", quality=95, exif=exif)
    assert classifier.ask("POST", "/answer", stream.getvalue()).json["classes"][0]["label"] == label


@pytest.mark.parametrize(("fixture", "name"), [("segmentation", "coreml-fp16"), ("mask", "tflite-fp32")])
def test_a_segmentation_gets_its_map_and_legend(fixture: str, name: str, request: pytest.FixtureRequest) -> None:
    exported: Export = request.getfixturevalue(fixture)
    photo = photos(exported.checkpoint, 3)[0]
    with served(exported[name]) as server:
        answer = server.ask("POST", "/answer", encoded(photo)).json
        predictor = server.preview.predictor
    assert (answer["figure"], answer["outputs"]) == ("share", None)
    painted, seen = decoded(answer["map"]), decoded(answer["seen"])
    assert painted.shape == seen.shape == (96, 96, 3)
    assert np.array_equal(seen, predictor.manifest.preprocess.geometry(photo))
    classes = class_map(predictor.manifest, predictor.outputs(photo))
    assert len(answer["classes"]) > 1
    for each in answer["classes"]:
        color = [int(part) for part in each["color"].removeprefix("rgb(").rstrip(")").split(",")]
        covered = (painted == color).all(-1)
        assert each["score"] >= LEAST_SHARE
        assert covered.mean() == pytest.approx(each["score"])
        assert {predictor.label(int(index)) for index in np.unique(classes[covered])} == {each["label"]}


def test_other_heads_get_their_outputs_norms(base: Export) -> None:
    with served(base["executorch-xnnpack-fp32"]) as server:
        photo = scene(7)
        answer = server.ask("POST", "/answer", encoded(photo)).json
        expected = server.preview.predictor.outputs(photo)
        page = server.ask("GET", "/").body.decode()
    assert (answer["figure"], answer["classes"], answer["map"]) == (None, None, None)
    assert [each["name"] for each in answer["outputs"]] == list(expected)
    for each, values in zip(answer["outputs"], expected.values(), strict=True):
        assert each["shape"] == list(values.shape)
        assert each["norm"] == pytest.approx(np.sqrt((values.astype(np.float64) ** 2).sum()))
    assert "L2 norm" in page


@pytest.mark.usefixtures("paper_targets")
def test_inputs_beside_the_image_are_the_golden_ones(tmp_path: Path, command: Command) -> None:
    folder = HIERA.save(HIERA.model("pretraining", (64, 64), {}), tmp_path / "hiera")
    assert command("export", folder, "--out", tmp_path, "--target", "paper").code == 0
    preview = Preview(tmp_path / "hiera" / "paper-fp32")
    answer = preview.answer(encoded(scene(1)), "scene.png")
    assert {each["name"] for each in answer["outputs"]} >= {"logits", "ids_restore"}


def test_numbers_that_are_not_finite_have_no_norm(base: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    preview = Preview(base["tflite-fp32"])
    monkeypatch.setattr(preview.predictor, "run", lambda seen: {"x": np.array([1.0, np.nan])})
    assert preview.answer(encoded(scene(1)), "a.png")["outputs"] == [{"name": "x", "shape": [2], "norm": None}]


def test_a_classifier_without_finite_numbers_says_so(
    classifier: Server, views: list[tuple[bytes, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {"probabilities": np.full((1, 20), np.nan)}
    monkeypatch.setattr(classifier.preview.predictor, "run", lambda seen: broken)
    said = classifier.ask("POST", "/answer?name=digit.png", views[0][0])
    assert said.status == 500
    assert "its probabilities aren't finite numbers for digit.png" in said.json["error"]


def test_a_gray_network_takes_colours_and_shows_gray(odd: Export) -> None:
    answer = Preview(odd["tflite-fp32"]).answer(encoded(scene(3)), "a.png")
    seen = decoded(answer["seen"])
    assert seen.shape == (104, 136, 3)
    assert (seen == seen[:, :, :1]).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "image: no bytes were sent"),
        (b"no image", "image my photo.png: can't be decoded (not an image"),
        (encoded(scene(1, 64, 64))[:2000], "image my photo.png: can't be decoded"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "not an image, or none of AVIF, BMP, GIF, JPEG, PNG, TIFF, WEBP"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "can't be decoded (not an image"),
    ],
    ids=["nothing", "text", "torn", "HEIC", "a program in PostScript"],
)
def test_what_is_no_image_gets_one_line(data: bytes, reason: str, classifier: Server) -> None:
    said = classifier.ask("POST", "/answer?name=my%20photo.png", data)
    assert said.status == 400
    assert reason in said.json["error"]
    assert "\n" not in said.json["error"]


def test_too_many_pixels_are_refused(classifier: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    said = classifier.ask("POST", "/answer", encoded(scene(1, 40, 40)))
    assert (said.status, "40x40 is more than 1000 pixels" in said.json["error"]) == (400, True)


@pytest.mark.parametrize("chunked", [False, True])
def test_too_many_bytes_are_refused(chunked: bool, classifier: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "MAX_BYTES", 1 << 20)
    data = bytes((1 << 20) + 1)
    said = classifier.ask("POST", "/answer", iter([data[: 1 << 19], data[1 << 19 :]]) if chunked else data)
    assert (said.status, said.json["error"]) == (413, "image: has more than 1 MB. Scale it down first.")


def test_as_many_bytes_as_are_allowed_are_read(classifier: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "MAX_BYTES", 1 << 20)
    said = classifier.ask("POST", "/answer", bytes(1 << 20))
    assert (said.status, "not an image" in said.json["error"]) == (400, True)


@pytest.mark.parametrize("path", ["/", "/golden.png", "/answer"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", ""])
def test_no_other_name_of_this_machine_is_answered(path: str, host: str, classifier: Server) -> None:
    """A site could let its own name point here (DNS rebinding): then the browser sends that name."""
    said = classifier.ask("GET", path, Host=host.format(port=classifier.port))
    assert said.status == 403
    assert "this machine alone" in said.json["error"]


def test_both_names_of_the_loopback_are_answered(classifier: Server) -> None:
    for host in ("127.0.0.1", "localhost"):
        assert classifier.ask("GET", "/", Host=f"{host}:{classifier.port}").status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:{port}"])
def test_no_other_site_s_page_is_answered(
    origin: str, classifier: Server, views: list[tuple[bytes, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []
    monkeypatch.setattr(classifier.preview, "answer", lambda data, name: computed.append(name))
    said = classifier.ask("POST", "/answer", views[0][0], Origin=origin.format(port=classifier.port))
    assert (said.status, computed) == (403, [])
    assert not [name for name in said.headers if name.startswith("access-control")]


def test_the_page_s_own_origin_is_answered(classifier: Server, views: list[tuple[bytes, str]]) -> None:
    said = classifier.ask("POST", "/answer", views[0][0], Origin=f"http://127.0.0.1:{classifier.port}")
    assert said.status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/answer", 405),
        ("PUT", "/answer", 405),
        ("OPTIONS", "/answer", 405),
        ("POST", "/", 405),
        ("POST", "/golden.png", 405),
        ("GET", "/manifest.json", 404),
        ("GET", "/../pyproject.toml", 404),
    ],
)
def test_nothing_else_is_served(method: str, path: str, status: int, classifier: Server) -> None:
    said = classifier.ask(method, path)
    assert said.status == status
    assert said.headers["x-content-type-options"] == "nosniff"


def test_the_golden_photo_is_served(classifier: Server, digits: Export) -> None:
    said = classifier.ask("GET", "/golden.png")
    assert said.headers["content-type"] == "image/png"
    assert said.body == (digits["tflite-fp32"] / "golden" / "photo.png").read_bytes()


def test_the_page_runs_its_own_script_only(classifier: Server) -> None:
    pages = [classifier.ask("GET", "/") for _ in range(2)]
    policies = [said.headers["content-security-policy"] for said in pages]
    assert policies[0] != policies[1]
    for said, policy in zip(pages, policies, strict=True):
        text, nonce = said.body.decode(), policy.partition("'nonce-")[2].partition("'")[0]
        assert len(nonce) >= 22
        assert text.count(f'nonce="{nonce}"') == 2
        assert text.count("<script") == text.count("<style") == 1
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert not [part for part in ("http://", "https://", "//cdn", "innerHTML", "eval(") if part in _code(text)]


def _code(text: str) -> str:
    # The one address of the page is in the advice for browsers that give no camera.
    return text.replace("http://127.0.0.1 or http://localhost", "")


def test_what_the_artifact_says_of_itself_becomes_no_markup(digits: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    preview = Preview(digits["tflite-fp32"])
    said = {**preview.facts(), "model": EVIL, "facts": {EVIL: EVIL}, "machine": EVIL}
    monkeypatch.setattr(Preview, "facts", lambda self: said)
    with served(digits["tflite-fp32"]) as server:
        text = server.ask("GET", "/").body.decode()
    assert text.count("<script") == 1
    assert text.count("&lt;script&gt;alert(&#39;x&#39;)") == 5


def test_where_an_interpreter_computes_the_page_says_that_its_time_means_nothing(
    digits: Export, classifier: Server
) -> None:
    native = classifier.ask("GET", "/").body.decode()
    assert "not on a phone" in native
    assert "means nothing" not in native
    with served(digits["coreml-fp32"]) as server:
        if server.preview.predictor.runtime.native:
            pytest.skip("Core ML itself computes here")
        text = server.ask("GET", "/").body.decode()
    assert "An interpreter computes this file here: the time of its inference means nothing." in text


def test_two_at_once_get_their_own_answers_one_after_the_other(
    classifier: Server, views: list[tuple[bytes, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, within, most = Predictor.run, threading.Semaphore(0), []

    def counted(self: Predictor, seen: Any) -> Any:
        within.release()
        most.append(within._value)
        time.sleep(0.05)
        found = run(self, seen)
        within.acquire()
        return found

    monkeypatch.setattr(Predictor, "run", counted)
    with ThreadPoolExecutor(4) as pool:
        said: list[Said] = list(pool.map(lambda view: classifier.ask("POST", "/answer", view[0]), views))
    assert [each.json["classes"][0]["label"] for each in said] == [label for _, label in views]
    assert most == [1] * len(views)


def test_the_thread_that_warms_up_computes(
    digits: Export, views: list[tuple[bytes, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the first photo's time would be that of starting threads and laying out memory."""
    answer, threads = Preview.answer, []

    def noted(self: Preview, data: bytes, name: str) -> Any:
        threads.append(threading.get_ident())
        return answer(self, data, name)

    monkeypatch.setattr(Preview, "answer", noted)
    with served(digits["tflite-fp32"]) as server:
        assert server.ask("POST", "/answer", views[0][0]).status == 200
    assert (len(threads), len(set(threads))) == (2, 1)


def test_an_artifact_in_another_folder_is_called_by_its_checkpoint(digits: Export, tmp_path: Path) -> None:
    moved = tmp_path / "Downloads" / "artifact"
    moved.parent.mkdir()
    moved.symlink_to(digits["tflite-fp32"])
    assert Preview(moved).facts()["model"] == digits.checkpoint.name


def test_a_browser_that_goes_away_stops_nothing(classifier: Server, views: list[tuple[bytes, str]]) -> None:
    with socket.create_connection(("127.0.0.1", classifier.port)) as half:
        half.sendall(b"POST /answer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nhalf of it")
    assert classifier.ask("POST", "/answer", views[0][0]).status == 200
