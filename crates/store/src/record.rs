//! One object in a pack: a header that stands for itself, then the payload. `docs/format.md` describes the bytes.
//!
//! Owns compression, encryption and the checks of single records. Refuses to know files: it works on slices.

use std::cell::RefCell;

use wfr_model::Digest;
use zstd::bulk::{Compressor, Decompressor};

use crate::crypto::Cipher;
use crate::object::{ObjectKind, WriteError, hash};

/// The first bytes of every record, by which a scan finds its way again after damage.
pub const MAGIC: [u8; 4] = *b"wfrO";

/// The record form that this build writes; it reads no other.
pub const VERSION: u8 = 1;

/// Bytes of a header.
pub const HEADER: usize = 56;

/// No object is larger, in bytes: a header that says so is damaged.
pub const OBJECT_BYTES_MAX: u32 = 256 << 20;

const CODEC_RAW: u8 = 0;
const CODEC_ZSTD: u8 = 1;
const ENCRYPTED: u8 = 0x80;

/// A record's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// What the object is.
    pub kind: ObjectKind,
    /// How the payload is coded: raw or zstd, encrypted or not.
    codec: u8,
    /// The object's id on disk: its SHA-256, or the keyed id where the store is encrypted.
    pub disk_id: Digest,
    /// Bytes of the plaintext.
    pub raw_len: u32,
    /// Bytes of the payload.
    pub stored_len: u32,
    payload_crc: u32,
}

impl Header {
    /// The bytes of the header.
    pub fn encode(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[..4].copy_from_slice(&MAGIC);
        out[4] = VERSION;
        out[5] = self.kind as u8;
        out[6] = self.codec;
        out[8..40].copy_from_slice(&self.disk_id.0);
        out[40..44].copy_from_slice(&self.raw_len.to_le_bytes());
        out[44..48].copy_from_slice(&self.stored_len.to_le_bytes());
        out[48..52].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = crc32fast::hash(&out[..52]);
        out[52..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// The header at the start of `bytes`, or why there is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let bytes: &[u8; HEADER] = bytes.first_chunk().ok_or("its header is cut off")?;
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if bytes[..4] != MAGIC {
            return Err("no record begins there");
        }
        if number(52) != crc32fast::hash(&bytes[..52]) {
            return Err("its header's checksum does not fit");
        }
        if bytes[4] != VERSION {
            return Err("its version is not known to this program");
        }
        let kind = ObjectKind::from_u8(bytes[5]).ok_or("its kind is not known")?;
        let mut id = [0; 32];
        id.copy_from_slice(&bytes[8..40]);
        let (raw_len, stored_len) = (number(40), number(44));
        if raw_len > OBJECT_BYTES_MAX || stored_len > OBJECT_BYTES_MAX {
            return Err("it claims to be larger than any object");
        }
        if bytes[6] & !ENCRYPTED > CODEC_ZSTD || bytes[7] != 0 {
            return Err("its coding is not known");
        }
        Ok(Self { kind, codec: bytes[6], disk_id: Digest(id), raw_len, stored_len, payload_crc: number(48) })
    }

    /// Bytes of the whole record.
    pub fn record_len(&self) -> u64 {
        HEADER as u64 + u64::from(self.stored_len)
    }

    /// Whether the payload is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.codec & ENCRYPTED != 0
    }

    /// Whether the payload's checksum fits: a quick check without decoding.
    pub fn payload_fits(&self, payload: &[u8]) -> bool {
        payload.len() == self.stored_len as usize && crc32fast::hash(payload) == self.payload_crc
    }
}

/// How objects are coded on their way into packs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Coding {
    /// The zstd level; `None` stores everything raw.
    pub level: Option<i32>,
}

impl Default for Coding {
    /// zstd level 3: measured as the better bargain of size and time on source trees.
    fn default() -> Self {
        Self { level: Some(3) }
    }
}

/// Objects below this many bytes are stored raw: a frame costs more than it saves.
const COMPRESS_BYTES_MIN: usize = 64;

thread_local! {
    // A context is large and slow to make; each worker thread keeps its own.
    static COMPRESSOR: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The whole record of an object, ready to be appended.
pub fn encode(
    kind: ObjectKind,
    id: &Digest,
    bytes: &[u8],
    coding: Coding,
    cipher: Option<&Cipher>,
) -> Result<Vec<u8>, WriteError> {
    if bytes.len() > OBJECT_BYTES_MAX as usize {
        return Err(WriteError::Crypto("an object is larger than 256 MiB"));
    }
    let mut record = vec![0; HEADER];
    let mut codec = CODEC_RAW;
    if let Some(level) = coding.level.filter(|_| bytes.len() >= COMPRESS_BYTES_MIN)
        && compress_into(&mut record, bytes, level)
    {
        codec = CODEC_ZSTD;
    } else {
        record.extend_from_slice(bytes);
    }
    let mut disk_id = *id;
    if let Some(cipher) = cipher {
        let sealed = cipher.seal(kind, id, &record[HEADER..])?;
        record.truncate(HEADER);
        record.extend_from_slice(&sealed);
        codec |= ENCRYPTED;
        disk_id = cipher.disk_id(id);
    }
    let payload = &record[HEADER..];
    let header = Header {
        kind,
        codec,
        disk_id,
        raw_len: bytes.len() as u32,
        stored_len: payload.len() as u32,
        payload_crc: crc32fast::hash(payload),
    };
    record[..HEADER].copy_from_slice(&header.encode());
    Ok(record)
}

/// Appends the compressed bytes where that saves anything; else leaves `record` as it was.
fn compress_into(record: &mut Vec<u8>, bytes: &[u8], level: i32) -> bool {
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|(made_for, _)| *made_for != level) {
            *slot = Compressor::new(level).ok().map(|compressor| (level, compressor));
        }
        let Some((_, compressor)) = slot else { return false };
        record.resize(HEADER + bytes.len(), 0);
        // The room is one byte short of the plaintext: what does not fit is not worth it.
        let room = HEADER + bytes.len() - 1;
        match compressor.compress_to_buffer(bytes, &mut record[HEADER..room]) {
            Ok(length) => record.truncate(HEADER + length),
            Err(_) => record.truncate(HEADER),
        }
        record.len() > HEADER
    })
}

