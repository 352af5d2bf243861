from pyproxy.istio.deprecated import DEPRECATED_FIELDS, DEPRECATED_VALUES


def test_every_entry_names_a_field_that_exists() -> None:
    for model, names in DEPRECATED_FIELDS.items():
        assert set(names) <= set(model.model_fields), model
    for model, name, _ in DEPRECATED_VALUES:
        assert name in model.model_fields
