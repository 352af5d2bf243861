import pytest
from pydantic import ValidationError

from pyproxy.istio.smi import TrafficSplitBackend


@pytest.mark.parametrize(("weight", "number"), [(90, 90), (0, 0), ("900m", 0.9), ("1", 1), (0.5, 0.5)])
def test_weights_are_numbers_or_the_quantities_of_v1alpha1(weight: object, number: float) -> None:
    assert TrafficSplitBackend.model_validate({"service": "a", "weight": weight}).weight == number


@pytest.mark.parametrize("weight", ["many", "1k", "m", "٣", True])
def test_anything_else_is_no_weight(weight: object) -> None:
    with pytest.raises(ValidationError):
        TrafficSplitBackend.model_validate({"service": "a", "weight": weight})
