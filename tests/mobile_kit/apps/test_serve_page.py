"""The preview's page in a headless Chromium: dropped, chosen and pasted images, and a camera."""

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mobile_kit.apps import serve
from mobile_kit.apps.web_preview import TOP, Preview
from mobile_kit.preprocessing.synthetic_images import scene
from sample_apps.checkpoints.digits import LABELS, held_out_views
from tests.browser import Page, browsing, opened
from tests.exports import Export
from tests.parity import photos
from tests.serving import Server, served

pytest.importorskip("starlette", reason="the extra `serve` isn't installed")
pytest.importorskip("uvicorn", reason="the extra `serve` isn't installed")
pytestmark = browsing

EVIL = "<img src=x onerror=\"document.title='evil'\">"
CAMERA_PX = (240, 320)
ROWS = "[...document.querySelectorAll('#classes li')].map(row => [...row.querySelectorAll('span.label, span.score')]"
CLASSES = f"{ROWS}.map(part => part.textContent))"
SHOWN = "!document.getElementById('answer').hidden"
ERROR = "document.getElementById('error').textContent"


def hidden(name: str) -> str:
    return f"document.getElementById('{name}').hidden"


@pytest.fixture(scope="module")
def digit() -> tuple[NDArray[np.uint8], str]:
    """A photo of another size than the network's, and what is on it."""
    image, label = next(held_out_views(1, seed=5, size_px=CAMERA_PX[0]))
    return image, LABELS[label]


@pytest.fixture
def photo(digit: tuple[NDArray[np.uint8], str], tmp_path: Path) -> Path:
    path = tmp_path / "digit & co.png"
    Image.fromarray(digit[0]).save(path)
    return path


