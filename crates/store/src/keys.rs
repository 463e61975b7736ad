//! How the master key is kept: wrapped for age recipients or a passphrase, or unlocked in a private file for hooks.
//!
//! Owns both forms. A wrapped key is an ordinary age file (`age-encryption.org/v1`), so `age -d` opens it without this
//! program; inside stands one line of text. Refuses to ask for passphrases and to know where keys are kept.
//!
//! Recipients are native X25519 ones (`age1...`). SSH keys and plugins are refused with a clear word.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

use crate::crypto::MasterKey;
use crate::disk;
use crate::vault::write_durably;

/// What opening a symbolic link gives where links are not followed.
const LOOP: i32 = rustix::io::Errno::LOOP.raw_os_error();

/// What the one line of a key begins with; the version of the form is in it.
const PREFIX: &str = "wfr-master-key-1:";

/// A key file that is longer than this many bytes is none.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// scrypt's work for new passphrases: N = 2^17, which takes 128 MiB and a good part of a second.
const SCRYPT_LOG_N: u8 = 17;

/// The most work that a file may ask for: 2^20 takes 1 GiB. A crafted file could ask for hours and all memory.
const SCRYPT_LOG_N_MAX: u8 = 20;

/// A text to be typed by a person, overwritten in memory when dropped.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// The passphrase with this text.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Whether it is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn secret(&self) -> SecretString {
        SecretString::from(self.0.to_string())
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// For whom something is encrypted.
#[derive(Debug)]
pub enum Recipients {
    /// For everyone who holds the identity of one of these `age1...` recipients.
    Keys(Vec<String>),
    /// For everyone who knows the passphrase.
    Passphrase(Passphrase),
}

/// With what something is decrypted.
#[derive(Debug)]
pub enum Unlock {
    /// The text of an age identity file: lines of `AGE-SECRET-KEY-1...`, empty ones and comments.
    Identities(Zeroizing<String>),
    /// A passphrase.
    Passphrase(Passphrase),
}

/// What opens an encrypted file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lock {
    /// Identities, whoever's.
    Identities,
    /// A passphrase.
    Passphrase,
}

impl Lock {
    /// What an age file is locked with, by its first bytes.
    pub fn of(input: impl Read) -> Result<Self, UnlockError> {
        let is_scrypt = age::Decryptor::new(input).map_err(damaged)?.is_scrypt();
        Ok(if is_scrypt { Self::Passphrase } else { Self::Identities })
    }

    /// That what opens it is not there.
    pub fn unopened(self) -> UnlockError {
        match self {
            Self::Identities => UnlockError::NeedsIdentity,
            Self::Passphrase => UnlockError::NeedsPassphrase,
        }
    }
}

