"""Images at addresses, from a server on 127.0.0.1 and from archives."""

import io
import re
import socket
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepfashion_tf.data import addresses
from deepfashion_tf.data.addresses import AddressFault, fetch, fetch_all, is_address
from deepfashion_tf.data.sources import located, open_splits
from deepfashion_tf.data.table import read_table, write_table
from deepfashion_tf.data.table_options import RowOptions
from deepfashion_tf.errors import InputError
from deepfashion_tf.inference.items import fetched, find_items
from deepfashion_tf.outputs import check_outputs
from deepfashion_tf.runs.config import TrainConfig
from deepfashion_tf.runs.run import Run
from deepfashion_tf.schema import Schema
from deepfashion_tf.serving.catalogue.places import place_of

SCHEMA = Schema.of({"season": ["summer", "winter"]})


def picture(number: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 60), (number, 100, 50)).save(file, "PNG")
    return file.getvalue()


class Shop(BaseHTTPRequestHandler):
    """Serves /NUMBER.png; /flaky answers at the third try, /huge too much, /slow too late."""

    asked: dict[str, int] = {}  # noqa: RUF012
    tables: dict[str, bytes] = {}  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked[self.path] = count = self.asked.get(self.path, 0) + 1
        name = self.path.strip("/")
        if name == "slow":
            self.server.stop.wait(20)
        if name == "missing" or (name == "flaky" and count < 3):
            self.send_error(404 if name == "missing" else 503)
            return
        body = b"x" * 5000 if name == "huge" else picture(len(name))
        body = self.tables.get(name, body)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def shop(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPFASHION_IMAGES", str(tmp_path / "cache"))
    monkeypatch.setattr(addresses, "_WAIT", 0.01)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    server.stop = threading.Event()
    Shop.asked, Shop.tables = {}, {}
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.stop.set()
    server.shutdown()


def test_what_is_an_address(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"")
    for text in ("https://a/b.jpg", "s3://a/b", "gs://a/b", f"{tmp_path}/a.zip/b.jpg", "ftp://a"):
        assert is_address(text), text
    for text in ("a/b.jpg", "C:/a.jpg", "file:///a.jpg", "none.zip/b.jpg", "://", "a://"[1:]):
        assert not is_address(text), text


def test_an_image_is_fetched_once(shop):
    path = fetch(f"{shop}/1.png")
    assert Path(path).read_bytes() == picture(5)
    assert fetch(f"{shop}/1.png", offline=True) == path
    assert Shop.asked == {"/1.png": 1}


def test_a_server_that_fails_is_asked_again(shop):
    fetch(f"{shop}/flaky")
    assert Shop.asked == {"/flaky": 3}


def test_each_failure_is_a_sentence(shop, monkeypatch):
    monkeypatch.setattr(addresses, "MOST_BYTES", 4000)
    monkeypatch.setattr(addresses, "TIMEOUT", 0.3)
    for address, words in {
        f"{shop}/missing": "is not there",
        f"{shop}/huge": "has more than",
        f"{shop}/slow": "in 3 tries",
        "http://127.0.0.1:9/a.png": "in 3 tries",
        "ftp://127.0.0.1/a.png": "of a kind that is not read",
        "http://[broken/a.png": "",
    }.items():
        with pytest.raises(AddressFault, match=words):
            fetch(address)
    with pytest.raises(AddressFault, match="--offline"):
        fetch(f"{shop}/2.png", offline=True)


def test_fetching_keeps_the_order(shop):
    wanted = [f"{shop}/{'x' * n}.png" if n % 3 else f"{shop}/missing" for n in range(40)]
    found = list(fetch_all(wanted))
    assert [fault is None for _, fault in found] == [bool(n % 3) for n in range(40)]
    for number, (path, _) in enumerate(found):
        if path:
            with Image.open(path) as image:
                assert image.getpixel((0, 0))[0] == number + 4


def test_a_table_of_addresses(shop, tmp_path):
    rows = [f"{shop}/{n}.png,summer,train" for n in range(4)] + [f"{shop}/missing,winter,train"]
    (tmp_path / "t.csv").write_text("\n".join(["image,season,split", *rows]))
    with pytest.raises(InputError, match=r"line 6: http://.*/missing is not there"):
        read_table(tmp_path / "t.csv", ["train"], SCHEMA)
    (tmp_path / "t.csv").write_text("\n".join(["image,season,split", *rows[:4]]))
    (split,) = read_table(tmp_path / "t.csv", ["train"], SCHEMA)
    assert split.keys[1] == f"{shop}/1.png"
    assert split.encoded(1) == picture(5)
    again = read_table(tmp_path / "t.csv", ["train"], SCHEMA, offline=True)
    assert len(again[0]) == 4
    assert sum(Shop.asked.values()) == 5


def table(*images: str) -> bytes:
    rows = [f"{image},{'summer' if n % 2 else 'winter'},train" for n, image in enumerate(images)]
    return "\n".join(["image,season,split", *rows]).encode()


def test_a_table_at_an_address(shop, tmp_path):
    address = f"{shop}/t.csv"
    with pytest.raises(InputError, match="not in the cache, and --offline"):
        read_table(address, ["train"], SCHEMA, offline=True)
    Shop.tables["t.csv"] = table("1.png", f"{shop}/22.png")
    (split,) = read_table(address, ["train"], SCHEMA)
    assert split.source == address
    assert list(split.keys) == [f"{shop}/1.png", f"{shop}/22.png"]
    assert split.encoded(1) == picture(6)
    write_table(tmp_path / "copy.csv", [split])
    (copy,) = read_table(tmp_path / "copy.csv", ["train"], SCHEMA)
    assert list(copy.keys) == list(split.keys)
    (again,) = read_table(address, ["train"], SCHEMA, offline=True)
    assert list(again.keys) == list(split.keys)
    # A run finds it again from any folder.
    assert located(TrainConfig(data=address)) == address


def test_faults_of_a_table_at_an_address_name_it(shop):
    address = f"{shop}/t.csv"
    for content, words in {
        table("1.png", "missing"): f"{address}, line 3: {shop}/missing is not there",
        table("1.png") + b'\n"2.png': f"{address}, line 3: has a cell",
        b"image,colour\n1.png,red\n": f"{address} has no column season",
        b"": f"{address} is empty",
    }.items():
        Shop.tables["t.csv"] = content
        with pytest.raises(InputError, match=re.escape(words)):
            read_table(address, ["train"], SCHEMA)
    for other, words in {
        f"{shop}/missing": "is not there",
        "ftp://127.0.0.1/t.csv": "of a kind that is not read",
        "http://127.0.0.1:9/t.csv": "cannot be fetched",
    }.items():
        with pytest.raises(InputError, match=f"The table {other} .*{words}"):
            read_table(other, ["train"], SCHEMA)
    # An image that nobody could fetch says why, wherever it is read.
    Shop.tables["t.csv"] = table("1.png", "missing")
    (split,) = read_table(address, ["train"], SCHEMA, check_images=False)
    for wanted in (split, split.take(np.array([1]), "val")):
        with pytest.raises(OSError, match="is not there"):
            wanted.encoded(len(wanted) - 1)


def test_folders_at_addresses_are_no_data():
    with pytest.raises(InputError, match="s3://shop/photos/ is no table"):
        open_splits(TrainConfig(data="s3://shop/photos/", schema=None), ["train"])


def test_outputs_at_addresses_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="--output-dir s3:/shop/run is an address"):
        Run.check_output(TrainConfig(output_dir=Path("s3://shop/run")))
    with pytest.raises(InputError, match=r"--html gs:/shop/a.html is an address"):
        check_outputs({"--html": Path("gs://shop/a.html")}, [])
    for address, words in {
        "memory://tags": "cannot be written to: name a folder",
        "https://shop/tags": "cannot be written to: name a folder",
        "file:///tmp/tags": "is an address",
    }.items():
        with pytest.raises(InputError, match=words):
            place_of(address)
    assert not list(tmp_path.iterdir())