@pytest.fixture(scope="module")
def browser(digit: tuple[NDArray[np.uint8], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser whose camera sees the digit."""
    folder = tmp_path_factory.mktemp("browser")
    video = folder / "camera.y4m"
    video.write_bytes(y4m(digit[0]))
    camera = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={video}")
    with opened(folder / "profile", *camera) as page:
        yield page


@pytest.fixture(scope="module")
def classifier(digits: Export) -> Iterator[Server]:
    with served(digits["tflite-fp32"]) as server:
        yield server


@pytest.fixture
def page(browser: Page, classifier: Server) -> Page:
    """The classifier's page, just opened in a large light window."""
    browser.look(1200)
    browser.open(classifier.address)
    browser.complaints.clear()
    return browser


def y4m(image: NDArray[np.uint8]) -> bytes:
    """Return a still film of an image in the middle of a camera's frame: YUV4MPEG2, 4:2:0, values as ITU-R BT.601."""
    height, width = CAMERA_PX
    side = (width - image.shape[1]) // 2
    frame = Image.fromarray(np.pad(image, ((0, 0), (side, side), (0, 0)), mode="edge"))
    luma, *chroma = frame.convert("YCbCr").split()
    halves = [np.asarray(plane.resize((width // 2, height // 2)), dtype=float) for plane in chroma]
    planes = [16 + np.asarray(luma) * (219 / 255), *(128 + (half - 128) * (224 / 255) for half in halves)]
    data = b"".join(np.rint(plane).astype(np.uint8).tobytes() for plane in planes)
    return f"YUV4MPEG2 W{width} H{height} F30:1 Ip A1:1 C420jpeg\n".encode() + (b"FRAME\n" + data) * 2


def allow_camera(page: Page, address: str, setting: str) -> None:
    page.send("Browser.setPermission", permission={"name": "camera"}, setting=setting, origin=address.removesuffix("/"))


def test_a_dropped_image_gets_its_top_classes(
    page: Page, photo: Path, classifier: Server, digit: tuple[NDArray[np.uint8], str]
) -> None:
    page.drop([photo], "#stage")
    page.wait(SHOWN)
    answer = classifier.preview.answer(photo.read_bytes(), photo.name)
    shown = page.tell(CLASSES)
    assert shown == [[each["label"], f"{100 * each['score']:.1f} %"] for each in answer["classes"]]
    assert (len(shown), shown[0][0]) == (TOP, digit[1])
    widths = page.tell("[...document.querySelectorAll('#classes .bar i')].map(bar => parseFloat(bar.style.width))")
    assert widths == pytest.approx([100 * each["score"] for each in answer["classes"]], abs=0.01)
    for step in ("preprocess", "inference", "postprocess"):
        assert float(page.tell(f"document.getElementById('{step}').textContent").removesuffix(" ms")) > 0
    # The pictures are there, and a screen reader is told.
    assert page.wait("document.getElementById('photo').naturalWidth") == CAMERA_PX[0]
    assert page.wait("document.getElementById('seen').naturalWidth") == 128
    assert page.tell("document.getElementById('status').textContent") == ", ".join(shown[0])
    assert page.tell("document.getElementById('calls').textContent").startswith("One call; ")
    assert page.complaints == []


def test_a_chosen_image_and_the_golden_photo_are_computed(
    page: Page, photo: Path, classifier: Server, digit: tuple[NDArray[np.uint8], str]
) -> None:
    page.choose(photo, "#file")
    page.wait(SHOWN)
    assert page.tell(CLASSES)[0][0] == digit[1]
    page.tell("document.getElementById('golden').click()")
    golden = classifier.preview.answer(classifier.preview.golden_photo, "golden")
    best = golden["classes"][0]
    page.wait(f"{CLASSES}[0][1] === '{100 * best['score']:.1f} %'")
    assert page.tell(CLASSES)[0][0] == best["label"]
    assert page.complaints == []


def test_a_pasted_image_is_computed(page: Page, photo: Path, digit: tuple[NDArray[np.uint8], str]) -> None:
    data = list(photo.read_bytes())
    page.tell(
        "(() => {const clipboardData = new DataTransfer();"
        f"clipboardData.items.add(new File([new Uint8Array({data})], 'image.png', {{type: 'image/png'}}));"
        "document.body.dispatchEvent(new ClipboardEvent('paste', {clipboardData, bubbles: true}))})()"
    )
    page.wait(SHOWN)
    assert page.tell(CLASSES)[0][0] == digit[1]


def test_the_keyboard_is_enough(page: Page) -> None:
    """Tab goes through the controls in their order, and Enter presses."""
    reached = []
    for _ in range(3):
        for kind in ("keyDown", "keyUp"):
            page.send("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(page.tell("document.activeElement.id"))
    assert reached == ["choose", "camera", "golden"]
    page.send("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    page.wait(SHOWN)
    assert len(page.tell(CLASSES)) == TOP


def test_a_camera_is_watched_until_it_is_stopped(
    page: Page, classifier: Server, digit: tuple[NDArray[np.uint8], str]
) -> None:
    allow_camera(page, classifier.address, "granted")
    page.tell("document.getElementById('camera').click()")
    page.wait(f"{SHOWN} && parseInt(document.getElementById('calls').textContent.slice(10)) >= 5")
    assert page.tell(CLASSES)[0][0] == digit[1]
    assert page.tell("document.getElementById('calls').textContent").startswith("Median of ")
    assert page.tell("[video.videoHeight, video.videoWidth]") == list(CAMERA_PX)
    assert page.tell("document.getElementById('camera').getAttribute('aria-pressed')") == "true"
    page.tell("window.track = video.srcObject.getVideoTracks()[0]")
    page.tell("document.getElementById('camera').click()")
    assert page.tell("[track.readyState, video.srcObject, video.hidden]") == ["ended", None, True]
    assert page.complaints == []


def test_a_dropped_image_stops_the_camera(page: Page, photo: Path, classifier: Server) -> None:
    allow_camera(page, classifier.address, "granted")
    page.tell("document.getElementById('camera').click()")
    page.wait(f"{SHOWN} && !!video.srcObject")
    page.drop([photo], "#stage")
    page.wait("!video.srcObject && !document.getElementById('photo').hidden")
    assert page.tell("document.getElementById('camera').textContent") == "Use the camera"


def test_a_refused_camera_is_said_in_a_line(page: Page, classifier: Server) -> None:
    allow_camera(page, classifier.address, "denied")
    page.tell("document.getElementById('camera').click()")
    page.wait(f"!{hidden('error')}")
    assert page.tell(ERROR).startswith("Camera: can't be used, as it was refused.")
    assert page.tell(hidden("answer"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NotFoundError", "as there is none. Connect one, or choose an image."),
        ("NotReadableError", "as it is in use. End the program that uses it, or choose an image."),
        ("AbortError", "as it broke. Try again, or choose an image."),
    ],
)
def test_a_camera_that_can_t_be_had_is_said_with_a_way_out(name: str, said: str, page: Page) -> None:
    page.tell(f"navigator.mediaDevices.getUserMedia = async () => {{throw new DOMException('it broke', '{name}')}}")
    page.tell("document.getElementById('camera').click()")
    page.wait(f"!{hidden('error')}")
    assert page.tell(ERROR) == f"Camera: can't be used, {said}"


def test_an_image_that_is_given_before_the_camera_is_refused_stays(page: Page, photo: Path) -> None:
    page.tell("navigator.mediaDevices.getUserMedia = () => new Promise((_, refuse) => {window.refuse = refuse})")
    page.tell("document.getElementById('camera').click()")
    page.drop([photo], "#stage")
    page.wait(SHOWN)
    page.tell("refuse(new DOMException('', 'NotAllowedError'))")
    assert page.tell(f"new Promise(requestAnimationFrame).then(() => [{hidden('error')}, {SHOWN}])") == [True, True]


def test_a_camera_that_goes_away_is_said(page: Page, classifier: Server) -> None:
    allow_camera(page, classifier.address, "granted")
    page.tell("document.getElementById('camera').click()")
    page.wait(f"{SHOWN} && !!video.srcObject")
    page.tell("video.srcObject.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
    assert page.tell(ERROR).startswith("Camera: it went away.")
    assert page.tell("video.srcObject") is None


def test_an_answer_that_is_no_longer_of_the_image_is_dimmed(
    page: Page, photo: Path, classifier: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.drop([photo], "#stage")
    page.wait(SHOWN)
    answer, going = classifier.preview.answer, threading.Event()

    def waiting(data: bytes, name: str) -> Any:
        assert going.wait(60)
        return answer(data, name)

    monkeypatch.setattr(classifier.preview, "answer", waiting)
    page.drop([photo], "#stage")
    page.wait("document.getElementById('answer').getAttribute('aria-busy') === 'true'")
    page.wait("getComputedStyle(document.getElementById('answer')).opacity === '0.3'")
    going.set()
    page.wait("!document.getElementById('answer').hasAttribute('aria-busy')")
    assert page.tell("getComputedStyle(document.getElementById('answer')).opacity") == "1"


def test_too_many_windows_are_said(page: Page, photo: Path) -> None:
    page.tell("window.fetch = async () => new Response('Service Unavailable', {status: 503})")
    page.drop([photo], "#stage")
    page.wait(f"!{hidden('error')}")
    assert page.tell(ERROR) == "The preview is open in too many windows. Close some and try again."


def test_what_is_no_image_takes_the_place_of_no_answer(page: Page, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "<b>text.png").write_text("no image")
    page.drop([photo], "#stage")
    page.wait(SHOWN)
    page.drop([tmp_path / "<b>text.png"], "#stage")
    page.wait(f"!{hidden('error')}")
    assert page.tell(ERROR).startswith("image <b>text.png: can't be decoded (not an image")
    assert page.tell(hidden("answer"))
    page.wait(f"{hidden('photo')} && !document.getElementById('stage').classList.contains('filled')")
    page.drop([photo], "#stage")
    page.wait(SHOWN)
    assert page.tell(hidden("error"))


def test_too_large_an_image_is_not_even_sent(
    browser: Page, digits: Export, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "MAX_BYTES", 4 << 10)
    asked: list[str] = []
    with served(digits["tflite-fp32"]) as server:
        monkeypatch.setattr(Preview, "answer", lambda self, data, name: asked.append(name))
        browser.open(server.address)
        browser.drop([photo], "#stage")
        browser.wait(f"!{hidden('error')}")
        assert "Scale it down first." in browser.tell(ERROR)
    assert asked == []


def test_a_server_that_has_ended_is_said(browser: Page, digits: Export, photo: Path) -> None:
    with served(digits["tflite-fp32"]) as server:
        browser.open(server.address)
    browser.drop([photo], "#stage")
    browser.wait(f"!{hidden('error')}")
    assert browser.tell(ERROR) == "The preview doesn't answer. Start mobile-kit serve again."


def test_labels_become_no_markup(page: Page, photo: Path, classifier: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier.preview.predictor, "label", lambda index: EVIL)
    page.drop([photo], "#stage")
    page.wait(SHOWN)
    assert page.tell(CLASSES)[0][0] == EVIL
    assert page.tell("document.querySelectorAll('#classes img').length") == 0
    assert page.complaints == []


@pytest.mark.parametrize(("label", "direction"), [("قطة (cat)", "rtl"), ("猫 (cat)", "ltr")])
def test_labels_run_as_their_script_does(
    label: str, direction: str, page: Page, photo: Path, classifier: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier.preview.predictor, "label", lambda index: label)
    page.drop([photo], "#stage")
    page.wait(SHOWN)
    assert page.tell(CLASSES)[0][0] == label
    assert page.tell("getComputedStyle(document.querySelector('#classes bdi')).direction") == direction


def test_a_segmentation_shows_its_classes_over_the_image(browser: Page, segmentation: Export, tmp_path: Path) -> None:
    path = tmp_path / "scene.png"
    Image.fromarray(photos(segmentation.checkpoint, 3)[0]).save(path)
    browser.complaints.clear()
    browser.look(1200)
    with served(segmentation["tflite-fp32"]) as server:
        browser.open(server.address)
        browser.drop([path], "#stage")
        browser.wait(f"{SHOWN} && document.getElementById('map').naturalWidth")
        answer = server.preview.answer(path.read_bytes(), path.name)
        assert browser.tell(CLASSES) == [[each["label"], f"{100 * each['score']:.1f} %"] for each in answer["classes"]]
        colors = browser.tell("[...document.querySelectorAll('.swatch')].map(each => each.style.backgroundColor)")
        assert colors == [each["color"] for each in answer["classes"]]
        # Sliding to the end leaves the colours alone.
        box = browser.tell("Object.values(document.getElementById('layers').getBoundingClientRect().toJSON())")
        browser.tell("strength.value = 100; strength.dispatchEvent(new Event('input'))")
        with Image.open(io.BytesIO(browser.picture())) as shot:
            found = np.asarray(shot.convert("RGB"))
        row, column = int(box[1] + box[3] / 2), int(box[0] + box[2] / 2)
        palette = [[int(part) for part in each["color"][4:-1].split(",")] for each in answer["classes"]]
        assert found[row, column].tolist() in palette
    assert browser.complaints == []


def test_other_heads_show_names_shapes_and_norms(browser: Page, base: Export, tmp_path: Path) -> None:
    path = tmp_path / "scene.png"
    Image.fromarray(scene(3)).save(path)
    with served(base["tflite-fp32"]) as server:
        browser.open(server.address)
        browser.drop([path], "#stage")
        browser.wait(SHOWN)
        answer = server.preview.answer(path.read_bytes(), path.name)
        rows = browser.tell("[...outputs.rows].map(row => [...row.cells].map(cell => cell.textContent))")
    assert [row[0] for row in rows] == [each["name"] for each in answer["outputs"]]
    assert [row[1] for row in rows] == [" x ".join(map(str, each["shape"])) for each in answer["outputs"]]
    assert [float(row[2]) for row in rows] == pytest.approx([each["norm"] for each in answer["outputs"]], rel=1e-5)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1200])
def test_it_fits_the_screen_and_is_readable(width: int, dark: bool, page: Page, photo: Path) -> None:
    page.look(width, dark)
    page.drop([photo], "#stage")
    page.wait(SHOWN)
    assert page.tell("document.documentElement.scrollWidth") <= width
    assert page.tell("Math.min(...[...document.querySelectorAll('button')].map(each => each.offsetHeight))") >= 40
    ratios = page.tell(CONTRAST)
    # WCAG 2.2, 1.4.3: at least 4.5 for text.
    assert min(ratios.values()) >= 4.5, json.dumps(ratios)


CONTRAST = """(() => {
  const light = (text) => {
    const parts = text.match(/[\\d.]+/g).slice(0, 3).map((each) => each / 255);
    const [r, g, b] = parts.map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const clear = (color) => /, 0\\)$/.test(color) || color === 'transparent';
  const behind = (node) => {
    const color = getComputedStyle(node).backgroundColor;
    return clear(color) && node.parentElement ? behind(node.parentElement) : color;
  };
  const found = {};
  for (const node of document.querySelectorAll('h1, h2, p, dt, dd, button, figcaption, .label, .score, footer, code')) {
    if (!node.textContent || !node.offsetHeight) continue;
    const pair = [light(getComputedStyle(node).color), light(behind(node))].sort((a, b) => b - a);
    found[node.textContent.trim()] = (pair[0] + 0.05) / (pair[1] + 0.05);
  }
  return found;
})()"""
