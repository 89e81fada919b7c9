"""Sources: real folders, tars, Parquet and manifests, local and in fsspec's memory file system."""

import contextlib
import io
import json
import os
import stat
import struct
import tarfile
from datetime import date

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import ImageError, SourceError
from engine.sources import Reader, SourceOptions, open_source, read_bytes, read_many
from engine.sources.locators import of_cell, of_file, of_range, parse

LIMIT = 10_000


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def write(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return str(folder)


def ids(source):
    return [item.image_id for item in source.items()]


def contents(source):
    return {item.image_id: read_bytes(item.uri, LIMIT) for item in source.items()}


# ---- folders ------------------------------------------------------------------------------------------------


def test_a_folder_gives_every_image_below_it_by_its_path(tmp_path):
    uri = write(
        tmp_path, {"b.jpg": b"1", "a/c.PNG": b"2", "a.webp": b"3", "notes.txt": b"", "a/.hidden.jpg": b"", "x": b""}
    )
    source = open_source(uri)
    assert contents(source) == {"a.webp": b"3", "a/c.PNG": b"2", "b.jpg": b"1"}
    assert source.ignored == {"(hidden)": 1, "(no ending)": 1, ".txt": 1}
    assert source.kind == "folder"
    assert all(os.path.isabs(item.uri) and item.meta == "{}" for item in source.items())


NAMES = st.lists(
    st.lists(
        st.text("ab.-0é/", min_size=1, max_size=3).filter(lambda p: "/" not in p and not p.startswith(".")),
        min_size=1,
        max_size=3,
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMES)
def test_a_folder_is_sorted_by_id_wherever_it_is(tmp_path_factory, paths):
    wanted = {"/".join([*parts[:-1], parts[-1] + ".jpg"]) for parts in paths}
    root = tmp_path_factory.mktemp("sorted")
    system = fsspec.filesystem("memory")
    system.store.clear()
    kept = set()
    for name in sorted(wanted):
        try:
            write(root, {name: b"x"})
        except OSError:  # one path is a folder here and a file there
            continue
        system.pipe(f"/sorted/{name}", b"x")
        kept.add(name)
    assert ids(open_source(str(root))) == sorted(kept)
    assert ids(open_source("memory://sorted")) == sorted(kept)
    system.store.clear()


def test_links_to_a_folder_above_are_not_followed_and_others_are(tmp_path):
    uri = write(tmp_path / "root", {"a/one.jpg": b"1"})
    write(tmp_path / "elsewhere", {"two.jpg": b"2"})
    (tmp_path / "root" / "a" / "up").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "root" / "pipe.jpg")
    source = open_source(uri)
    assert ids(source) == ["a/one.jpg", "b/two.jpg"]
    assert source.ignored == {"(link to a folder above)": 1, "(not a file)": 2}


def test_very_deep_folders(memory):
    memory.pipe("/deep/" + "d/" * 1500 + "a.jpg", b"1")
    assert len(ids(open_source("memory://deep"))) == 1


def test_tars_and_tables_are_the_source_where_images_lie_beside_them(tmp_path):
    uri = write(tmp_path, {"a.jpg": b"1", "b/s.tar": tar([("x.jpg", b"2")]), "b/c.jpg": b"3"})
    assert (open_source(uri).kind, ids(open_source(uri))) == ("folder", ["a.jpg", "b/c.jpg"])
    source = open_source(f"{uri}/b")
    assert contents(source) == {"x": b"2"}
    assert source.ignored == {".jpg": 1}
    write(tmp_path, {"b/x.parquet": b""})
    with pytest.raises(SourceError, match="both"):
        open_source(f"{uri}/b")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_an_error(tmp_path):
    uri = write(tmp_path, {"a/one.jpg": b"1"})
    (tmp_path / "a").chmod(0)
    with pytest.raises(SourceError, match="cannot read the folder"):
        ids(open_source(uri))
    (tmp_path / "a").chmod(stat.S_IRWXU)


def test_the_signature_changes_with_names_and_sizes_only(tmp_path):
    uri = write(tmp_path, {"a.jpg": b"123", "b.jpg": b"4"})
    first = open_source(uri).signature()
    write(tmp_path, {"a.jpg": b"xyz"})
    assert open_source(uri).signature() == first
    write(tmp_path, {"a.jpg": b"longer"})
    longer = open_source(uri).signature()
    write(tmp_path, {"c.jpg": b""})
    assert len({first, longer, open_source(uri).signature()}) == 3


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("nothing", "does not exist"), ("empty", "no images"), ("photo.jpg", "folder"), ("x.docx", "none of the known")],
)
def test_what_is_no_source_is_an_error_with_a_remedy(tmp_path, name, remedy):
    (tmp_path / "empty").mkdir()
    write(tmp_path, {"photo.jpg": b"1", "x.docx": b"1"})
    with pytest.raises(SourceError, match=remedy):
        ids(open_source(str(tmp_path / name)))


