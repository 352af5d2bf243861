from pathlib import Path

import pytest
import yaml

from pyproxy.core.errors import CommandError
from pyproxy.lab.folder import write_documents
from pyproxy.lab.layout import Workload, choose_layout

SHIPPED = Path(__file__).parents[2] / "pyproxy" / "lab" / "documents"


def read(folder: Path, name: str) -> list[dict[str, dict[str, object]]]:
    return list(yaml.safe_load_all((folder / name).read_text()))


def test_on_the_shipped_subnet_the_documents_are_the_shipped_ones(tmp_path: Path) -> None:
    workloads = [Workload(w.service, w.version, f"127.0.1.{n}") for n, w in enumerate(choose_layout("none"), 1)]
    assert write_documents(tmp_path, workloads, 8080) == []
    written = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*.yaml")}
    assert written == {str(path.relative_to(SHIPPED)): path.read_text() for path in SHIPPED.rglob("*.yaml")}


def test_on_one_address_each_workload_has_ports_of_its_own(tmp_path: Path) -> None:
    workloads = choose_layout("none")
    write_documents(tmp_path, workloads, 8081)
    for workload in workloads:
        entry, sidecar = read(tmp_path / "workloads", f"{workload.name}.yaml")
        assert entry["spec"]["address"] == "127.0.0.1"
        assert entry["spec"]["ports"] == {"http": workload.service_port}
        (ingress,) = sidecar["spec"]["ingress"]  # type: ignore[misc]
        assert ingress["port"]["number"] == workload.service_port  # type: ignore[index]
        assert ingress["defaultEndpoint"] == f"127.0.0.1:{workload.app_port}"  # type: ignore[index]
    (gateway,) = read(tmp_path / "workloads", "gateway.yaml")
    assert gateway["spec"]["servers"][0]["port"]["number"] == 8081  # type: ignore[index]


def test_the_users_rules_stay_and_the_machines_addresses_are_renewed(tmp_path: Path) -> None:
    write_documents(tmp_path, choose_layout("none"), 8080)
    (tmp_path / "reviews.yaml").write_text("# mine\n")
    (tmp_path / "ratings.yaml").unlink()
    kept = write_documents(tmp_path, choose_layout("none"), 8081)
    assert kept == ["bookshop.yaml", "mesh.yaml", "reviews.yaml", "security.yaml", "services.yaml"]
    assert (tmp_path / "reviews.yaml").read_text() == "# mine\n"
    assert (tmp_path / "ratings.yaml").exists()
    assert "number: 8081" in (tmp_path / "workloads" / "gateway.yaml").read_text()


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match="--dir"):
        write_documents(tmp_path / "file", choose_layout("none"), 8080)
