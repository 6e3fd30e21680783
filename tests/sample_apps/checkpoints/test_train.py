import pytest
import torch
from transformers import AutoModelForImageClassification

from sample_apps.checkpoints.digits import training_views
from sample_apps.checkpoints.recipes import RECIPES
from sample_apps.checkpoints.train import initialise


@pytest.mark.parametrize("family", sorted(RECIPES))
def test_initialised_weights_tell_images_apart(family: str) -> None:
    recipe = RECIPES[family]
    torch.manual_seed(0)
    model = AutoModelForImageClassification.from_config(recipe.config)
    initialise(model)
    images = [image for image, _ in training_views(8, seed=0)]
    with torch.no_grad():
        logits = model.train()(**recipe.processor(images=images, return_tensors="pt")).logits
    assert logits.std(0).min() > 0.1 * logits.std()


@pytest.mark.parametrize("family", sorted(RECIPES))
def test_the_last_stage_has_the_size_that_the_processor_delivers(family: str) -> None:
    recipe = RECIPES[family]
    images = [image for image, _ in training_views(1, seed=0)]
    pixels = recipe.processor(images=images, return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, recipe.stages[-1].size_px, recipe.stages[-1].size_px)


@pytest.mark.parametrize(("family", "tokens_before"), [("hiera", 0), ("vit_msn", 1)])
def test_every_place_starts_with_a_position_of_its_own(family: str, tokens_before: int) -> None:
    model = AutoModelForImageClassification.from_config(RECIPES[family].config)
    initialise(model)
    (positions,) = (p for name, p in model.named_parameters() if name.endswith("position_embeddings"))
    assert positions[0, :tokens_before].abs().sum() == 0
    places = positions[0, tokens_before:]
    assert torch.allclose(places.square().sum(1), torch.full((len(places),), places.shape[1] / 2))
    assert torch.cdist(places, places).fill_diagonal_(1).min() > 0.1