/// Why something could not be encrypted for its recipients.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// No recipients were given.
    #[error("no recipients were given")]
    NoRecipients,
    /// A recipient is not of a kind that is known.
    #[error("`{0}` is not an age recipient: only native ones (`age1` and 58 more characters) are supported")]
    Recipient(String),
    /// An empty passphrase.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// The age library refused.
    #[error("cannot encrypt")]
    Age(#[from] age::EncryptError),
    /// Writing failed.
    #[error("cannot write the encrypted bytes")]
    Io(#[from] io::Error),
}

/// Why something could not be decrypted.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    /// It was encrypted with another passphrase; a damaged header looks the same.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// None of the identities is among those it was encrypted for.
    #[error("none of the identities opens it")]
    NoMatchingIdentity,
    /// It needs a passphrase and identities were given.
    #[error("it is locked with a passphrase, not for an identity")]
    NeedsPassphrase,
    /// It needs an identity and a passphrase was given.
    #[error("it is locked for identities, not with a passphrase")]
    NeedsIdentity,
    /// The identity text holds something else.
    #[error("line {line} of the identity file cannot be used: {why}")]
    Identity {
        /// Counted from 1.
        line: usize,
        /// What it is.
        why: &'static str,
    },
    /// It asks for more work than any honest file.
    #[error("it asks for 2^{0} rounds of scrypt, more than the 2^{SCRYPT_LOG_N_MAX} allowed")]
    ExcessiveWork(u8),
    /// It is not an age file, or was changed.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// Reading failed.
    #[error("cannot read the encrypted bytes")]
    Io(#[from] io::Error),
}

impl Recipients {
    /// An encryptor for these recipients.
    pub(crate) fn encryptor(&self) -> Result<age::Encryptor, LockError> {
        self.encryptor_with(SCRYPT_LOG_N)
    }

    fn encryptor_with(&self, log_n: u8) -> Result<age::Encryptor, LockError> {
        match self {
            Self::Keys(keys) => {
                let parsed: Vec<age::x25519::Recipient> = keys
                    .iter()
                    .map(|key| key.trim().parse().map_err(|_| LockError::Recipient(key.clone())))
                    .collect::<Result<_, _>>()?;
                if parsed.is_empty() {
                    return Err(LockError::NoRecipients);
                }
                Ok(age::Encryptor::with_recipients(parsed.iter().map(|key| key as &dyn age::Recipient))?)
            }
            Self::Passphrase(passphrase) if passphrase.is_empty() => Err(LockError::EmptyPassphrase),
            Self::Passphrase(passphrase) => {
                let mut recipient = age::scrypt::Recipient::new(passphrase.secret());
                recipient.set_work_factor(log_n);
                Ok(age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))?)
            }
        }
    }
}

impl Unlock {
    /// The plaintext of an age file, as a stream. Errors of later bytes come from reading.
    pub(crate) fn decrypt<R: Read>(&self, input: R) -> Result<age::stream::StreamReader<R>, UnlockError> {
        let decryptor = age::Decryptor::new(input).map_err(damaged)?;
        match (self, decryptor.is_scrypt()) {
            (Self::Passphrase(_), false) => Err(UnlockError::NeedsIdentity),
            (Self::Identities(_), true) => Err(UnlockError::NeedsPassphrase),
            (Self::Passphrase(passphrase), true) => {
                let mut identity = age::scrypt::Identity::new(passphrase.secret());
                identity.set_max_work_factor(SCRYPT_LOG_N_MAX);
                decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).map_err(|error| match error {
                    age::DecryptError::DecryptionFailed | age::DecryptError::KeyDecryptionFailed => {
                        UnlockError::WrongPassphrase
                    }
                    other => damaged(other),
                })
            }
            (Self::Identities(text), false) => {
                let identities = parse_identities(text)?;
                decryptor.decrypt(identities.iter().map(|identity| identity as &dyn age::Identity)).map_err(damaged)
            }
        }
    }
}

/// What the age library says, in this program's words.
fn damaged(error: age::DecryptError) -> UnlockError {
    use age::DecryptError as E;
    match error {
        E::NoMatchingKeys => UnlockError::NoMatchingIdentity,
        E::ExcessiveWork { required, .. } => UnlockError::ExcessiveWork(required),
        E::Io(source) if source.kind() != io::ErrorKind::UnexpectedEof => UnlockError::Io(source),
        E::Io(_) => UnlockError::Damaged("it ends too early".to_owned()),
        E::InvalidHeader | E::UnknownFormat => UnlockError::Damaged("it is not an age file of version 1".to_owned()),
        E::InvalidMac => UnlockError::Damaged("its header was changed".to_owned()),
        other => UnlockError::Damaged(other.to_string()),
    }
}

fn parse_identities(text: &str) -> Result<Vec<age::x25519::Identity>, UnlockError> {
    let mut found = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The line itself is a secret and stays out of the error.
        let refuse = |why| UnlockError::Identity { line: number, why };
        let identity = line.parse().map_err(|_| match line {
            _ if line.starts_with("AGE-PLUGIN-") => refuse("plugins are not supported"),
            _ if line.starts_with("-----BEGIN") => refuse("SSH keys are not supported"),
            _ if line.starts_with("age-encryption.org/") => refuse("the identity file is itself encrypted"),
            _ if line.starts_with("age1") => refuse("it is a recipient, not an identity"),
            _ => refuse("it is not an age identity"),
        })?;
        found.push(identity);
    }
    if found.is_empty() { Err(UnlockError::NoMatchingIdentity) } else { Ok(found) }
}

