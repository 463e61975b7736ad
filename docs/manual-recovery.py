#!/usr/bin/env python3
"""Gets files out of an unencrypted wfr vault without wfr, by docs/format.md alone. Needs Python 3.8 and `zstd`.

    manual-recovery.py VAULT                     lists the checkpoints, oldest first
    manual-recovery.py VAULT CHECKPOINT DIR      writes one (id or name) into DIR, which must not exist

Reads packs only: no catalog, no index. Every byte is checked; what is damaged is named and left out.
"""
import hashlib, json, os, struct, subprocess, sys, zlib
from pathlib import Path

HEADER = struct.Struct("<4sBBBB32sIIII")  # magic, version, kind, coding, 0, id, plain, payload, two CRCs
BLOB, CHUNKS, TREE, LINKS, MANIFEST = 1, 2, 3, 4, 6


def scan(pack):
    """Yields (id, kind, coding, plain size, payload offset, payload size, payload CRC) of every record."""
    at = 8
    while True:
        at = pack.find(b"wfrO", at)
        if at < 0 or at + HEADER.size > len(pack):
            return
        _, version, kind, coding, _, name, plain, size, crc, own = HEADER.unpack_from(pack, at)
        if version == 1 and own == zlib.crc32(pack[at:at + 52]) and at + 56 + size <= len(pack):
            yield name, kind, coding, plain, at + 56, size, crc
            at += 56 + size
        else:
            at += 1


class Vault:
    def __init__(self, directory):
        if json.loads((Path(directory) / "format.json").read_text())["encrypted"]:
            sys.exit("this vault is encrypted: only wfr with its key can read it")
        self.records = {}
        self.manifests = []
        for path in sorted((Path(directory) / "packs").glob("*.pack")):
            pack = path.read_bytes()
            for name, kind, *rest in scan(pack):
                self.records.setdefault((kind, name), []).append((pack, *rest))
                if kind == MANIFEST and name not in self.manifests:
                    self.manifests.append(name)

    def get(self, kind, name):
        """The verified plaintext of an object, from the last copy that is whole."""
        for pack, coding, plain, at, size, crc in reversed(self.records.get((kind, name), [])):
            data = pack[at:at + size]
            if zlib.crc32(data) != crc:
                continue
            if coding == 1:
                data = subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE).stdout
            if len(data) == plain and hashlib.sha256(data).digest() == name:
                return data
        raise ValueError(f"object {name.hex()} is damaged or missing")

    def content(self, entry):
        """The pieces of a file."""
        if not entry["chunks"]:
            yield self.get(BLOB, entry["hash"])
            return
        lines = self.get(CHUNKS, entry["chunks"])
        for at in range(0, len(lines), 36):
            yield self.get(BLOB, lines[at:at + 32])

    def entries(self, tree):
        """The entries of a directory, its parts put together."""
        reader = Reader(self.get(TREE, tree))
        reader.byte()
        level = reader.byte()
        for _ in range(reader.number()):
            if level:
                part = reader.take(32)
                reader.bytes()
                yield from self.entries(part)
            else:
                yield reader.entry()


class Reader:
    """The primitive values of format.md, read one after the other."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        return self.data[self.at - count:self.at]

    def byte(self):
        return self.take(1)[0]

    def number(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def bytes(self):
        return self.take(self.number())

    def entry(self):
        entry = {"name": self.bytes(), "chunks": None}
        if b"/" in entry["name"] or entry["name"] in (b"", b".", b".."):
            raise ValueError("a name leads out of its directory")
        tag = self.byte()
        entry["kind"], entry["mode"] = tag & 0x0F, self.number()
        self.number(), self.number()  # owner and group: set them by hand where they matter
        seconds = self.number()
        entry["mtime"] = ((seconds >> 1) ^ -(seconds & 1)) * 10**9 + self.number()
        if entry["kind"] == 1:
            self.number()
            entry["hash"] = self.take(32)
            entry["chunks"] = self.take(32) if tag & 0x10 else None
        elif entry["kind"] == 2:
            entry["tree"] = self.take(32)
        elif entry["kind"] == 3:
            entry["target"] = self.bytes()
        if tag & 0x20:
            entry["xattrs"] = [(self.bytes(), self.bytes()) for _ in range(self.number())]
        return entry


def dress(path, mode, mtime):
    os.chmod(path, mode)
    os.utime(path, ns=(mtime, mtime))


def write_file(vault, entry, path):
    whole = hashlib.sha256()
    with open(path, "xb") as file:
        for piece in vault.content(entry):
            whole.update(piece)
            file.write(piece)
    if whole.digest() != entry["hash"]:
        raise ValueError("its pieces do not make the file they should")


def write_tree(vault, tree, shown):
    """Writes a directory's entries into the current one, so that no path is too long; returns how many were lost."""
    lost = 0
    for entry in vault.entries(tree):
        path = entry["name"]
        place = os.path.join(shown, path)
        try:
            if entry["kind"] == 1:
                write_file(vault, entry, path)
            elif entry["kind"] == 2:
                os.mkdir(path, 0o700)
                os.chdir(path)
                try:
                    lost += write_tree(vault, entry["tree"], place)
                finally:
                    os.chdir("..")
            elif entry["kind"] == 3:
                os.symlink(entry["target"], path)
                os.utime(path, ns=(entry["mtime"], entry["mtime"]), follow_symlinks=False)
            else:
                continue
            if entry["kind"] != 3:
                dress(path, entry["mode"], entry["mtime"])
            for name, value in entry.get("xattrs", []):
                os.setxattr(path, name, value, follow_symlinks=False)
        except (OSError, ValueError) as error:
            lost += 1
            print(f"LOST {os.fsdecode(place)}: {error}", file=sys.stderr)
            if entry["kind"] == 1 and os.path.lexists(path):
                os.unlink(path)
    return lost


def main(vault, wanted=None, out=None):
    vault = Vault(vault)
    for name in vault.manifests:
        try:
            manifest = json.loads(vault.get(MANIFEST, name))
        except ValueError as error:
            print(f"LOST {error}", file=sys.stderr)
            continue
        manifest = manifest.get("checkpoint", manifest)
        if wanted is None:
            print(manifest["created_at"], manifest["checkpoint_id"], manifest["workflow_id"], manifest["name"])
        elif wanted in (manifest["checkpoint_id"], manifest["name"]):
            state = manifest["file_system_state"] or sys.exit("this checkpoint holds no files")
            try:
                os.mkdir(out, 0o700)
            except OSError as error:
                sys.exit(f"{out}: {error.strerror}; name a directory that does not exist yet, in one that does")
            top = os.open(out, os.O_RDONLY)
            os.chdir(top)
            lost = write_tree(vault, bytes.fromhex(state["tree"].split(":")[-1]), os.fsencode(out))
            time = state.get("root_mtime") or {"secs": 0, "nanos": 0}  # early versions did not note it
            dress(top, state["root_mode"], time["secs"] * 10**9 + time["nanos"])
            sys.exit(f"{lost} entries are lost" if lost else 0)
    if wanted is not None:
        sys.exit(f"no checkpoint has the id or the name {wanted}")


if __name__ == "__main__":
    sys.setrecursionlimit(1_000_000)
    if len(sys.argv) not in (2, 4):
        sys.exit(__doc__)
    if not os.path.isdir(os.path.join(sys.argv[1], "packs")):
        sys.exit(f"{sys.argv[1]} is no vault: there is no packs/ in it")
    try:
        main(*sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the list has enough of it; what is written when Python ends must not fail, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
