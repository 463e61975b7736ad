//! Two streams as the protocol's transport: lines in, lines out, each by a thread of its own.
//!
//! Owns that neither a slow reader nor an endless line stops the loop. Refuses to know what messages mean: see
//! [`crate::messages`].

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::mpsc as threads;

use rmcp::RoleServer;
use rmcp::transport::Transport;
use tokio::sync::mpsc;

use crate::Stop;
use crate::lines::{self, Line};
use crate::messages::{Flow, Incoming, Judge, Judged, Outgoing};

/// Lines that wait on either side, at most.
const WAITING_MAX: usize = 16;

/// The transport.
pub struct Streams {
    incoming: mpsc::Receiver<Line>,
    outgoing: Option<mpsc::Sender<Vec<u8>>>,
    judge: Judge,
    /// An answer that has not gone out: reading may be given up at any point, and goes on with it.
    pending: Option<Vec<u8>>,
    stop: Stop,
}

impl Streams {
    /// Begins to read and write. The second value says when all is written.
    pub fn begin(
        input: Box<dyn BufRead + Send>,
        output: Box<dyn Write + Send>,
        stop: Stop,
    ) -> io::Result<(Self, threads::Receiver<()>)> {
        let (to_loop, incoming) = mpsc::channel(WAITING_MAX);
        let (outgoing, from_loop) = mpsc::channel(WAITING_MAX);
        let (ended, written) = threads::channel();
        std::thread::Builder::new().name("input".to_owned()).spawn(move || read(input, &to_loop))?;
        let writing = stop.clone();
        std::thread::Builder::new().name("output".to_owned()).spawn(move || {
            if write(output, from_loop).is_err() {
                // Whoever asked has gone away.
                writing.now();
            }
            drop(ended);
        })?;
        Ok((Self { incoming, outgoing: Some(outgoing), judge: Judge::default(), pending: None, stop }, written))
    }

    /// The requests under way.
    pub fn flow(&self) -> Arc<Flow> {
        self.judge.flow.clone()
    }
}

fn read(mut input: Box<dyn BufRead + Send>, to_loop: &mpsc::Sender<Line>) {
    // What cannot be read any more is at its end.
    while let Ok(Some(line)) = lines::next(&mut *input) {
        if to_loop.blocking_send(line).is_err() {
            return;
        }
    }
}

fn write(mut output: Box<dyn Write + Send>, mut from_loop: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(line) = from_loop.blocking_recv() {
        output.write_all(&line)?;
        output.flush()?;
    }
    Ok(())
}

fn line_of(message: &Outgoing) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the output is closed")
}

impl Transport<RoleServer> for Streams {
    type Error = io::Error;

    fn send(&mut self, message: Outgoing) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        self.judge.flow.goes_out(&message);
        let (line, outgoing) = (line_of(&message), self.outgoing.clone());
        async move { outgoing.ok_or_else(closed)?.send(line?).await.map_err(|_| closed()) }
    }

    async fn receive(&mut self) -> Option<Incoming> {
        loop {
            if self.pending.is_some() {
                let room = self.outgoing.as_ref()?.reserve().await.ok()?;
                room.send(self.pending.take().unwrap_or_default());
            }
            let Some(line) = self.incoming.recv().await else {
                // The client has gone: nobody waits for what is under way.
                self.stop.calls.cancel();
                return None;
            };
            match self.judge.judge(line) {
                Judged::Message(message) => return Some(*message),
                Judged::Answer(answer) => self.pending = line_of(&answer).ok(),
                Judged::Nothing => {}
            }
        }
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        self.outgoing = None;
        Ok(())
    }
}