/// The plaintext of a record, checked against the id that was asked for. The error says what does not fit.
///
/// The record's kind is not asked for: an id names bytes, and a file may hold just the bytes of some tree object. Whoever
/// reads a tree checks that it is one.
pub fn decode(header: &Header, payload: &[u8], id: &Digest, cipher: Option<&Cipher>) -> Result<Vec<u8>, &'static str> {
    let plain = plaintext(header, payload, cipher)?;
    if hash(&plain) == *id { Ok(plain) } else { Err("its content is not what its id says") }
}

/// The id and plaintext of a record found by a scan, checked against each other.
pub fn identify(header: &Header, payload: &[u8], cipher: Option<&Cipher>) -> Result<(Digest, Vec<u8>), &'static str> {
    let plain = plaintext(header, payload, cipher)?;
    let id = hash(&plain);
    let disk_id = cipher.map_or(id, |cipher| cipher.disk_id(&id));
    if disk_id == header.disk_id { Ok((id, plain)) } else { Err("its content is not what its id says") }
}

/// The plaintext, decrypted and decompressed, its id not yet checked.
fn plaintext(header: &Header, payload: &[u8], cipher: Option<&Cipher>) -> Result<Vec<u8>, &'static str> {
    if !header.payload_fits(payload) {
        return Err("its checksum does not fit");
    }
    let opened;
    let coded = match (cipher, header.is_encrypted()) {
        (Some(cipher), true) => {
            opened = cipher
                .open_on_disk(header.kind, &header.disk_id, payload)
                .map_err(|_| "it cannot be decrypted with this key")?;
            opened.as_slice()
        }
        (None, false) => payload,
        (None, true) => return Err("it is encrypted and no key is at hand"),
        (Some(_), false) => return Err("it is not encrypted, and this store is"),
    };
    let plain = match header.codec & !ENCRYPTED {
        CODEC_RAW => coded.to_vec(),
        _ => decompress(coded, header.raw_len as usize)?,
    };
    if plain.len() == header.raw_len as usize { Ok(plain) } else { Err("its length is not what its header says") }
}

fn decompress(coded: &[u8], length: usize) -> Result<Vec<u8>, &'static str> {
    // What a frame claims is checked first, so that a small one cannot ask for much memory.
    if zstd::zstd_safe::get_frame_content_size(coded).ok().flatten() != Some(length as u64) {
        return Err("its compressed form claims another size");
    }
    DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Decompressor::new().ok();
        }
        let decompressor = slot.as_mut().ok_or("no memory to decompress it")?;
        decompressor.decompress(coded, length).map_err(|_| "it cannot be decompressed")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(record: &[u8]) -> (Header, &[u8]) {
        (Header::decode(record).unwrap(), &record[HEADER..])
    }

    #[test]
    fn records_round_trip_compressed_or_not() {
        let noise: Vec<u8> = (0u32..500).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for bytes in [vec![], b"x".to_vec(), vec![b'a'; 5_000], noise] {
            for level in [None, Some(3), Some(19)] {
                let id = hash(&bytes);
                let record = encode(ObjectKind::Blob, &id, &bytes, Coding { level }, None).unwrap();
                let (header, payload) = split(&record);
                assert_eq!(decode(&header, payload, &id, None), Ok(bytes.clone()));
                assert!(record.len() <= HEADER + bytes.len());
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = vec![b'a'; 300];
        let id = hash(&bytes);
        let record = encode(ObjectKind::Tree, &id, &bytes, Coding::default(), None).unwrap();
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let read = Header::decode(&damaged).and_then(|header| decode(&header, &damaged[HEADER..], &id, None));
            assert!(read.is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_bomb_is_refused_before_memory_is_taken() {
        let bomb = zstd::bulk::compress(&vec![0; 10 << 20], 3).unwrap();
        assert!(decompress(&bomb, 100).is_err());
    }

    #[test]
    fn a_huge_window_asks_for_no_memory() {
        // A frame of 100 bytes, each an `a`, by RFC 8878: it claims a window of 2 GiB and more, which nothing here needs.
        let window = 21 << 3;
        let block = (100u32 << 3 | 1 << 1 | 1).to_le_bytes();
        let frame = [&[0x28, 0xb5, 0x2f, 0xfd, 0x80, window][..], &100u32.to_le_bytes(), &block[..3], b"a"].concat();
        let peak = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap().trim().to_owned();
            line.trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        let before = peak();
        assert!(
            decompress(&frame, 100).is_err_and(|why| !why.is_empty()) || decompress(&frame, 100) == Ok(vec![b'a'; 100])
        );
        assert!(peak() - before < 1 << 20, "from {before} to {} KiB", peak());
        assert!(decompress(&frame, 1_000).is_err());
    }
}