class Locked(fsspec.AbstractFileSystem):
    protocol = "locked"

    def exists(self, path, **kwargs):
        raise RuntimeError("no credentials")


def test_a_store_that_refuses_is_an_error_for_the_user():
    fsspec.register_implementation("locked", Locked, clobber=True)
    with pytest.raises(SourceError, match=r"RuntimeError: no credentials.*access"):
        open_source("locked://bucket/folder")


def test_an_unknown_protocol_is_an_error():
    with pytest.raises(SourceError, match="Protocol not known"):
        open_source("nosuch://bucket/folder")


def test_a_name_with_a_line_end_or_not_utf8_cannot_be_an_id(tmp_path):
    with pytest.raises(SourceError, match="line ends"):
        ids(open_source(write(tmp_path / "1", {"a\nb.jpg": b"1"})))
    (tmp_path / "2").mkdir()
    with open(os.fsencode(tmp_path / "2") + b"/\xff.jpg", "wb"):
        pass
    with pytest.raises(SourceError, match="UTF-8"):
        ids(open_source(str(tmp_path / "2")))


# ---- locators -----------------------------------------------------------------------------------------------


@given(st.text(max_size=20), st.sampled_from(["", "#file", "#offset=1&size=2", "#row_group=0&row=1&column=a", "#x"]))
def test_a_file_is_found_again_whatever_its_name(name, ending):
    assert parse(of_file(name + ending)).container == name + ending
    assert parse(of_file(name + ending)).span is None


@given(st.text(max_size=20), st.integers(0, 10**12), st.integers(0, 10**9), st.text(min_size=1, max_size=9))
def test_ranges_and_cells_are_found_again(name, offset, size, column):
    assert parse(of_range(name, offset, size)).span == (offset, size)
    found = parse(of_cell(name, size, offset, column))
    assert (found.container, found.cell) == (name, (size, offset, column))


def test_reading_refuses_what_is_too_large_gone_or_no_file(tmp_path, memory):
    write(tmp_path, {"a.jpg": b"12345", "odd.jpg#offset=0&size=2": b"whole"})
    memory.pipe("/m/a.jpg", b"12345")
    for uri in (str(tmp_path / "a.jpg"), "memory://m/a.jpg"):
        assert read_bytes(uri, 5) == b"12345"
        with pytest.raises(ImageError, match="max_bytes"):
            read_bytes(uri, 4)
        assert read_bytes(of_range(uri, 1, 3), 3) == b"234"
        with pytest.raises(ImageError, match="max_bytes"):
            read_bytes(of_range(uri, 1, 3), 2)
        with pytest.raises(ImageError, match="ends before"):
            read_bytes(of_range(uri, 3, 3), 9)
    assert read_bytes(of_file(str(tmp_path / "odd.jpg#offset=0&size=2")), 9) == b"whole"
    for gone in (
        str(tmp_path / "b.jpg"),
        str(tmp_path),
        "/dev/zero",
        "memory://m/b.jpg",
        "nosuch://x/y",
        str(tmp_path / "b\0"),
    ):
        with pytest.raises(ImageError, match="cannot read"):
            read_bytes(gone, LIMIT)


def test_many_are_read_in_order_with_errors_in_their_place(tmp_path):
    uri = write(tmp_path, {"a.jpg": b"1", "b.jpg": b"22"})
    found = list(read_many([f"{uri}/b.jpg", f"{uri}/none.jpg", f"{uri}/a.jpg"], 5))
    assert found[0] == b"22"
    assert isinstance(found[1], ImageError)
    assert found[2] == b"1"