def test_addresses_are_answered_in_order(shop, tmp_path):
    (tmp_path / "t.csv").write_text(f"image\n{shop}/1.png\n{shop}/missing\nnone.png\n")
    found = find_items([str(tmp_path / "t.csv"), f"{shop}/2.png"])
    assert Shop.asked == {}  # looking for images fetches none
    looked_for = list(found)
    assert looked_for[0].read() == picture(5)  # who asks for one alone fetches it
    with pytest.raises(OSError, match="is not there"):
        looked_for[1].read()
    first, missing, none, second = fetched(found)
    assert first.read() == second.read() == picture(5)
    assert (missing.fault, none.fault) == ("is not there (status 404)", "is missing")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_members_of_archives(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPFASHION_IMAGES", str(tmp_path / "cache"))
    path = tmp_path / f"photos.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("img/a.png", picture(9))
    else:
        with tarfile.open(path, "w:gz" if kind.endswith("gz") else "w") as archive:
            member = tarfile.TarInfo("img/a.png")
            member.size = len(picture(9))
            archive.addfile(member, io.BytesIO(picture(9)))
    rows = [f"photos.{kind}/img/a.png,summer,train", f"photos.{kind}/img/b.png,winter,train"]
    (tmp_path / "t.csv").write_text("\n".join(["image,season,split", rows[0]]))
    (split,) = read_table(tmp_path / "t.csv", ["train"], SCHEMA, options=RowOptions())
    assert split.encoded(0) == picture(9)
    (tmp_path / "t.csv").write_text("\n".join(["image,season,split", *rows]))
    with pytest.raises(InputError, match=r"line 3: .*b\.png is missing in"):
        read_table(tmp_path / "t.csv", ["train"], SCHEMA)
    good, bad = fetched(find_items([str(tmp_path / "t.csv")]))
    assert good.read() == picture(9) and "is missing in" in bad.fault
    path.write_bytes(b"no archive")
    _, bad = fetched(find_items([str(tmp_path / "t.csv")]))
    assert bad.fault


def tar_of(path: Path, **kinds: tuple[bytes, str]) -> None:
    """Writes an archive with a.png, and members of other kinds: name -> kind, and its target."""
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("a.png")
        member.size = len(picture())
        archive.addfile(member, io.BytesIO(picture()))
        for name, (kind, target) in kinds.items():
            member = tarfile.TarInfo(f"{name}.png")
            member.type, member.linkname = kind, target
            archive.addfile(member)


def test_each_kind_of_bad_member_gets_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPFASHION_IMAGES", str(tmp_path / "cache"))
    monkeypatch.setattr(addresses, "MOST_BYTES", 4000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.png", "[x] ü.png", "../up.png", "#h.png", "b.zip/c.png"):
            archive.writestr(name, picture())
        archive.writestr("bomb.png", b"\0" * 5000)
        archive.writestr("folder/", b"")
    whole = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    locked = bytearray(whole)
    for mark, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        locked[locked.find(mark) + place] |= 1  # the bit of encrypted members
    (tmp_path / "locked.zip").write_bytes(locked)
    kinds = {"hard": (tarfile.LNKTYPE, "a.png"), "soft": (tarfile.SYMTYPE, "a.png")}
    kinds |= {"out": (tarfile.SYMTYPE, "/etc/passwd"), "loop": (tarfile.SYMTYPE, "loop.png")}
    tar_of(tmp_path / "b.tar", **kinds, pipe=(tarfile.FIFOTYPE, ""))
    whole = (tmp_path / "b.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:700])
    with tarfile.open(tmp_path / "outer.tar", "w") as archive:
        archive.add(tmp_path / "a.zip", "a.zip")
    for member in ("a.zip/[x] ü.png", "a.zip/../up.png", "a.zip/#h.png", "a.zip/b.zip/c.png",
                   "b.tar/hard.png", "b.tar/soft.png"):  # fmt: skip
        assert Path(fetch(str(tmp_path / member))).read_bytes() == picture()
    for member, words in {
        "a.zip/none.png": "is missing in",
        "a.zip/folder": "is missing in",
        "a.zip/bomb.png": "has more than",
        "locked.zip/a.png": "is encrypted in .*: unpack it",
        "cut.zip/a.png": "cannot be read in .*: fetch or pack the archive again",
        "cut.tar/a.png": "cannot be read in .*: fetch or pack the archive again",
        "b.tar/out.png": "is missing in",
        "b.tar/loop.png": "is no file in",
        "b.tar/pipe.png": "is no file in",
        "outer.tar/a.zip/a.png": "is missing in",
    }.items():
        with pytest.raises(AddressFault, match=words):
            fetch(str(tmp_path / member))
    # Nothing half read is kept.
    assert all(p.stat().st_size == len(picture()) for p in (tmp_path / "cache").glob("*/*"))


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """A bucket ``photos`` of a server on 127.0.0.1, with three images."""
    s3fs = pytest.importorskip("s3fs", reason="the extra [remote] is not installed")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("DEEPFASHION_IMAGES", str(tmp_path / "cache"))
    client = pytest.importorskip("boto3").client("s3")
    client.create_bucket(Bucket="photos")
    for number in range(3):
        client.put_object(Bucket="photos", Key=f"a/{number} ü.jpg", Body=picture(number))
    s3fs.S3FileSystem.clear_instance_cache()
    yield client
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture
def emulator(monkeypatch, tmp_path):
    """A bucket ``photos`` of an emulator of Google's store on 127.0.0.1."""
    gcsfs = pytest.importorskip("gcsfs", reason="the extra [remote] is not installed")
    made = pytest.importorskip("gcp_storage_emulator.server").create_server
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = made("127.0.0.1", port, in_memory=True, default_bucket="photos")
    server.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    # It would ask for credentials.
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    monkeypatch.setenv("DEEPFASHION_IMAGES", str(tmp_path / "cache"))
    gcsfs.GCSFileSystem.clear_instance_cache()
    yield gcsfs.GCSFileSystem()
    gcsfs.GCSFileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture(params=["s3", "gs"])
def store(request):
    """The address of a bucket with images and tables, at S3 or at Google."""
    files = {f"a/{number} ü.jpg": picture(number) for number in range(3)}
    good = [*files, "a/0 ü.jpg"]
    files |= {"a/.hidden.jpg": b"", "t.csv": table(*good), "bad.csv": table(*good, "a/no.jpg")}
    if request.param == "s3":
        client = request.getfixturevalue("bucket")
        for name, content in files.items():
            client.put_object(Bucket="photos", Key=name, Body=content)
    else:
        system = request.getfixturevalue("emulator")
        for name, content in files.items():
            system.pipe_file(f"photos/{name}", content)
    return f"{request.param}://photos"


def test_prefixes_and_tables_in_a_store(store):
    found = find_items([f"{store}/a/"])
    assert [item.read() for item in fetched(found)] == [*map(picture, range(3))]
    assert [item.image for item in found] == [f"{store}/a/{number} ü.jpg" for number in range(3)]
    assert found.tally.hidden == 1
    found = list(fetched(find_items([f"{store}/bad.csv"])))
    assert [item.fault for item in found] == [None] * 4 + ["is not there"]
    with pytest.raises(InputError, match=f"The table {store}/no.csv is not there"):
        list(find_items([f"{store}/no.csv"]))


def test_a_store_is_written_to(store, tmp_path):
    place = place_of(f"{store}/tags")
    place.make()
    assert place.names() == []
    with place.write("part.parquet") as path:
        path.write_bytes(b"whole")
    assert place.names() == ["part.parquet"]
    with place.open("part.parquet") as file:
        assert file.read() == b"whole"
    place.remove("part.parquet")
    assert place.names() == []


def test_check_reads_tables_in_a_store(store, tmp_path, run_here):
    SCHEMA.save(tmp_path / "schema.yaml")
    options = ("--schema", "schema.yaml", "--fix", "fixed.csv")
    code, told, _ = run_here("check_data", f"{store}/bad.csv", *options, cwd=tmp_path)
    told = " ".join(told.split())
    assert code == 1
    assert f"{store}/bad.csv: 5 rows, 5 read, 0 left out" in told
    assert f"{store}/a/no.jpg cannot be read (is not there)" in told
    kept = (tmp_path / "fixed.csv").read_text().splitlines()
    assert len(kept) > 1 and not any("no.jpg" in line for line in kept)
    assert all(line.startswith(f"{store}/a/") for line in kept[1:])
    code, _, told = run_here(
        "check_data", f"{store}/t.csv", "--html", f"{store}/a.html", cwd=tmp_path
    )
    assert code == 2 and "is an address" in told and len(told.splitlines()) == 1


def test_images_in_a_bucket(bucket, tmp_path):
    there = [f"s3://photos/a/{number} ü.jpg" for number in range(3)]
    wrong = ["s3://photos/a/missing.jpg", "s3://nobody/a.jpg", "s3://", "s3://photos"]
    found = list(fetch_all([*there, *wrong]))
    assert [Path(path).read_bytes() for path, _ in found[:3]] == [*map(picture, range(3))]
    assert all(fault and path is None for path, fault in found[3:]), found
    assert found[3][1] == found[4][1] == "is not there"
    # In the cache: nobody is asked again.
    bucket.delete_object(Bucket="photos", Key="a/0 ü.jpg")
    assert fetch(there[0]) == found[0][0]