/// The recipients of an identity file's identities, in its order.
///
/// # Errors
/// Where a line of the text is no identity, or none is.
pub fn recipients_of(identities: &str) -> Result<Vec<String>, UnlockError> {
    Ok(parse_identities(identities)?.iter().map(|identity| identity.to_public().to_string()).collect())
}

/// The master key, wrapped: an age file of a few hundred bytes.
pub fn wrap(key: &MasterKey, recipients: &Recipients) -> Result<Vec<u8>, LockError> {
    wrap_with(key, recipients.encryptor()?)
}

fn wrap_with(key: &MasterKey, encryptor: age::Encryptor) -> Result<Vec<u8>, LockError> {
    let mut out = Vec::new();
    let mut writer = encryptor.wrap_output(&mut out)?;
    writer.write_all(line(key).as_bytes())?;
    writer.finish()?;
    Ok(out)
}

/// The master key out of its wrapped form.
pub fn unwrap(wrapped: &[u8], unlock: &Unlock) -> Result<MasterKey, UnlockError> {
    if wrapped.len() as u64 > FILE_BYTES_MAX {
        return Err(UnlockError::Damaged("it is longer than any key".to_owned()));
    }
    let mut text = Zeroizing::new(Vec::with_capacity(512));
    let reader = unlock.decrypt(wrapped)?;
    // Reading from memory fails only where the content was changed or cut.
    reader.take(512).read_to_end(&mut text).map_err(|error| UnlockError::Damaged(error.to_string()))?;
    parse(&text).ok_or_else(|| UnlockError::Damaged("what it holds is not a master key".to_owned()))
}

/// The text form of a key: prefix, 64 hexadecimal digits, a dash, the fingerprint, a line feed.
fn line(key: &MasterKey) -> Zeroizing<String> {
    let mut line = Zeroizing::new(String::with_capacity(PREFIX.len() + 64 + 34));
    line.push_str(PREFIX);
    for byte in key.expose() {
        for digit in [byte >> 4, byte & 15] {
            line.push(char::from_digit(u32::from(digit), 16).expect("four bits are one digit"));
        }
    }
    line.push('-');
    line.push_str(&key.fingerprint());
    line.push('\n');
    line
}

/// The key in a text form; `None` where it is none or its fingerprint does not fit.
fn parse(text: &[u8]) -> Option<MasterKey> {
    let text = std::str::from_utf8(text).ok()?.trim_end();
    let (digits, fingerprint) = text.strip_prefix(PREFIX)?.split_once('-')?;
    let mut bytes = Zeroizing::new([0; 32]);
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = (digit(0)? << 4 | digit(1)?) as u8;
    }
    let key = MasterKey::from_bytes(bytes);
    (key.fingerprint() == fingerprint).then_some(key)
}

/// Why an unlocked key file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum UnlockedError {
    /// There is none.
    #[error("no unlocked key at {0}")]
    Absent(PathBuf),
    /// Others could read or have written it.
    #[error("the unlocked key {place} is not private: {why}")]
    NotPrivate {
        /// The file.
        place: PathBuf,
        /// Which rule it breaks.
        why: &'static str,
    },
    /// Its content is not a key.
    #[error("the unlocked key {0} is damaged")]
    Damaged(PathBuf),
    /// The system refused.
    #[error("cannot use the unlocked key {place}")]
    Io {
        /// The file.
        place: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes the key in the clear, readable by its owner only: whole or not at all.
pub fn write_unlocked(path: &Path, key: &MasterKey) -> Result<(), UnlockedError> {
    let failed = |source| UnlockedError::Io { place: path.to_owned(), source };
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    };
    write_durably(dir, name, line(key).as_bytes()).map_err(failed)
}

