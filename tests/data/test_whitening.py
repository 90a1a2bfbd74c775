from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustdd.data import whitening
from robustdd.data.whitening import Whitening, fit
from robustdd.errors import UserError
from robustdd.rng import generator
from tests.reference import whitening as reference

torch.set_num_threads(1)


def random_images(seed: int, count: int = 60, channels: int = 3, size: int = 4) -> Tensor:
    smooth = torch.rand(count, channels, size, size, generator=generator("images", seed)).cumsum(2).cumsum(3)
    return (smooth / smooth.max() * 255).to(torch.uint8)


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 100), st.sampled_from([0.01, 0.1, 1.0]))
def test_zca_is_the_inverse_root_of_the_covariance(seed: int, epsilon: float) -> None:
    images = random_images(seed, count=20, channels=1)
    mean, covariance = reference.mean_and_covariance(images)
    root, inverse_root = reference.roots(covariance + epsilon * torch.eye(16, dtype=torch.float64))
    fitted = fit(images, "zca", epsilon)
    torch.testing.assert_close(fitted.mean.flatten(), mean)
    torch.testing.assert_close(fitted.matrix, inverse_root, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(fitted.inverse, root, atol=1e-9, rtol=1e-9)
    whitened = (images.double() / 255).flatten(1).sub(mean) @ inverse_root
    torch.testing.assert_close(fitted.apply(images).flatten(1), whitened.float(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["zca", "standard"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_way_there_and_back_is_the_identity(kind: str, seed: int) -> None:
    images = random_images(seed)
    fitted = fit(images, kind, 0.1)
    whitened = fitted.apply(images)
    assert whitened.dtype == torch.float32
    torch.testing.assert_close(fitted.invert(whitened), images.float() / 255, atol=1e-4, rtol=0)
    torch.testing.assert_close(fitted.apply(random_images(seed, 1)), fitted.apply(random_images(seed, 1)))


def test_the_whitened_covariance_has_the_eigenvalues_s_over_s_plus_epsilon() -> None:
    images = random_images(3, count=300)
    variances = torch.linalg.eigvalsh((images.double() / 255).flatten(1).T.cov())
    found = torch.linalg.eigvalsh(fit(images, "zca", 0.1).apply(images).flatten(1).double().T.cov())
    torch.testing.assert_close(found, variances / (variances + 0.1), atol=1e-5, rtol=1e-5)


def test_standardised_training_images_have_mean_0_and_deviation_1_a_channel() -> None:
    images = random_images(4, count=50)
    standard = fit(images, "standard", 0.1).apply(images)
    torch.testing.assert_close(standard.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(standard.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["zca", "standard"])
def test_chunks_do_not_show(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = random_images(5)
    whole = fit(images, kind, 0.1)
    monkeypatch.setattr(whitening, "_CHUNK", 7)
    chunked = fit(images, kind, 0.1)
    for name, tensor in chunked.tensors().items():
        assert tensor.dtype == torch.float64
        torch.testing.assert_close(tensor, whole.tensors()[name], atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(chunked.apply(images), whole.apply(images), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(chunked.invert(whole.apply(images)), images.float() / 255, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["zca", "standard"])
def test_a_whitening_survives_its_tensors(kind: str) -> None:
    images = random_images(6)
    before = images.clone()
    fitted = fit(images, kind, 0.1)
    again = Whitening.from_tensors(fitted.tensors())
    assert torch.equal(again.apply(images), fitted.apply(images))
    assert torch.equal(again.invert(fitted.apply(images)), fitted.invert(fitted.apply(images)))
    assert torch.equal(images, before)


def test_constant_pixels_are_whitened_with_an_epsilon_and_refused_without() -> None:
    images = random_images(7)
    images[:, :, 0] = 30
    fitted = fit(images, "zca", 0.1)
    torch.testing.assert_close(fitted.invert(fitted.apply(images)), images.float() / 255, atol=1e-4, rtol=0)
    with pytest.raises(UserError, match="zca_epsilon 0"):
        fit(images, "zca", 0)
    images[:, 1] = 30
    with pytest.raises(UserError, match="constant; use zca"):
        fit(images, "standard", 0.1)


def test_what_does_not_fit_is_refused() -> None:
    images = random_images(8)
    with pytest.raises(UserError, match="expected 2 or more uint8 images"):
        fit(images[:1], "zca", 0.1)
    with pytest.raises(UserError, match=r"got torch.float32 \[60, 3, 4, 4\]"):
        fit(images.float(), "zca", 0.1)
    with pytest.raises(UserError, match="expected zca or standard, got 'pca'"):
        fit(images, "pca", 0.1)
    fitted = fit(images, "zca", 0.1)
    with pytest.raises(UserError, match="expected uint8 images"):
        fitted.apply(images.float())
    for other in (images[:, :, :, :3], images[:, :1], images[0]):
        with pytest.raises(UserError, match=r"with \[3, 4, 4\] after n"):
            fitted.apply(other)
    with pytest.raises(UserError, match=r"with \[3\] after n"):
        fit(images, "standard", 0.1).invert(torch.zeros(2, 1, 4, 4))


def test_zca_is_that_of_kornia() -> None:
    kornia = pytest.importorskip("kornia")
    images = random_images(9, count=200)
    oracle = kornia.enhance.ZCAWhitening(eps=0.1, compute_inv=True).fit(images.double() / 255)
    fitted = fit(images, "zca", 0.1)
    torch.testing.assert_close(fitted.apply(images).double(), oracle(images.double() / 255), atol=1e-5, rtol=1e-5)
