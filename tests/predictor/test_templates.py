"""The published templates are all there, and each has one place for the label."""

from chiasm.predictor.templates import ENSEMBLES, IMAGENET


def test_the_eighty_of_imagenet() -> None:
    assert len(IMAGENET) == len(set(IMAGENET)) == 80
    for template in IMAGENET:
        assert template.count("{}") == template.count("{") == template.count("}") == 1
        assert template == template.strip()
        assert template.endswith(".")


def test_the_ones_that_the_paper_prints() -> None:
    """Section 3.1.4 and the seven that its repository names as nearly as good as all."""
    assert {"a photo of a {}.", "itap of a {}.", "a bad photo of the {}.", "a origami {}."} <= {*IMAGENET}
    assert {"a photo of the large {}.", "a {} in a video game.", "art of the {}."} <= {*IMAGENET}
    assert "a photo of the small {}." in ENSEMBLES["imagenet"]
