"""Writes the corpus beside this file: checkpoints that no reader may accept. Needs nothing but Python: python make.py.

Everything is put together byte by byte, and nothing is loaded, so running this is safe. Every file is the same at every
run. See README.md.
"""

import pathlib
import struct
import zlib

FOLDER = pathlib.Path(__file__).parent
files = {}

# --- pickles, by opcode -----------------------------------------------------------------------------------------------

PROTO, STOP, MARK, TUPLE, REDUCE = b"\x80\x02", b".", b"(", b"t", b"R"
SETITEMS, EMPTY_DICT, EMPTY_TUPLE, EMPTY_LIST, BUILD, FALSE = b"u", b"}", b")", b"]", b"b", b"\x89"


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def integer(value):
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def global_(module, name):
    return f"c{module}\n{name}\n".encode()


def tuple_(*parts):
    return MARK + b"".join(parts) + TUPLE


def dict_(*parts):
    return EMPTY_DICT + MARK + b"".join(parts) + SETITEMS


ORDERED = global_("collections", "OrderedDict") + EMPTY_TUPLE + REDUCE


def storage(key="0", count=4, kind="FloatStorage", more=b""):
    return tuple_(text("storage"), global_("torch", kind), text(key), text("cpu"), integer(count), more) + b"Q"


def tensor(of=None, offset=0, shape=(4,), strides=(1,), hooks=ORDERED, more=b""):
    of = storage() if of is None else of
    sizes, steps = (tuple_(*map(integer, numbers)) for numbers in (shape, strides))
    rebuild = global_("torch._utils", "_rebuild_tensor_v2")
    return rebuild + tuple_(of, integer(offset), sizes, steps, FALSE, hooks, more) + REDUCE


def pickle(value):
    return PROTO + value + STOP


GOOD = pickle(dict_(text("a"), tensor()))
FOUR = struct.pack("<4f", 1, 2, 3, 4)

# --- zip archives, by field -------------------------------------------------------------------------------------------


def member(name, data, **changes):
    """What stands in the member's header and in its line of the directory; `changes` are told as lies."""
    fields = {
        "name": name, "data": data, "flags": 0, "method": 0, "size": len(data), "plain": len(data), "header_name": name,
        "header_size": None, "at": None, "extra": b"",
    }
    return fields | changes


def archive(members, count=None, start=None, size=None, before=b"", behind=b"", comment=b"", large=None):
    out, lines = before, []
    for fields in members:
        at, name, own = len(out), fields["name"].encode(), fields["header_name"].encode()
        crc = zlib.crc32(fields["data"])
        header_size = fields["size"] if fields["header_size"] is None else fields["header_size"]
        out += struct.pack(
            "<4s5H3I2H", b"PK\x03\x04", 20, fields["flags"], fields["method"], 0, 0, crc, header_size & 0xFFFFFFFF,
            fields["plain"] & 0xFFFFFFFF, len(own), 0,
        )
        out += own + fields["data"]
        at = at if fields["at"] is None else fields["at"]
        lines.append(struct.pack(
            "<4s6H3I5H2I", b"PK\x01\x02", 20, 20, fields["flags"], fields["method"], 0, 0, crc,
            min(fields["size"], 0xFFFFFFFF), min(fields["plain"], 0xFFFFFFFF), len(name), len(fields["extra"]), 0, 0, 0, 0,
            min(at, 0xFFFFFFFF),
        ) + name + fields["extra"])
    directory = b"".join(lines)
    begins = len(out) if start is None else start
    out += directory
    total = len(lines) if count is None else count
    length = len(directory) if size is None else size
    if large is not None:
        record = len(out)
        fields = {"total": total, "length": length, "begins": begins, "record": record} | large
        out += struct.pack(
            "<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, fields["total"], fields["total"], fields["length"],
            fields["begins"],
        )
        out += struct.pack("<4sIQI", b"PK\x06\x07", 0, fields["record"], 1)
    out += struct.pack(
        "<4s4H2IH", b"PK\x05\x06", 0, 0, total & 0xFFFF, total & 0xFFFF, length & 0xFFFFFFFF, begins & 0xFFFFFFFF,
        len(comment),
    )
    return out + comment + behind


def members(data=GOOD, numbers=FOUR, root="archive", **changes):
    return [
        member(f"{root}/data.pkl", data),
        member(f"{root}/byteorder", b"little"),
        member(f"{root}/data/0", numbers, **changes),
    ]