/// Reads a key in the clear. A link, another owner's file, or one that others can open is refused.
pub fn read_unlocked(path: &Path) -> Result<MasterKey, UnlockedError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => UnlockedError::Absent(path.to_owned()),
        _ if source.raw_os_error() == Some(LOOP) => not_private(path, "it is a symbolic link"),
        _ => UnlockedError::Io { place: path.to_owned(), source },
    };
    // Not blocking, so that a pipe put in its place cannot hang a hook.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file: File = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?.into();
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() {
        return Err(not_private(path, "it is not a regular file"));
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(not_private(path, "it belongs to someone else"));
    }
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(not_private(path, "others have permissions on it; run `chmod 600`"));
    }
    let mut text = Zeroizing::new(Vec::with_capacity(512));
    file.take(512).read_to_end(&mut text).map_err(failed)?;
    parse(&text).ok_or_else(|| UnlockedError::Damaged(path.to_owned()))
}

/// Removes an unlocked key; one that is not there is fine. The bytes may stay on the medium.
pub fn remove_unlocked(path: &Path) -> Result<(), UnlockedError> {
    let failed = |source| UnlockedError::Io { place: path.to_owned(), source };
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    };
    let dir = disk::open_dir(dir).map_err(failed)?;
    match disk::unlink(&dir, Path::new(name)) {
        Ok(()) => disk::sync_all(&dir).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

fn not_private(path: &Path, why: &'static str) -> UnlockedError {
    UnlockedError::NotPrivate { place: path.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use age::secrecy::ExposeSecret;

    fn key() -> MasterKey {
        MasterKey::from_bytes(Zeroizing::new([0xa5; 32]))
    }

    fn identity() -> (Unlock, String) {
        let identity = age::x25519::Identity::generate();
        let text = format!("# made for a test\n\n{}\n", identity.to_string().expose_secret());
        (Unlock::Identities(Zeroizing::new(text)), identity.to_public().to_string())
    }

    fn phrase(text: &str) -> Passphrase {
        Passphrase::new(text.to_owned())
    }

    /// Wrapped with a passphrase, at little cost.
    fn wrapped_cheaply(text: &str) -> Vec<u8> {
        wrap_with(&key(), Recipients::Passphrase(phrase(text)).encryptor_with(4).unwrap()).unwrap()
    }

    #[test]
    fn each_recipient_opens_it_and_nobody_else() {
        let ((first, a), (second, b), (stranger, _)) = (identity(), identity(), identity());
        let wrapped = wrap(&key(), &Recipients::Keys(vec![a, b])).unwrap();
        for unlock in [first, second] {
            assert_eq!(unwrap(&wrapped, &unlock).unwrap().expose(), key().expose());
        }
        assert!(matches!(unwrap(&wrapped, &stranger), Err(UnlockError::NoMatchingIdentity)));
        let typed = Unlock::Passphrase(phrase("x"));
        assert!(matches!(unwrap(&wrapped, &typed), Err(UnlockError::NeedsIdentity)));
    }

    #[test]
    fn a_passphrase_opens_it_and_another_does_not() {
        let wrapped = wrapped_cheaply("correct horse");
        let unlock = |text| unwrap(&wrapped, &Unlock::Passphrase(phrase(text)));
        assert_eq!(unlock("correct horse").unwrap().expose(), key().expose());
        assert!(matches!(unlock("battery staple"), Err(UnlockError::WrongPassphrase)));
        assert!(matches!(unwrap(&wrapped, &identity().0), Err(UnlockError::NeedsPassphrase)));
    }

    #[test]
    fn a_file_says_what_opens_it() {
        let lock = |bytes: &[u8]| Lock::of(bytes);
        assert_eq!(lock(&wrapped_cheaply("p")).unwrap(), Lock::Passphrase);
        let wrapped = wrap(&key(), &Recipients::Keys(vec![identity().1])).unwrap();
        assert_eq!(lock(&wrapped).unwrap(), Lock::Identities);
        assert!(matches!(lock(b"noise"), Err(UnlockError::Damaged(_))));
    }

    #[test]
    fn the_work_for_a_new_passphrase_is_what_it_should_be() {
        let wrapped = wrap(&key(), &Recipients::Passphrase(phrase("p"))).unwrap();
        let header = String::from_utf8_lossy(&wrapped[..200]).into_owned();
        assert!(header.starts_with("age-encryption.org/v1\n-> scrypt ") && header.contains(" 17\n"), "{header}");
    }

    #[test]
    fn a_file_that_asks_for_too_much_work_is_refused() {
        let wrapped = wrapped_cheaply("p");
        let header = String::from_utf8_lossy(&wrapped).replace(" 4\n", " 21\n");
        let unlock = Unlock::Passphrase(phrase("p"));
        assert!(matches!(
            unwrap(header.as_bytes(), &unlock),
            Err(UnlockError::ExcessiveWork(21)) | Err(UnlockError::Damaged(_))
        ));
        let at = wrapped.windows(3).position(|w| w == b" 4\n").unwrap();
        let mut greedy = wrapped[..at].to_vec();
        greedy.extend_from_slice(b" 21\n");
        greedy.extend_from_slice(&wrapped[at + 3..]);
        assert!(matches!(unwrap(&greedy, &unlock), Err(UnlockError::ExcessiveWork(21))));
    }

    #[test]
    fn damage_is_told_and_never_gives_a_key() {
        let (unlock, recipient) = identity();
        let wrapped = wrap(&key(), &Recipients::Keys(vec![recipient])).unwrap();
        for at in 0..wrapped.len() {
            let mut changed = wrapped.clone();
            changed[at] ^= 1;
            assert!(unwrap(&changed, &unlock).is_err(), "byte {at}");
            assert!(unwrap(&wrapped[..at], &unlock).is_err(), "length {at}");
        }
        assert!(matches!(unwrap(b"no age file", &unlock), Err(UnlockError::Damaged(_))));
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (text, word) in [
            ("age1xyz", "recipient"),
            ("AGE-PLUGIN-YUBIKEY-1", "plugins"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----", "SSH"),
            ("age-encryption.org/v1", "encrypted"),
            ("\n#\njunk", "not an age identity"),
        ] {
            let error = parse_identities(text).err().unwrap().to_string();
            assert!(error.contains(word) && !error.contains("junk"), "{error}");
        }
        assert!(matches!(Recipients::Keys(vec![]).encryptor().err(), Some(LockError::NoRecipients)));
        let ssh = Recipients::Keys(vec!["ssh-ed25519 AAAA".to_owned()]);
        assert!(matches!(ssh.encryptor().err(), Some(LockError::Recipient(_))));
        assert!(matches!(Recipients::Passphrase(phrase("")).encryptor().err(), Some(LockError::EmptyPassphrase)));
        assert_eq!(format!("{:?}", phrase("secret")), "Passphrase(..)");
    }

    #[test]
    fn an_unlocked_key_is_private_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("unlocked");
        assert!(matches!(read_unlocked(&path), Err(UnlockedError::Absent(_))));
        write_unlocked(&path, &key()).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_unlocked(&path).unwrap().expose(), key().expose());
        for mode in [0o640, 0o604, 0o660, 0o777] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert!(matches!(read_unlocked(&path), Err(UnlockedError::NotPrivate { .. })), "{mode:o}");
        }
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(read_unlocked(&link), Err(UnlockedError::NotPrivate { .. })));
        remove_unlocked(&path).unwrap();
        remove_unlocked(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_pipe_in_its_place_does_not_hang() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(matches!(read_unlocked(&path), Err(UnlockedError::NotPrivate { .. })));
    }

    #[test]
    fn a_changed_unlocked_key_is_noticed() {
        let text = line(&key());
        for at in 0..text.trim_end().len() {
            let mut changed = text.as_bytes().to_vec();
            changed[at] ^= 1;
            assert!(parse(&changed).is_none(), "byte {at}");
        }
        assert!(parse(text.as_bytes()).is_some());
    }
}
