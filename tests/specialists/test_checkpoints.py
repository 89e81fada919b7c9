"""Model files: named when missing, refused when strange, and read without running what they hold."""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.errors import ConfigError, WeightsMissing
from specialists.checkpoints import check_sha256, load_weights, peek, require, sha256_of, torch_load


class Trap:
    """Touches a file when it is unpickled, as a hostile checkpoint would run something worse."""

    def __init__(self, at: Path) -> None:
        self.at = at

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.at,)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing) as told:
        require(tmp_path / "no.pth", "get it from the page of its makers")
    assert str(told.value) == f"there is no file {tmp_path}/no.pth: get it from the page of its makers."
    (tmp_path / "yes.pth").touch()
    assert require(tmp_path / "yes.pth", "") == tmp_path / "yes.pth"


def test_the_hash_must_be_the_one_written_down(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(b"abc")
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert sha256_of(path) == abc
    check_sha256(path, abc, abc.upper())
    with pytest.raises(ConfigError, match=f'write sha256 = "{abc}"'):
        check_sha256(path, abc, None)
    with pytest.raises(ConfigError, match="damaged or another file"):
        check_sha256(path, abc, "0" * 64)


def test_a_state_dict_is_read_and_cast(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"weight": torch.full((2, 3), 0.5).half(), "bias": torch.ones(2).half()}, path)
    model = torch.nn.Linear(3, 2)
    load_weights(model, torch_load(path), path)
    assert model.weight.dtype == torch.float32
    assert model(torch.ones(1, 3)).tolist() == [[2.5, 2.5]]
    with pytest.raises(ConfigError, match=r"w\.pth does not fit the architecture .*size mismatch for weight"):
        load_weights(torch.nn.Linear(4, 2), torch_load(path), path)


@pytest.mark.parametrize("content", [b"", b"junk", b"not a checkpoint", b"PK\x03\x04 broken"])
def test_damaged_files_are_explained(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.pt"
    path.write_bytes(content)
    for read in (torch_load, peek):
        with pytest.raises(ConfigError, match=r"damaged\.pt"):
            read(path)


def test_nothing_in_a_checkpoint_runs(tmp_path: Path) -> None:
    path, touched = tmp_path / "trap.pt", tmp_path / "touched"
    torch.save({"model": Trap(touched), "epoch": 3}, path)
    assert peek(path)["epoch"] == 3
    with pytest.raises(ConfigError, match="holds more than the tensors"):
        torch_load(path)
    assert not touched.exists()
    torch.load(path, weights_only=False)
    assert touched.exists()  # the trap works


def test_peek_sees_values_and_attributes(tmp_path: Path) -> None:
    module = torch.nn.Conv2d(3, 4, 1)
    module.names = {0: "cat", 1: "dog"}
    path = tmp_path / "m.pt"
    torch.save({"model": module, "args": OrderedDict(size=640), "seen": {"a", "b"}, "list": [1, None, 2.5]}, path)
    found = peek(path)
    assert vars(found["model"])["names"] == {0: "cat", 1: "dog"}
    assert vars(found["model"])["out_channels"] == 4
    assert (found["args"], found["seen"], found["list"]) == ({"size": 640}, {"a", "b"}, [1, None, 2.5])


def test_a_zip_without_a_checkpoint_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ConfigError, match=r"other\.pt is no torch checkpoint"):
        peek(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other/data.pkl", pickle.dumps({"a": 1})[:-3])
    with pytest.raises(ConfigError, match=r"other\.pt is no torch checkpoint"):
        peek(path)