# ---- tars ---------------------------------------------------------------------------------------------------


def tar(members, kind=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


SAMPLES = [
    ("a/001.json", b'{"caption": "a dog"}'),
    ("a/001.jpg", b"first"),
    ("a/001.cls", b"7\n"),
    ("a/002.seg.png", b"segments"),
    ("a/002.png", b"second"),
    ("a/002.txt", "a café".encode()),
    ("a/002.npy", b"array"),
    ("003.json", b"{broken"),
    ("003.jpeg", b"third"),
    ("004.txt", b"no image"),
]


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_tar_gives_samples_by_key(tmp_path, kind):
    write(tmp_path, {"s.tar": tar(SAMPLES, kind)})
    source = open_source(str(tmp_path / "s.tar"))
    assert contents(source) == {"a/001": b"first", "a/002": b"second", "003": b"third"}
    meta = {item.image_id: json.loads(item.meta) for item in source.items()}
    assert meta == {
        "a/001": {"json": {"caption": "a dog"}, "cls": 7},
        "a/002": {"txt": "a café"},
        "003": {"json": "{broken"},
    }
    assert source.ignored == {"(further image .seg.png)": 1, "(sample without an image)": 1, ".npy": 1}
    assert [item.uri for item in source.items()] == [item.uri for item in open_source(source.uri).items()]


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_and_foreign_names_survive(tmp_path, kind):
    name = "Ordner/" + "é" * 150 + "/bild"
    write(tmp_path, {"s.tar": tar([(f"{name}.jpg", b"1"), ("next.jpg", b"2")], kind)})
    assert contents(open_source(str(tmp_path / "s.tar"))) == {name: b"1", "next": b"2"}


def test_several_tars_by_folder_wildcard_and_braces(tmp_path, memory):
    shards = {f"shard-{i:03}.tar": tar([(f"{i}.jpg", str(i).encode())]) for i in range(11)}
    folder = write(tmp_path, shards)
    for name, data in shards.items():
        memory.pipe(f"/w/{name}", data)
    for base in (folder, "memory://w"):
        for pattern in ("", "/shard-*.tar", "/shard-{000..010}.tar", "/shard-00{0..9}.tar", "/shard-{000,005}.tar"):
            found = contents(open_source(base + pattern))
            count = {"": 11, "/shard-*.tar": 11, "/shard-{000..010}.tar": 11, "/shard-00{0..9}.tar": 10}.get(pattern, 2)
            assert len(found) == count
            assert all(value == key.encode() for key, value in found.items())
    with pytest.raises(SourceError, match=r"shard-011\.tar"):
        open_source(f"{folder}/shard-{{009..011}}.tar")
    with pytest.raises(SourceError, match="more than"):
        open_source(f"{folder}/{{0..999}}{{0..999}}{{0..9}}.tar")


def test_equal_keys_in_two_tars_can_be_told_apart(tmp_path):
    uri = write(tmp_path, {"1.tar": tar([("a.jpg", b"1")]), "2.tar": tar([("a.jpg", b"2")])})
    items = list(open_source(uri).items())
    assert [item.image_id for item in items] == ["a", "a"]
    assert [read_bytes(item.uri, 9) for item in items] == [b"1", b"2"]
    assert "1.tar" in items[0].uri
    assert "2.tar" in items[1].uri


def test_hostile_members_are_names_or_ignored(tmp_path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for kind, name in [(tarfile.CHRTYPE, "dev.jpg"), (tarfile.SYMTYPE, "link.jpg"), (tarfile.LNKTYPE, "hard.jpg"),
                           (tarfile.FIFOTYPE, "pipe.jpg"), (tarfile.DIRTYPE, "dir.jpg")]:  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, "/etc/passwd", 0
            archive.addfile(info)
        info = tarfile.TarInfo("../../escape.jpg")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"fine"))
    before = set(tmp_path.parent.rglob("*"))
    write(tmp_path, {"s.tar": out.getvalue()})
    source = open_source(str(tmp_path / "s.tar"))
    assert contents(source) == {"../../escape": b"fine"}
    assert source.ignored == {"(not a plain file)": 5}
    assert set(tmp_path.parent.rglob("*")) - before == {tmp_path / "s.tar"}


