import gzip
import hashlib
import io
import tarfile

import numpy as np
import pytest

import bayes_rpp as rpp
from bayes_rpp import datasets

RECORD = 3073
MEAN = np.array([0.4914, 0.4822, 0.4465])[:, None, None]
STD = np.array([0.2470, 0.2435, 0.2616])[:, None, None]
INSIDE = "cifar-10-batches-bin/"


@pytest.fixture(scope="module")
def batches():
    """Two records in each of the six files, as uint8 arrays of shape (2, 3073)."""
    rng = np.random.default_rng(0)
    names = [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]
    files = {name: rng.integers(256, size=(2, RECORD), dtype=np.uint8) for name in names}
    for records in files.values():
        records[:, 0] %= 10
    return files


def unpack(batches, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, records in batches.items():
        (folder / name).write_bytes(records.tobytes())
    return folder


def archive(batches, folder, hostile=()):
    """cifar-10-binary.tar.gz in the folder, other members first; its path and md5."""
    path = folder / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for member in hostile:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
        for name, records in reversed(batches.items()):  # in the real archive too the order is not that of the names
            member = tarfile.TarInfo(INSIDE + name)
            member.size = records.nbytes
            tar.addfile(member, io.BytesIO(records.tobytes()))
    return path, hashlib.md5(path.read_bytes()).hexdigest()


def check(data, records):
    assert data.x.shape == (len(records), 3072)
    assert data.x.dtype == data.y.dtype == np.float32
    assert (data.input_shape, data.classes, data.rep_out) == ((3, 32, 32), 10, 10 * rpp.Scalar)
    assert data.rep_in(data.group).size == 3072
    np.testing.assert_array_equal(data.y[:, 0], records[:, 0])
    pixels = (data.x.reshape(-1, *data.input_shape).astype(float) * STD + MEAN) * 255
    np.testing.assert_allclose(pixels.reshape(len(records), -1), records[:, 1:], atol=1e-4)
    rpp.Categorical().check(data.y, 10, "y")


@pytest.mark.parametrize("inside", ["", INSIDE])
def test_cifar10_from_unpacked_files(batches, tmp_path, inside):
    unpack(batches, tmp_path / inside)
    check(datasets.cifar10(tmp_path, verify=False), np.concatenate(list(batches.values())[:5]))
    check(datasets.cifar10(str(tmp_path), split="test", verify=False), batches["test_batch.bin"])


def test_cifar10_from_the_archive(batches, tmp_path):
    path, md5 = archive(batches, tmp_path)
    check(datasets.cifar10(tmp_path, verify=False), np.concatenate(list(batches.values())[:5]))
    check(datasets.cifar10(path, split="test", verify=False, checksum=md5.upper()), batches["test_batch.bin"])
    assert list(tmp_path.iterdir()) == [path]


def test_cifar10_of_full_size_is_verified(batches, tmp_path):
    full = np.repeat(batches["test_batch.bin"], 5000, axis=0)
    path, md5 = archive({"test_batch.bin": full}, tmp_path)
    data = datasets.cifar10(path, split="test", checksum=md5)
    assert data.x.shape == (10_000, 3072)
    check(datasets.Dataset(**{**vars(data), "x": data.x[4999:5001], "y": data.y[4999:5001]}), full[4999:5001])
    with pytest.raises(ValueError, match=r"md5 [0-9a-f]{32}; c32a1d4ab5d03f1284b67883e8d87530 would do"):
        datasets.cifar10(path, split="test")


def test_only_the_expected_members_are_read(batches, tmp_path):
    hostile = []
    for name in ("../test_batch.bin", "/tmp/test_batch.bin", INSIDE + "../test_batch.bin", "test_batch.bin"):
        hostile.append(tarfile.TarInfo(name))
        hostile[-1].size = RECORD
    link = tarfile.TarInfo(INSIDE + "test_batch.bin")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    folder = tmp_path / "one" / "two"
    folder.mkdir(parents=True)
    path, _ = archive(batches, folder, [*hostile, link])
    check(datasets.cifar10(folder, split="test", verify=False), batches["test_batch.bin"])
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]

    archive({}, folder, [*hostile, link])
    with pytest.raises(ValueError, match=r"has no file cifar-10-batches-bin/test_batch\.bin in it"):
        datasets.cifar10(folder, split="test", verify=False)


@pytest.mark.parametrize("compressed", [True, False])
def test_a_broken_archive_is_named(batches, tmp_path, compressed):
    path, md5 = archive(batches, tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:20_000] if compressed else gzip.compress(gzip.decompress(whole)[:20_000]))
    with pytest.raises(ValueError, match=r"md5 .* would do. Is it another version, or a download that broke off"):
        datasets.cifar10(tmp_path, verify=False, checksum=md5)
    with pytest.raises(ValueError, match="is no whole archive"):
        datasets.cifar10(tmp_path, verify=False)


def test_a_file_of_another_kind_is_no_archive(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ValueError, match="is no whole archive"):
        datasets.cifar10(tmp_path / "notes.txt", verify=False)