def zipped(value, numbers=FOUR):
    return archive(members(pickle(value), numbers))


# --- the older streams ------------------------------------------------------------------------------------------------

MAGIC = pickle(b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")


def facts(little=b"\x88"):
    return pickle(dict_(text("protocol_version"), integer(1001), text("little_endian"), little))


def legacy(
    value=dict_(text("a"), tensor()), keys=(text("0"),), data=struct.pack("<q", 4) + FOUR, magic=MAGIC,
    version=pickle(integer(1001)), machine=facts(), behind=b"",
):
    return magic + version + machine + pickle(value) + pickle(EMPTY_LIST + MARK + b"".join(keys) + b"e") + data + behind


# --- code that wants to run -------------------------------------------------------------------------------------------

SHELL = text("touch /tmp/owned")
files["global-os-system"] = zipped(global_("os", "system") + tuple_(SHELL) + REDUCE)
files["global-posix-system-in-a-tensor"] = zipped(
    dict_(text("a"), tensor(of=global_("posix", "system") + tuple_(SHELL) + REDUCE))
)
files["legacy-os-system-instead-of-the-magic"] = PROTO + global_("os", "system") + tuple_(SHELL) + REDUCE + STOP
files["legacy-os-system-as-tensors"] = legacy(global_("os", "system") + tuple_(SHELL) + REDUCE)
files["legacy-os-system-as-keys"] = (
    MAGIC + pickle(integer(1001)) + facts() + GOOD + PROTO + global_("os", "system") + tuple_(SHELL) + REDUCE + STOP
)
files["legacy-os-system-as-facts"] = legacy(machine=pickle(global_("os", "system") + tuple_(SHELL) + REDUCE))
files["stack-global-builtins-eval"] = zipped(text("builtins") + text("eval") + b"\x93" + tuple_(text("1+1")) + REDUCE)
files["stack-global-from-the-memo"] = zipped(
    text("builtins") + b"q\x00" + text("exec") + b"q\x01" + b"00" + b"h\x00h\x01\x93" + tuple_(text("1")) + REDUCE
)
files["stack-global-of-no-text"] = zipped(integer(1) + integer(2) + b"\x93")
files["global-dotted"] = zipped(global_("torch", "_utils._rebuild_tensor_v2.__globals__"))
files["global-of-the-allowed-module"] = zipped(global_("torch", "load") + tuple_(text("x")) + REDUCE)
files["global-with-a-space"] = zipped(global_("torch._utils ", "_rebuild_tensor_v2"))
files["global-with-look-alike-letters"] = zipped(global_("t\u043erch", "FloatStorage"))
files["global-with-a-terminal-code"] = zipped(global_("os\x1b[2J", "system\x1b[31m"))
files["global-without-an-end"] = zipped(b"c" + b"o" * 2000)
files["inst"] = zipped(MARK + SHELL + b"ios\nsystem\n")
files["obj"] = zipped(MARK + global_("collections", "OrderedDict") + b"o")
files["newobj"] = zipped(global_("collections", "OrderedDict") + EMPTY_TUPLE + b"\x81")
files["newobj-ex"] = zipped(global_("collections", "OrderedDict") + EMPTY_TUPLE + EMPTY_DICT + b"\x92")
files["ext1"] = zipped(b"\x82\x01")
files["ext2"] = zipped(b"\x83\x01\x00")
files["ext4"] = zipped(b"\x84\x01\x00\x00\x00")
files["persid"] = zipped(b"Pstorage\n")
files["build-on-a-dict"] = zipped(EMPTY_DICT + dict_(text("__class__"), text("x")) + BUILD)
files["build-on-a-tensor"] = zipped(dict_(text("a"), tensor() + dict_(text("_metadata"), EMPTY_DICT) + BUILD))
files["build-with-other-attributes"] = zipped(ORDERED + dict_(text("__dict__"), EMPTY_DICT) + BUILD)
files["build-with-slots"] = zipped(ORDERED + b"N" + dict_(text("_metadata"), EMPTY_DICT) + b"\x86" + BUILD)
files["build-beside-metadata"] = zipped(
    ORDERED + dict_(text("_metadata"), EMPTY_DICT, text("update"), global_("collections", "OrderedDict")) + BUILD
)
files["nested-load"] = zipped(
    dict_(text("a"), global_("torch.storage", "_load_from_bytes") + tuple_(text("a pickle in a pickle")) + REDUCE)
)
files["nested-loads"] = zipped(global_("_pickle", "loads") + tuple_(text("cos\nsystem\n.")) + REDUCE)
files["numpy-reconstruct"] = zipped(
    global_("numpy.core.multiarray", "_reconstruct")
    + tuple_(global_("numpy", "ndarray"), tuple_(integer(0)), text("b")) + REDUCE
)
files["numpy-scalar"] = zipped(dict_(text("a"), global_("numpy.core.multiarray", "scalar") + EMPTY_TUPLE + REDUCE))
files["namespace"] = zipped(dict_(text("args"), global_("argparse", "Namespace") + EMPTY_TUPLE + b"\x81"))
files["getattr-chain"] = zipped(
    global_("builtins", "getattr") + tuple_(global_("torch", "Size"), text("__init__")) + REDUCE
)
files["call-of-a-storage-class"] = zipped(global_("torch", "FloatStorage") + tuple_(integer(1 << 40)) + REDUCE)
files["call-of-a-text"] = zipped(text("os.system") + tuple_(SHELL) + REDUCE)
files["call-without-a-tuple"] = zipped(global_("collections", "OrderedDict") + EMPTY_LIST + REDUCE)
files["ordered-dict-with-items"] = zipped(
    global_("collections", "OrderedDict") + tuple_(EMPTY_LIST + tuple_(text("a"), integer(1)) + b"a") + REDUCE
)
files["hooks"] = zipped(dict_(text("a"), tensor(hooks=ORDERED + integer(0) + global_("torch", "Size") + b"s")))
files["metadata-of-a-tensor"] = zipped(dict_(text("a"), tensor(more=dict_(text("conj"), b"\x88"))))
files["set-item-of-a-class"] = zipped(global_("torch", "Size") + text("a") + integer(1) + b"s")
files["append-to-a-class"] = zipped(global_("torch", "Size") + integer(1) + b"a")
files["bytes"] = zipped(dict_(text("a"), b"C\x01x"))
files["set"] = zipped(dict_(text("a"), b"\x8f"))
files["buffer-out-of-band"] = zipped(dict_(text("a"), b"\x97"))
files["text-of-python-2"] = zipped(dict_(b"U\x01a", tensor()))

# --- persistent ids that are no storages ------------------------------------------------------------------------------

files["persistent-module"] = zipped(dict_(text("a"), tuple_(text("module"), global_("torch", "Size"), text("m.py")) + b"Q"))
files["persistent-text"] = zipped(dict_(text("a"), text("storage") + b"Q"))
files["persistent-number"] = zipped(dict_(text("a"), tuple_(integer(1)) + b"Q"))
files["persistent-empty"] = zipped(dict_(text("a"), EMPTY_TUPLE + b"Q"))
files["persistent-other-class"] = zipped(
    dict_(text("a"), tuple_(text("storage"), global_("torch", "Size"), text("0"), text("cpu"), integer(4)) + b"Q")
)
files["persistent-view-of-a-storage"] = legacy(
    dict_(text("a"), tensor(of=storage(more=tuple_(text("1"), integer(0), integer(4)))))
)

# --- sizes that cannot be ---------------------------------------------------------------------------------------------


def shaped(**changes):
    return zipped(dict_(text("a"), tensor(**changes)))


files["offset-out-of-range"] = shaped(offset=1)
files["offset-negative"] = shaped(offset=-1)
files["offset-of-80-bits"] = shaped(offset=1 << 78)
files["size-negative"] = shaped(shape=(-4,))
files["stride-negative"] = shaped(strides=(-1,))
files["size-out-of-range"] = shaped(shape=(5,))
files["stride-out-of-range"] = shaped(strides=(2,))
files["stride-overflow"] = shaped(shape=(4, 2), strides=(1 << 62, 1))
files["size-overflow"] = shaped(shape=(1 << 62, 1 << 62), strides=(0, 0))
files["sizes-with-an-empty-axis-and-overflow"] = shaped(shape=(0, 1 << 62, 1 << 62), strides=(1, 1, 1), offset=5)
files["expanded"] = shaped(shape=(1 << 40,), strides=(0,))
files["expanded-a-little"] = shaped(shape=(5,), strides=(0,))
files["more-sizes-than-strides"] = shaped(shape=(2, 2))
files["100-axes"] = shaped(shape=(1,) * 100, strides=(1,) * 100)
files["storage-too-large"] = shaped(of=storage(count=5))
files["storage-too-small"] = shaped(of=storage(count=3), shape=(3,))
files["storage-size-negative"] = shaped(of=storage(count=-4))
files["storage-size-overflow"] = shaped(of=storage(count=(1 << 63) - 1))
files["storage-of-80-bits"] = shaped(of=storage(count=1 << 78))
files["storage-missing"] = shaped(of=storage(key="1"))
files["storage-key-leads-out"] = shaped(of=storage(key="../data.pkl"))
files["storage-of-complex-numbers"] = shaped(of=storage(kind="ComplexFloatStorage", count=2), shape=(2,))
files["storage-untyped"] = shaped(of=tuple_(
    text("storage"), global_("torch.storage", "UntypedStorage"), text("0"), text("cpu"), integer(16)) + b"Q")
files["tensor-of-a-tensor"] = shaped(of=tensor())
files["tensor-with-too-few-arguments"] = zipped(
    dict_(text("a"), global_("torch._utils", "_rebuild_tensor_v2") + EMPTY_TUPLE + REDUCE)
)
files["parameter-of-a-text"] = zipped(
    dict_(text("a"), global_("torch._utils", "_rebuild_parameter") + tuple_(text("a"), FALSE, ORDERED) + REDUCE)
)

# --- bombs ------------------------------------------------------------------------------------------------------------


def laughs(opening, closing, levels=60):
    """Each level holds the one before it twice: once itself, once from the memo."""
    out = EMPTY_TUPLE
    for level in range(levels):
        out = opening + out + b"q" + bytes([level]) + twice(level) + closing
    return out


def twice(level):
    return b"h" + bytes([level])


files["harmless-billion-laughs-tuples"] = zipped(dict_(text("a"), laughs(MARK, TUPLE)))
files["harmless-billion-laughs-lists"] = zipped(dict_(text("a"), laughs(EMPTY_LIST + MARK, b"e")))
files["billion-laughs-sizes"] = zipped(dict_(text("a"), (
    global_("torch._utils", "_rebuild_tensor_v2")
    + tuple_(storage(), integer(0), laughs(MARK, TUPLE), EMPTY_TUPLE, FALSE, ORDERED) + REDUCE
)))
files["billion-laughs-dicts"] = zipped(EMPTY_DICT + MARK + b"".join(
    text(f"d{i}")
    + (dict_(text("a"), integer(1)) if i == 0 else dict_(text("a"), twice(i - 1), text("b"), twice(i - 1)))
    + b"q" + bytes([i])
    for i in range(30)
) + SETITEMS)
files["dict-that-holds-itself"] = zipped(EMPTY_DICT + b"q\x00" + text("a") + b"h\x00" + b"s")
files["dicts-nested-deep"] = zipped((EMPTY_DICT + text("a")) * 100 + integer(1) + b"s" * 100)
files["marks-nested-deep"] = zipped(MARK * 500)
files["harmless-tuples-nested-deep"] = zipped(dict_(text("a"), EMPTY_TUPLE + b"\x85" * 5000))
files["lists-nested-deep"] = zipped(EMPTY_LIST * 1000 + b"a" * 999)
files["memo-entry-missing"] = zipped(dict_(text("a"), b"j\xff\xff\xff\xff"))
files["memo-of-nothing"] = zipped(b"q\x00")
files["memo-index-huge"] = zipped(dict_(text("a"), tensor()) + b"r\xff\xff\xff\xff" + b"j\xfe\xff\xff\xff")
files["long4-huge"] = zipped(b"\x8b\xff\xff\xff\x7f")
files["long4-negative"] = zipped(b"\x8b\xff\xff\xff\xff")
files["long1-cut-off"] = zipped(b"\x8a\xff\x01")
files["unicode-huge"] = zipped(b"X\xff\xff\xff\xff")
files["unicode8-huge"] = zipped(b"\x8d" + b"\xff" * 8)
files["unicode8-just-under-a-limit"] = zipped(b"\x8d" + struct.pack("<Q", 1 << 20))
files["bytes8-huge"] = zipped(b"\x8e" + b"\xff" * 8)
files["bytearray8-huge"] = zipped(b"\x96" + b"\xff" * 8)
files["frame-huge"] = zipped(b"\x95" + b"\xff" * 8)
files["many-tensors-of-one-storage"] = zipped(
    EMPTY_DICT + MARK + text("0") + tensor(of=storage(count=2500), shape=(2500,)) + b"q\x00"
    + b"".join(text(str(i)) + b"h\x00" for i in range(1, 900)) + SETITEMS, bytes(10000)
)
files["two-names-that-become-one"] = zipped(
    dict_(text("a.b"), tensor(), text("a"), dict_(text("b"), tensor()))
)
files["one-name-twice"] = zipped(dict_(text("a"), tensor(), text("a"), tensor()))
files["key-of-an-entry-is-a-tuple"] = zipped(dict_(EMPTY_TUPLE, tensor()))

# --- pickles that make no sense ---------------------------------------------------------------------------------------

files["pickle-empty"] = archive(members(b""))
files["pickle-without-protocol"] = archive(members(EMPTY_DICT + STOP))
files["pickle-of-protocol-0"] = archive(members(b"(dp0\n."))
files["pickle-of-protocol-9"] = archive(members(b"\x80\x09}."))
files["protocol-in-the-middle"] = zipped(EMPTY_DICT + b"\x80\x02")
files["stop-on-an-empty-stack"] = zipped(b"")
files["stop-with-values-left"] = zipped(EMPTY_DICT + EMPTY_DICT)
files["stop-under-a-mark"] = zipped(EMPTY_DICT + MARK)
files["tuple-across-a-mark"] = zipped(integer(1) + MARK + b"\x85")
files["pop-across-a-mark"] = zipped(EMPTY_DICT + text("a") + MARK + integer(1) + b"s")
files["tuple-without-a-mark"] = zipped(TUPLE)
files["items-that-do-not-pair"] = zipped(dict_(text("a")))
files["unknown-opcode"] = zipped(b"\xff")
files["text-that-is-no-utf-8"] = zipped(dict_(b"X\x02\x00\x00\x00\xc3\x28", integer(1)))
files["no-stop"] = archive(members(PROTO + EMPTY_DICT))
files["something-behind-the-stop"] = archive(members(GOOD + b"cos\nsystem\n."))
files["a-number-and-no-dict"] = zipped(integer(7))

# --- zip archives -----------------------------------------------------------------------------------------------------

files["zip-big-endian"] = archive([member("a/data.pkl", GOOD), member("a/byteorder", b"big"), member("a/data/0", FOUR)])
files["zip-odd-endian"] = archive([member("a/data.pkl", GOOD), member("a/byteorder", b"middle"), member("a/data/0", FOUR)])
files["zip-torchscript"] = archive([*members(), member("archive/constants.pkl", pickle(EMPTY_TUPLE))])
files["zip-without-a-pickle"] = archive([member("archive/data/0", FOUR)])
files["zip-pickle-at-the-top"] = archive([member("data.pkl", GOOD), member("data/0", FOUR)])
files["zip-pickle-too-deep"] = archive([member("a/b/data.pkl", GOOD), member("a/b/data/0", FOUR)])
files["zip-empty"] = archive([], before=b"PK\x03\x04")
files["zip-two-pickles"] = archive([*members(), member("archive/data.pkl", pickle(EMPTY_DICT))])
files["zip-two-roots"] = archive([*members(), member("other/data.pkl", GOOD)])
files["zip-two-storages-of-one-name"] = archive([*members(), member("archive/data/0", bytes(16))])
files["zip-path-up"] = archive([*members(), member("../data.pkl", GOOD)])
files["zip-path-up-inside"] = archive([*members(), member("archive/../../x", b"")])
files["zip-path-absolute"] = archive([*members(), member("/etc/passwd", b"x")])
files["zip-path-backslash"] = archive([*members(), member("archive\\data.pkl", GOOD)])
files["zip-path-empty-part"] = archive([*members(), member("archive//data.pkl", GOOD)])
files["zip-path-nul"] = archive([*members(), member("archive/data.pkl\0.txt", GOOD)])
files["zip-path-dot"] = archive([*members(), member("archive/./data.pkl", GOOD)])
packer = zlib.compressobj(9, zlib.DEFLATED, -15)
bomb = packer.compress(bytes(1 << 20)) + packer.flush()
files["zip-bomb"] = archive(members(numbers=bomb, method=8, size=len(bomb), plain=1 << 20))
files["zip-bomb-that-lies-about-its-size"] = archive(members(numbers=bomb, method=8, plain=16))
files["zip-pickle-compressed"] = archive([member("a/data.pkl", bomb, method=8, plain=1 << 20), member("a/data/0", FOUR)])
files["zip-unknown-method"] = archive(members(method=99))
files["zip-encrypted"] = archive(members(flags=1))
files["zip-encrypted-strongly"] = archive(members(flags=1 << 6))
files["zip-sizes-differ"] = archive(members(plain=1 << 30))
files["zip-size-absurd"] = archive(members(size=0xFFFFFFFE, plain=0xFFFFFFFE))
files["zip-size-absurd-64"] = archive(members(
    size=0xFFFFFFFF, plain=0xFFFFFFFF, extra=struct.pack("<HHQQ", 1, 16, 1 << 63, 1 << 63)
))
files["zip-size-saturated-without-the-extra-field"] = archive(members(size=0xFFFFFFFF, plain=0xFFFFFFFF))
files["zip-header-outside"] = archive(members(at=0xFFFFFFF0))
files["zip-header-nowhere"] = archive(members(at=1))
files["zip-header-of-another-member"] = archive(members(at=0))
files["zip-header-with-another-name"] = archive(members(header_name="archive/data/1"))
files["zip-header-with-another-size"] = archive(members(header_size=8))
inner = archive([member("archive/data/0", FOUR)])[: 30 + 14 + 16]
overlapping = archive([
    member("archive/data.pkl", GOOD), member("archive/data/1", inner),
    member("archive/data/0", FOUR, at=30 + 16 + len(GOOD) + 30 + 14),
])
files["zip-members-overlap"] = overlapping
files["zip-too-many-members-announced"] = archive(members(), count=9)
files["zip-too-few-members-announced"] = archive(members(), count=1)
files["zip-directory-elsewhere"] = archive(members(), start=0)
files["zip-directory-past-the-end"] = archive(members(), start=0xFFFFFFF0)
files["zip-directory-too-long"] = archive(members(), size=0x7FFFFFFF)
files["zip-with-a-comment"] = archive(members(), comment=b"two archives in one")
files["zip-with-something-behind"] = archive(members(), behind=b"PK")
files["zip-with-something-before"] = b"PK\x03\x04 and so on" + archive(members())
files["zip-large-record-contradicts"] = archive(members(), large={"begins": 7})
files["zip-large-record-elsewhere"] = archive(members(), large={"record": 1 << 62})
files["zip-large-record-overflows"] = archive(
    members(), start=0xFFFFFFFF, size=0xFFFFFFFF, large={"begins": (1 << 64) - 1, "length": (1 << 64) - 1}
)
files["zip-cut-off"] = archive(members())[:-30]
files["zip-header-only"] = b"PK\x03\x04"

# --- the older streams ------------------------------------------------------------------------------------------------

files["legacy-big-endian"] = legacy(machine=facts(FALSE))
files["legacy-without-an-endianness"] = legacy(machine=pickle(EMPTY_DICT))
files["legacy-version-1002"] = legacy(version=pickle(integer(1002)))
files["legacy-keys-are-no-list"] = MAGIC + pickle(integer(1001)) + facts() + GOOD + pickle(EMPTY_DICT)
files["legacy-key-is-no-text"] = legacy(keys=(integer(0),))
files["legacy-key-unknown"] = legacy(keys=(text("1"),))
files["legacy-key-twice"] = legacy(keys=(text("0"),) * 2, data=(struct.pack("<q", 4) + FOUR) * 2)
files["legacy-key-missing"] = legacy(keys=(), data=b"")
files["legacy-storage-count-differs"] = legacy(data=struct.pack("<q", 5) + FOUR)
files["legacy-storage-count-negative"] = legacy(data=struct.pack("<q", -1) + FOUR)
files["legacy-storage-cut-off"] = legacy(data=struct.pack("<q", 4) + FOUR[:-1])
files["legacy-storage-in-two-types"] = legacy(
    dict_(text("a"), tensor(), text("b"), tensor(of=storage(kind="IntStorage")))
)
files["legacy-something-behind"] = legacy(behind=b"x")
files["legacy-magic-only"] = MAGIC
files["another-pickle"] = pickle(dict_(text("a"), integer(1)))

for name, content in files.items():
    (FOLDER / f"{name}.pt").write_bytes(content)
for path in FOLDER.glob("*.pt"):
    if path.stem not in files:
        path.unlink()
print(f"{len(files)} files, {sum(map(len, files.values()))} bytes")