def header(name=b"a.jpg", size=b"00000000004\0", kind=b"0", rest=b""):
    block = bytearray(512)
    block[: len(name)] = name
    block[124 : 124 + 12] = size
    block[156:157] = kind
    block[257:263] = b"ustar\0"
    block[482 : 482 + len(rest)] = rest
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


END = bytes(1024)
DATA = b"1234".ljust(512, b"\0")
HUGE = b"\x80" + struct.pack(">Q", 2**62).rjust(11, b"\0")
NEGATIVE = b"\xff" * 12


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "truncated"),
        (b"x" * 100, "truncated"),
        (b"x" * 2048, "byte 0"),
        (header() + DATA, "without its end mark"),
        (header() + DATA[:3], "truncated"),
        (header() + DATA + b"junk" * 128 + END, "byte 1024"),
        (header(size=HUGE) + DATA + END, "truncated"),
        (header(size=NEGATIVE) + DATA + END, "damaged"),
        (header(size=b"notoctalxxx\0") + DATA + END, "byte 0"),
        (header(kind=b"L", size=HUGE) + DATA + END, "extended header"),
        (header(kind=b"x", size=b"00010000000\0") + DATA + END, "extended header"),
        (header(kind=b"x") + DATA + END, "extended header"),
        (header(kind=b"S", rest=b"\1") + b"\1" * 512, "sparse"),
        (header(kind=b"x", size=b"00000000014\0") + b"12 size=-5x\n".ljust(512, b"\0") + header() + DATA + END, "size"),
    ],
)
def test_a_damaged_or_truncated_tar_names_itself_and_the_place(tmp_path, data, what):
    write(tmp_path, {"bad.tar": data})
    with pytest.raises(SourceError, match=what) as error:
        ids(open_source(str(tmp_path / "bad.tar")))
    assert "bad.tar" in str(error.value)


def test_sparse_files_are_passed_over(tmp_path):
    sparse = header(b"s.jpg", kind=b"S", rest=b"\1") + bytes(512) + DATA
    write(tmp_path, {"s.tar": sparse + header(b"b.jpg") + DATA + END})
    assert contents(open_source(str(tmp_path / "s.tar"))) == {"b": b"1234"}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_changed_tar_is_read_or_refused_and_nothing_else(memory, data):
    raw = bytearray(tar(SAMPLES[:5]))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    memory.pipe("/t/s.tar", bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    with contextlib.suppress(SourceError):
        for item in open_source("memory://t/s.tar").items():
            read_bytes(item.uri, 100_000)


def test_a_cut_tar_is_always_noticed(memory):
    raw = tar(SAMPLES[:5], tarfile.USTAR_FORMAT)
    content = len(raw.rstrip(b"\0")) // 512 * 512 + 512
    for cut in range(0, content, 100):
        memory.pipe("/t/s.tar", raw[:cut])
        with pytest.raises(SourceError):
            ids(open_source("memory://t/s.tar"))


@pytest.mark.parametrize("name", ["s.tar.gz", "s.tgz", "s.tar.zst", "s.TAR.BZ2"])
def test_compressed_tars_are_refused_with_the_remedy(tmp_path, name):
    write(tmp_path, {name: b"\x1f\x8b"})
    for uri in (tmp_path / name, tmp_path):
        with pytest.raises(SourceError, match="Unpack"):
            open_source(str(uri))


def test_a_tar_without_images_says_what_it_looked_for(tmp_path):
    write(tmp_path, {"s.tar": tar([("a.txt", b"x")])})
    with pytest.raises(SourceError, match=r"no images.*\.jpg"):
        ids(open_source(str(tmp_path / "s.tar")))


# ---- Parquet ------------------------------------------------------------------------------------------------


def parquet(columns, rows_per_group=3):
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, row_group_size=rows_per_group)
    return out.getvalue()


