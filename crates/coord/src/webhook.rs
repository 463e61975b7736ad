//! A webhook: an item is posted as a CloudEvent.
//!
//! Owns what counts as taken: an answer of the 200s. Refuses to follow redirects, which would turn a post into
//! something else, and to read long answers.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use crate::cloudevent;
use crate::item::{Item, Refusal};

/// How much of an answer is kept for people, in bytes.
const ANSWER_BYTES_MAX: u64 = 300;

/// The longest value of a header, in bytes.
const HEADER_BYTES_MAX: u64 = 8 << 10;

/// Where items are posted to.
pub struct Webhook {
    agent: Agent,
    url: String,
    source: String,
    authorization: Option<PathBuf>,
}

impl Webhook {
    /// One that is given so long for each item. `source` goes into every CloudEvent.
    pub fn new(url: &str, source: &str, authorization: Option<PathBuf>, time_limit: Duration) -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .timeout_global(Some(time_limit))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("wfr/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        Self { agent: config.into(), url: url.to_owned(), source: source.to_owned(), authorization }
    }

    /// Posts one item.
    pub fn deliver(&self, item: &Item) -> Result<(), Refusal> {
        let mut request = self
            .agent
            .post(&self.url)
            .header("Content-Type", cloudevent::MEDIA_TYPE)
            .header("Idempotency-Key", &item.id);
        if let Some(file) = &self.authorization {
            let value = secret(file).map_err(|error| Refusal(format!("{}: {error}", file.display())))?;
            request = request.header("Authorization", value);
        }
        let answer = request.send(cloudevent::of(item, &self.source)).map_err(|error| unanswered(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let mut said = Vec::new();
        // What it says besides its status is for people; it may be cut off.
        let _ = answer.into_body().into_reader().take(ANSWER_BYTES_MAX).read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        let said = said.trim();
        Err(Refusal(if said.is_empty() { format!("answered {status}") } else { format!("answered {status}: {said}") }))
    }
}

/// Why there is no answer, and what to look at.
fn unanswered(error: &ureq::Error) -> Refusal {
    let look = match error {
        ureq::Error::HostNotFound => "its host's name is not known: check `url`",
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => "the address cannot be used: check `url`",
        ureq::Error::Timeout(_) => "it took too long: `timeout` says how long is waited",
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => "the connection cannot be trusted: check its certificate",
        _ => "check that it listens at `url`",
    };
    Refusal(format!("the webhook did not answer ({error}); {look}"))
}

/// The first line of a file that holds a secret; it is read each time, so that it can be changed.
fn secret(file: &PathBuf) -> io::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(HEADER_BYTES_MAX).read_to_string(&mut text)?;
    let line = text.lines().next().unwrap_or_default().trim().to_owned();
    if line.is_empty() { Err(io::Error::new(io::ErrorKind::InvalidData, "its first line is empty")) } else { Ok(line) }
}