def test_sizes_and_labels_are_checked(batches, tmp_path):
    file = unpack(batches, tmp_path) / "test_batch.bin"
    with pytest.raises(ValueError, match=r"test_batch\.bin has 6146 bytes; 30730000, 10000 records of 3073"):
        datasets.cifar10(tmp_path, split="test")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="has 6145 bytes; one or more records of 3073"):
        datasets.cifar10(tmp_path, split="test", verify=False)
    wrong = batches["test_batch.bin"].copy()
    wrong[1, 0] = 10
    file.write_bytes(wrong.tobytes())
    with pytest.raises(ValueError, match=r"record 2 of test_batch\.bin has the label 10; 0 to 9 would do"):
        datasets.cifar10(tmp_path, split="test", verify=False)
    _, md5 = archive(batches, tmp_path)
    with pytest.raises(ValueError, match=r"has 6146 bytes; 30730000"):
        datasets.cifar10(tmp_path, checksum=md5)


def test_absent_files_say_what_to_download(batches, tmp_path):
    advice = r"download the binary version .* from the CIFAR-10 page of the University of Toronto, and put .*tar\.gz"
    with pytest.raises(FileNotFoundError, match=r"folder must exist, got .*nowhere'; " + advice):
        datasets.cifar10(tmp_path / "nowhere")
    with pytest.raises(
        FileNotFoundError, match=r"holds neither cifar-10-binary\.tar\.gz nor test_batch\.bin; " + advice
    ):
        datasets.cifar10(tmp_path, split="test")
    (unpack(batches, tmp_path) / "data_batch_3.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks data_batch_3\.bin; " + advice):
        datasets.cifar10(tmp_path, verify=False)


def test_bad_arguments_of_cifar10(batches, tmp_path):
    unpack(batches, tmp_path)
    with pytest.raises(ValueError, match="split must be 'train' or 'test', got 'all'"):
        datasets.cifar10(tmp_path, split="all")
    with pytest.raises(ValueError, match="checksum must be a md5 of 32 hexadecimal digits, or None, got 'abc'"):
        datasets.cifar10(tmp_path, checksum="abc")
    with pytest.raises(ValueError, match=r"checksum must be None, as.*, got one"):
        datasets.cifar10(tmp_path, checksum="0" * 32)
    with pytest.raises(TypeError, match="folder must be a folder's path, got 3"):
        datasets.cifar10(3)


def test_digits():
    pytest.importorskip("sklearn")
    data = datasets.digits()
    assert data.x.shape == (1797, data.rep_in(data.group).size) == (1797, 64)
    assert data.y.shape == (1797, 1)
    assert data.x.dtype == data.y.dtype == np.float32
    assert (data.input_shape, data.classes, data.rep_out) == ((1, 8, 8), 10, 10 * rpp.Scalar)
    assert abs(data.x.mean()) < 1e-3
    assert abs(data.x.std() - 1) < 1e-3
    grey = data.x * 6.017 + 4.884
    np.testing.assert_allclose(grey, grey.round(), atol=1e-4)
    assert (round(float(grey.min())), round(float(grey.max()))) == (0, 16)
    np.testing.assert_array_equal(data.y[:10, 0], np.arange(10))  # the file's order
    rpp.Categorical().check(data.y, 10, "y")


def test_digits_are_split_by_class():
    pytest.importorskip("sklearn")
    everything, train, test = (datasets.digits(split=s, seed=5) for s in ("all", "train", "test"))
    assert (len(train.x), len(test.x)) == (1437, 360)
    rows = np.concatenate([np.hstack([d.x, d.y]) for d in (train, test)])
    whole = np.hstack([everything.x, everything.y])
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], whole[np.lexsort(whole.T)])
    share = np.bincount(test.y[:, 0].astype(int)) - np.bincount(everything.y[:, 0].astype(int)) * 360 / 1797
    assert np.abs(share).max() < 1
    np.testing.assert_array_equal(test.x, datasets.digits(split="test", seed=5).x)
    assert not np.array_equal(test.x, datasets.digits(split="test", seed=6).x)


def test_the_group_of_digits_shifts_rows_and_columns():
    pytest.importorskip("sklearn")
    data = datasets.digits()
    x = data.x[0].astype(float)
    seen = set()
    for g in data.group.sample(20, seed=0):
        moved = (data.rep_in(data.group).rho(g) @ x).reshape(8, 8)
        down, right = int(g[:8, 0].argmax()), int(g[8:, 8].argmax())
        np.testing.assert_array_equal(moved, np.roll(x.reshape(8, 8), (down, right), axis=(0, 1)))
        seen.add((down, right))
        np.testing.assert_array_equal(data.rep_out(data.group).rho(g), np.eye(10))
    assert len(seen) > 10


def test_bad_arguments_of_digits():
    pytest.importorskip("sklearn")
    with pytest.raises(ValueError, match="split must be 'all', 'train' or 'test', got 'val'"):
        datasets.digits(split="val")
    with pytest.raises(ValueError, match="test_size must be a whole number of examples from 1 to 1796, got 1797"):
        datasets.digits(test_size=1797)
    with pytest.raises(ValueError, match="seed must be a whole number >= 0, got -1"):
        datasets.digits(seed=-1)