def test_a_parquet_file_with_bytes(tmp_path, memory):
    data = parquet(
        {
            "image_id": [f"i{i}" for i in range(8)],
            "jpg": [f"bytes {i}".encode() for i in range(8)],
            "caption": ["x"] * 7 + [None],
            "score": [0.5] * 7 + [float("nan")],
            "day": [date(2020, 1, 2)] * 8,
            "tags": [["a", "b"]] * 8,
            "thumb": [b"more bytes"] * 8,
        }
    )
    write(tmp_path, {"x.parquet": data})
    memory.pipe("/p/x.parquet", data)
    for uri in (str(tmp_path / "x.parquet"), str(tmp_path), "memory://p/x.parquet", "memory://p/*.parquet"):
        source = open_source(uri)
        items = list(source.items())
        assert [item.image_id for item in items] == [f"i{i}" for i in range(8)]
        assert list(read_many([item.uri for item in items], LIMIT)) == [f"bytes {i}".encode() for i in range(8)]
        assert read_bytes(items[4].uri, LIMIT) == b"bytes 4"
        assert json.loads(items[0].meta) == {"caption": "x", "score": 0.5, "day": "2020-01-02", "tags": ["a", "b"]}
        assert json.loads(items[7].meta)["score"] is None


def test_cells_can_be_read_in_any_order(tmp_path):
    write(tmp_path, {"x.parquet": parquet({"id": list(range(100)), "image": [bytes([i]) for i in range(100)]}, 40)})
    items = list(open_source(str(tmp_path)).items())
    assert items[0].image_id == "0"
    with Reader(LIMIT) as reader:
        for i in (99, 3, 2, 41, 79, 0):
            assert reader.read(items[i].uri) == bytes([i])


def test_images_as_hugging_face_stores_them(tmp_path):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    image = pa.array([{"bytes": b"in", "path": None}, {"bytes": None, "path": "b.jpg"}, None], kind)
    write(tmp_path, {"data/train.parquet": parquet({"image": image, "label": [1, 2, 3]}), "data/b.jpg": b"beside"})
    items = list(open_source(str(tmp_path)).items())
    assert [item.image_id for item in items] == ["data/train:0", "data/train:1", "data/train:2"]
    assert [json.loads(item.meta) for item in items] == [{"label": 1}, {"label": 2}, {"label": 3}]
    found = list(read_many([item.uri for item in items], LIMIT))
    assert found[:2] == [b"in", b"beside"]
    assert isinstance(found[2], ImageError)


def test_a_parquet_file_with_paths(tmp_path):
    columns = {"file_name": ["i/a.jpg", str(tmp_path / "b.jpg")], "w": [1, 2]}
    write(tmp_path, {"x.parquet": parquet(columns), "i/a.jpg": b"a", "b.jpg": b"b"})
    source = open_source(str(tmp_path / "x.parquet"))
    assert contents(source) == {"i/a.jpg": b"a", str(tmp_path / "b.jpg"): b"b"}


def test_columns_can_be_told(tmp_path):
    columns = {"nr": ["x", "y"], "picture": [b"1", b"2"], "where": ["a.jpg", "b.jpg"], "image_id": ["p", "q"]}
    write(tmp_path, {"x.parquet": parquet(columns), "a.jpg": b"A", "b.jpg": b"B"})
    uri = str(tmp_path / "x.parquet")
    told = open_source(uri, SourceOptions(id_column="nr", image_column="picture"))
    assert contents(told) == {"x": b"1", "y": b"2"}
    assert json.loads(next(told.items()).meta) == {"where": "a.jpg", "image_id": "p"}
    assert contents(open_source(uri, SourceOptions(uri_column="where"))) == {"p": b"A", "q": b"B"}
    with pytest.raises(SourceError, match="picture, where"):
        ids(open_source(uri))
    with pytest.raises(SourceError, match="no such column"):
        ids(open_source(uri, SourceOptions(id_column="none")))
    with pytest.raises(SourceError, match="not bytes"):
        ids(open_source(uri, SourceOptions(image_column="where")))


