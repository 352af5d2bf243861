from pyproxy.istio.kinds import KINDS
from pyproxy.istio.not_acted_on import (
    FIELDS_NOT_ACTED_ON,
    FIELDS_OF_THE_INSTALLATION,
    KINDS_NOT_ACTED_ON,
)


def test_every_entry_names_a_field_or_a_kind_that_exists() -> None:
    for table in (FIELDS_NOT_ACTED_ON, FIELDS_OF_THE_INSTALLATION):
        for model, names in table.items():
            assert names <= set(model.model_fields), model
    assert {kind for _, kind in KINDS} >= KINDS_NOT_ACTED_ON
