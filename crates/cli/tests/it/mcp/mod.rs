//! `wfr mcp` from outside: messages in, messages out.
//!
//! Owns a client that knows nothing but lines. Refuses to use what the server uses.

mod bad;
mod calls;
mod clients;
mod steps;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::world::World;

/// A client of one server.
struct Client {
    server: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    last_id: u64,
    /// What came that answers nothing.
    news: Vec<Value>,
}

impl Client {
    /// A session with a handshake.
    fn of(world: &World) -> Self {
        let mut client = Self::silent(world, world.root());
        client.shake(json!({}));
        client
    }

    /// A server that has been told nothing.
    fn silent(world: &World, current: &Path) -> Self {
        let mut command = world.command(&["mcp"]);
        command.env("WFR_NO_UPKEEP", "1").env("USER", "ann").current_dir(current);
        let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (server.stdin.take(), BufReader::new(server.stdout.take().unwrap()));
        Self { server, input, output, last_id: 0, news: vec![] }
    }

    fn shake(&mut self, capabilities: Value) -> Value {
        let about = json!({"name": "tester", "version": "1"});
        let asked = json!({"protocolVersion": "2025-06-18", "capabilities": capabilities, "clientInfo": about});
        let answer = self.request("initialize", asked);
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        answer
    }

    fn send(&mut self, message: &Value) {
        self.line(message.to_string().as_bytes());
    }

    fn line(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(bytes).and_then(|()| input.write_all(b"\n")).and_then(|()| input.flush()).unwrap();
    }

    /// The next message.
    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    /// Sends a request; its id.
    fn ask(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params}));
        self.last_id
    }

    /// The answer to a request.
    fn answer(&mut self, id: u64) -> Value {
        loop {
            let message = self.next().expect("the server goes on");
            if message["id"] == json!(id) && message.get("method").is_none() {
                return message;
            }
            self.news.push(message);
        }
    }

    fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params);
        self.answer(id)
    }

    /// Calls a tool; its answer as the reference has it.
    #[track_caller]
    fn call(&mut self, name: &str, arguments: Value) -> Value {
        let answer = self.request("tools/call", json!({"name": name, "arguments": arguments}));
        let result = &answer["result"];
        let structured = result["structuredContent"].clone();
        assert!(structured.is_object(), "{answer}");
        assert_eq!(result["isError"], json!(structured["status"] == "error"), "{answer}");
        assert!(result["content"][0]["text"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
        structured
    }

    /// The same; it must succeed.
    #[track_caller]
    fn ok(&mut self, name: &str, arguments: Value) -> Value {
        let answer = self.call(name, arguments);
        assert_eq!(answer["status"], "success", "{answer}");
        answer["result"].clone()
    }

    /// The same; it must be refused with this code. What is to be done next is given.
    #[track_caller]
    fn refused(&mut self, name: &str, arguments: Value, code: &str) -> String {
        let answer = self.call(name, arguments);
        assert_eq!(answer["error"]["code"], code, "{answer}");
        answer["recovery_options"][0].as_str().unwrap_or_default().to_owned()
    }

    /// The client goes away: the server ends by itself.
    fn end(mut self) -> i32 {
        drop(self.input.take());
        while self.next().is_some() {}
        self.server.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