@pytest.mark.parametrize(
    "data", [b"", b"PAR1", b"PAR1" + bytes(50) + b"PAR1", parquet({"id": [1], "image": [b"1"]})[:-20]]
)
def test_a_damaged_parquet_file_names_itself(tmp_path, data):
    write(tmp_path, {"bad.parquet": data})
    with pytest.raises(SourceError, match=r"bad\.parquet"):
        ids(open_source(str(tmp_path / "bad.parquet")))


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ({"id": pa.array([], pa.string()), "image": pa.array([], pa.binary())}, "no rows"),
        ({"id": ["a", None], "image": [b"1", b"2"]}, "row 1 of .* has no id"),
        ({"id": ["a", ""], "image": [b"1", b"2"]}, "empty id"),
        ({"id": ["a", "b"], "uri": ["a.jpg", None]}, "row 1 of .* has no path"),
    ],
)
def test_rows_that_cannot_be_images_are_named(tmp_path, columns, what):
    write(tmp_path, {"x.parquet": parquet(columns)})
    with pytest.raises(SourceError, match=what):
        ids(open_source(str(tmp_path / "x.parquet")))


def test_a_cell_of_a_file_that_has_changed_is_an_image_error(tmp_path):
    write(tmp_path, {"x.parquet": parquet({"id": [1], "image": [b"1"]})})
    uri = str(tmp_path / "x.parquet")
    for cell in (
        of_cell(uri, 1, 0, "image"),
        of_cell(uri, 0, 1, "image"),
        of_cell(uri, 0, 0, "gone"),
        of_cell(uri, 0, 0, "id"),
    ):
        with pytest.raises(ImageError):
            read_bytes(cell, LIMIT)


# ---- manifests ----------------------------------------------------------------------------------------------


def test_a_manifest_names_images_beside_itself_and_elsewhere(tmp_path, memory):
    memory.pipe("/m/far.jpg", b"far")
    lines = [
        {"path": "i/a.jpg", "caption": "é", "score": 1.5},
        {"uri": "memory://m/far.jpg", "image_id": 7},
        {"file_name": str(tmp_path / "b.jpg"), "id": "b"},
    ]
    text = "\ufeff" + "\n".join(json.dumps(line) for line in lines) + "\n\n"
    write(tmp_path, {"m.jsonl": text.encode(), "i/a.jpg": b"a", "b.jpg": b"b"})
    source = open_source(str(tmp_path / "m.jsonl"))
    assert contents(source) == {"i/a.jpg": b"a", "7": b"far", "b": b"b"}
    assert [json.loads(item.meta) for item in source.items()] == [{"caption": "é", "score": 1.5}, {}, {}]


def test_a_manifest_at_a_url(memory):
    memory.pipe("/m/m.ndjson", b'{"image": "x/a.jpg", "key": "k"}')
    memory.pipe("/m/x/a.jpg", b"a")
    source = open_source("memory://m/m.ndjson", SourceOptions(id_column="key"))
    assert contents(source) == {"k": b"a"}


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("not json", "line 2 .* not a JSON object"),
        ("[1, 2]", "line 2 .* not a JSON object"),
        ("[" * 100_000, "line 2"),
        ("\udcff", "line 2"),
        ("{}", "line 2 .* where its image is"),
        ('{"path": ["a"]}', "line 2 .* must be a text"),
        ('{"path": "a.jpg", "id": ""}', "empty id"),
        ('{"path": "a.jpg", "id": "a\\u0000b"}', "NUL"),
        ('{"path": "a.jpg", "id": "\\ud800"}', "UTF-8"),
    ],
)
def test_a_bad_line_is_an_error_with_its_number(tmp_path, line, what):
    write(tmp_path, {"m.jsonl": b'{"path": "a.jpg"}\n' + line.encode("utf-8", "surrogateescape")})
    with pytest.raises(SourceError, match=what):
        ids(open_source(str(tmp_path / "m.jsonl")))


def test_an_empty_manifest_and_a_coco_file_are_errors_with_a_remedy(tmp_path):
    write(tmp_path, {"m.jsonl": b"\n", "coco.json": json.dumps({"images": []}, indent=1).encode()})
    with pytest.raises(SourceError, match="names no image"):
        ids(open_source(str(tmp_path / "m.jsonl")))
    with pytest.raises(SourceError, match="COCO"):
        ids(open_source(str(tmp_path / "coco.json")))


def test_unknown_options_are_refused():
    with pytest.raises(ValueError, match="forbidden"):
        SourceOptions(id_colum="x")
