//! A tiny HTTP server, by whose answers every trouble of a webhook is played.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// What the server does with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    Status(u16),
    /// Reads the request and says nothing until the server ends.
    Hang,
    /// Takes it, and says so only so long after.
    Late(Duration),
    /// Closes within the head of its answer.
    CloseInHead,
    /// Says that it took it, and closes within the body.
    CloseInBody,
    /// Points elsewhere.
    Redirect,
}

pub struct Server {
    pub url: String,
    pub got: Receiver<Posted>,
    acts: Arc<Mutex<Vec<Act>>>,
}

/// One request as it arrived.
#[derive(Debug)]
pub struct Posted {
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Posted {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    pub fn id(&self) -> &str {
        self.body["id"].as_str().unwrap()
    }
}

impl Server {
    /// A server that does these acts one after the other, and the last one for ever.
    pub fn new(acts: &[Act]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let acts = Arc::new(Mutex::new(acts.iter().rev().copied().collect::<Vec<_>>()));
        let (send, got) = channel();
        let shared = acts.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (send, acts) = (send.clone(), shared.clone());
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    while let Some(posted) = read(&mut reader) {
                        let act = {
                            let mut acts = acts.lock().unwrap();
                            if acts.len() > 1 { acts.pop().unwrap() } else { acts[0] }
                        };
                        let _ = send.send(posted);
                        if !answer(reader.get_mut(), act) {
                            return;
                        }
                    }
                });
            }
        });
        Self { url, got, acts }
    }

    pub fn turn(&self, act: Act) {
        *self.acts.lock().unwrap() = vec![act];
    }

    pub fn ids(&self) -> Vec<String> {
        self.got.try_iter().map(|posted| posted.id().to_owned()).collect()
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Posted> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    assert!(line.starts_with("POST /hook HTTP/1.1"), "{line}");
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((key, value)) = line.trim_end().split_once(':') else { break };
        headers.push((key.to_owned(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length?.1.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Posted { headers, body: serde_json::from_slice(&body).ok()? })
}

/// Answers; `false` where the connection is over.
fn answer(stream: &mut TcpStream, act: Act) -> bool {
    let text = match act {
        Act::Status(status) => format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 9\r\n\r\nno luck.\n"),
        Act::Hang => {
            // The other side gives up, which is seen as the end of its stream.
            let _ = stream.read(&mut [0]);
            return false;
        }
        Act::Late(length) => {
            // Nothing comes from the other side before it has the answer, unless it gives up.
            let _ = stream.set_read_timeout(Some(length));
            let _ = stream.read(&mut [0]);
            let _ = stream.set_read_timeout(None);
            "HTTP/1.1 200 Late\r\nContent-Length: 0\r\n\r\n".to_owned()
        }
        Act::CloseInHead => "HTTP/1.1 2".to_owned(),
        Act::CloseInBody => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_owned(),
        Act::Redirect => "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_owned(),
    };
    stream.write_all(text.as_bytes()).is_ok() && matches!(act, Act::Status(_) | Act::Redirect | Act::Late(_))
}
