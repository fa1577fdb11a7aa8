"""Which version each feature needs, as specs-go/version.go of the reference library has it."""

from __future__ import annotations

import pytest

import cdi
from cdi import versions

PLAIN = cdi.ContainerEdits(env=("A=1",))
MOUNT = cdi.Mount(host_path="/a", container_path="/b", type="none")
NODE = cdi.DeviceNode(path="/dev/a", host_path="/dev/b")
NET = cdi.NetDevice(host_interface_name="a", name="b")
EDITS = {
    "0.4.0 mounts[0].type": cdi.ContainerEdits(mounts=(MOUNT,)),
    "0.5.0 deviceNodes[0].hostPath": cdi.ContainerEdits(device_nodes=(NODE,)),
    "0.7.0 additionalGids": cdi.ContainerEdits(additional_gids=(0,)),
    "0.7.0 intelRdt": cdi.ContainerEdits(intel_rdt=cdi.IntelRdt()),
    "1.1.0 intelRdt.schemata": cdi.ContainerEdits(intel_rdt=cdi.IntelRdt(schemata=("a",))),
    "1.1.0 intelRdt.enableMonitoring": cdi.ContainerEdits(
        intel_rdt=cdi.IntelRdt(enable_monitoring=True)
    ),
    "1.1.0 netDevices": cdi.ContainerEdits(net_devices=(NET,)),
}


def spec(
    name: str = "eth1",
    edits: cdi.ContainerEdits = PLAIN,
    kind: str = "vendor.com/net",
    annotations: tuple[tuple[str, str], ...] = (),
) -> cdi.Spec:
    device = cdi.Device(name=name, edits=edits, annotations=annotations)
    return cdi.Spec(kind=kind, devices=(device,))


def test_a_spec_with_no_feature_needs_the_earliest() -> None:
    assert spec().version == versions.EARLIEST == "0.3.0"
    assert versions.newest_feature(spec()) == ("0.3.0", "")


@pytest.mark.parametrize(("feature", "edits"), EDITS.items(), ids=EDITS.keys())
def test_an_edit_needs_its_version_in_a_device_and_for_the_whole_file(
    feature: str, edits: cdi.ContainerEdits
) -> None:
    version, place = feature.split()
    in_device = spec(edits=edits)
    assert versions.newest_feature(in_device) == (version, f"devices[0].containerEdits.{place}")
    whole = cdi.Spec(kind="vendor.com/net", devices=spec().devices, edits=edits)
    assert versions.newest_feature(whole) == (version, f"containerEdits.{place}")


@pytest.mark.parametrize(
    ("found", "version", "path"),
    [
        (spec(name="1eth"), "0.5.0", "devices[0].name"),
        (spec(kind="vendor.com/net.fast"), "0.6.0", "kind"),
        (spec(annotations=(("a", "b"),)), "0.6.0", "devices[0].annotations"),
        (
            cdi.Spec(kind="ve/ne", devices=spec().devices, annotations=(("a", "b"),)),
            "0.6.0",
            "annotations",
        ),
    ],
    ids=["device name with a digit first", "dot in the class", "device annotations", "annotations"],
)
def test_a_name_or_an_annotation_needs_its_version(
    found: cdi.Spec, version: str, path: str
) -> None:
    assert versions.newest_feature(found) == (version, path)


def test_of_several_features_the_newest_counts() -> None:
    edits = EDITS["0.4.0 mounts[0].type"] + EDITS["1.1.0 netDevices"]
    assert spec(name="1", edits=edits).version == "1.1.0"


def test_a_version_that_is_given_stays_and_loses_its_v() -> None:
    device = spec().devices
    assert cdi.Spec(kind="ve/ne", devices=device, version="v0.8.0").version == "0.8.0"


def test_a_version_too_low_is_refused_with_the_field_that_needs_more() -> None:
    plain = cdi.encode(spec(edits=EDITS["1.1.0 netDevices"])) | {"cdiVersion": "1.0.0"}
    with pytest.raises(cdi.SpecError) as caught:
        cdi.decode(plain, source="a.json")
    assert str(caught.value) == (
        "a.json: cdiVersion: 1.0.0 is lower than 1.1.0,"
        " needed for devices[0].containerEdits.netDevices"
    )
