//! Webhooks over TLS, against a server of our own with a certificate of our own.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::world::World;

/// Prints its port, then the body of each request that it takes.
const SERVER: &str = "
import http.server, ssl
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers['content-length'])).decode(), flush=True)
        self.send_response(200)
        self.send_header('content-length', '0')
        self.end_headers()
    def log_message(self, *arguments):
        pass
server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('leaf.pem', 'leaf.key')
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
";

struct Server {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn openssl(dir: &Path, line: &str) -> Option<()> {
    let mut command = Command::new("openssl");
    command.args(line.split(' ')).current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().ok().filter(std::process::ExitStatus::success).map(drop)
}

/// An authority in `ca.pem`, and a certificate of it for `localhost`, and no other name, in `leaf.pem`.
fn certificates(dir: &Path) -> Option<()> {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    let authority = "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign";
    openssl(dir, &format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=ours {authority}"))?;
    openssl(dir, &format!("req {key} -keyout leaf.key -out leaf.csr -subj /CN=localhost"))?;
    std::fs::write(dir.join("leaf.ext"), "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n").unwrap();
    openssl(
        dir,
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out leaf.pem -extfile leaf.ext",
    )
}

fn server(dir: &Path) -> Option<Server> {
    certificates(dir)?;
    let mut command = Command::new("python3");
    command.args(["-c", SERVER]).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let mut lines = BufReader::new(child.stdout.take()?).lines();
    let port = lines.next().and_then(|line| line.ok()?.parse().ok());
    if port.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    Some(Server { child, lines, port: port? })
}

fn point_to(world: &World, host: &str, port: u16) {
    let url = format!("https://{host}:{port}/hook");
    let sinks = json!([{"name": "web", "kind": "webhook", "url": url, "types": ["RESOURCE_ALLOCATED"]}]);
    world.ok(&["config", "coordination.sinks", &sinks.to_string()]);
}

#[test]
fn a_webhook_over_tls_gets_what_is_for_it_and_a_stranger_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut server) = server(dir.path()) else {
        wfr_testkit::skip("it needs openssl, and python3 with ssl");
        return;
    };
    let mut world = World::new();
    world.variables.push(("WFR_NO_UPKEEP", "1".into()));
    world.checkpoint("base");
    point_to(&world, "localhost", server.port);
    world.ok(&["allocate", "wf", r#"{"resources": {"tool_instances": 1}}"#]);
    // Nobody here trusts that authority yet.
    let refused = world.refused(&["outbox", "flush"], 1, "SINK_REFUSED");
    let why = refused.json["error"]["message"].as_str().unwrap().to_lowercase();
    assert!(why.contains("certificate") || why.contains("tls"), "{why}");
    world.variables.push(("SSL_CERT_FILE", dir.path().join("ca.pem")));
    // With the authority, but under a name that the certificate is not for.
    point_to(&world, "127.0.0.1", server.port);
    world.refused(&["outbox", "flush"], 1, "SINK_REFUSED");
    point_to(&world, "localhost", server.port);
    let flushed = world.ok(&["outbox", "flush"]);
    assert_eq!(flushed.result("sinks")[0]["delivered"], 1);
    let got: Value = serde_json::from_str(&server.lines.next().unwrap().unwrap()).unwrap();
    assert!(got["id"].as_str().unwrap().starts_with("evt_"), "the first that arrived at all: {got}");
    assert_eq!(got["data"]["event_type"], "RESOURCE_ALLOCATED", "{got}");
}
