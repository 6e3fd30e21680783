"""An adapter beside a checkpoint's weights: merged, or refused; never left out."""

import json
import shutil
import sys
from pathlib import Path

import huggingface_hub
import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageClassification

from mobile_kit.checkpoints.load import load
from mobile_kit.errors import CheckpointError, MissingToolError
from tests.small_families import VIT_MSN


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return VIT_MSN.save(VIT_MSN.model("classification", (32, 32), {}), tmp_path / "base")


@pytest.fixture
def tuned(base: Path) -> Path:
    """The base model with a LoRA adapter, and a classifier of its own, beside its weights."""
    model = AutoModelForImageClassification.from_pretrained(base, attn_implementation="eager").eval()
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], modules_to_save=["classifier"])
    adapted = peft.get_peft_model(model, config)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name or "modules_to_save" in name:
                parameter.add_(torch.randn_like(parameter))
    folder = base.with_name("tuned")
    shutil.copytree(base, folder)
    adapted.save_pretrained(folder)
    return folder


def logits(model: torch.nn.Module) -> torch.Tensor:
    torch.manual_seed(1)
    with torch.no_grad():
        found: torch.Tensor = model(torch.randn(2, 3, 32, 32)).logits
    return found


def test_a_merged_model_computes_what_transformers_does(base: Path, tuned: Path) -> None:
    theirs = AutoModelForImageClassification.from_pretrained(tuned, attn_implementation="eager").eval()
    assert any("lora" in name for name, _ in theirs.named_parameters())
    ours = load(str(tuned)).model
    assert not [name for name, _ in ours.named_parameters() if "lora" in name]
    assert torch.allclose(logits(ours), logits(theirs), atol=1e-5)
    assert not torch.allclose(logits(ours), logits(load(str(base)).model), atol=0.1)


def test_without_peft_it_is_refused_and_a_plain_checkpoint_is_not(
    base: Path, tuned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingToolError, match=r"pip install 'mobile-kit\[peft\]'\. Or merge it yourself"):
        load(str(tuned))
    load(str(base))


def test_an_adapter_with_gaps_is_refused(tuned: Path) -> None:
    path = tuned / "adapter_model.safetensors"
    tensors = load_file(path)
    for name in (min(tensors), max(tensors)):
        save_file({other: tensor for other, tensor in tensors.items() if other != name}, path)
        with pytest.raises(CheckpointError, match=r"its adapter lacks a tensor .*Save the adapter again, whole"):
            load(str(tuned))
    path.unlink()
    with pytest.raises(CheckpointError, match=r"has an adapter_config\.json, and no adapter_model\.safetensors"):
        load(str(tuned))


@pytest.mark.parametrize("kind", ["XLORA", "PROMPT_TUNING", None, ["LORA"] * 1000])
def test_a_kind_that_reads_elsewhere_or_is_no_weights_is_refused(kind: object, tuned: Path) -> None:
    config = json.loads((tuned / "adapter_config.json").read_text())
    elsewhere = {"adapters": {"0": "/other/folder"}}
    (tuned / "adapter_config.json").write_text(json.dumps({**config, **elsewhere, "peft_type": kind}))
    with pytest.raises(CheckpointError, match="its adapter is of the kind") as caught:
        load(str(tuned))
    assert len(str(caught.value)) < 500


def test_a_repository_s_adapter_is_fetched_with_its_weights(tuned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tuned.with_name("0123456789abcdef0123456789abcdef01234567")
    asked: list[str] = []

    def download(source: str, allow_patterns: list[str], **_: object) -> str:
        asked.extend(allow_patterns)
        cache.mkdir(exist_ok=True)
        for name in allow_patterns:
            if (tuned / name).is_file():
                shutil.copy(tuned / name, cache / name)
        return str(cache)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert torch.allclose(logits(load("someone/tuned").model), logits(load(str(tuned)).model))
    assert asked.index("model.safetensors") < asked.index("adapter_model.safetensors")


def test_an_adapter_of_another_model_is_refused(tuned: Path) -> None:
    config = json.loads((tuned / "adapter_config.json").read_text())
    (tuned / "adapter_config.json").write_text(json.dumps({**config, "target_modules": ["nowhere"]}))
    with pytest.raises(CheckpointError, match="its adapter can't be merged"):
        load(str(tuned))
