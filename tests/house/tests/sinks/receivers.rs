//! Receivers: the programs in `tests/receivers`, and a syslog server.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::place::free_port;

pub const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.cache/receivers/bin/python");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../receivers/receiver.py");
const RSYSLOG: &str = "/usr/sbin/rsyslogd";

/// A receiver that can be stopped and started again where it was.
pub struct Receiver {
    pub port: u16,
    pub out: PathBuf,
    command: Vec<String>,
    child: Option<Child>,
}

/// Whether what a test needs is there; where everything must be tried, it is a failure if not.
pub fn is_there(program: &str) -> bool {
    let there = Path::new(program).exists();
    #[expect(
        clippy::disallowed_methods,
        reason = "that everything must be tried is said by the surroundings of the run"
    )]
    let must = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    assert!(there || !must, "{program} is missing");
    if !there {
        #[expect(clippy::print_stderr, reason = "a test that is left out says so")]
        {
            eprintln!("left out: {program} is not there; `./test` installs it");
        }
    }
    there
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Receiver {
    /// A program that takes `otlp` or `webhook`.
    pub fn python(kind: &str, folder: &Path, options: &[&str]) -> Result<Option<Self>> {
        if !is_there(PYTHON) {
            return Ok(None);
        }
        let (port, out) = (free_port()?, folder.join("received"));
        let mut command = vec![PYTHON.into(), SCRIPT.into(), kind.into(), port.to_string(), out.display().to_string()];
        command.extend(options.iter().map(|option| (*option).to_owned()));
        let mut receiver = Self { port, out, command, child: None };
        receiver.start()?;
        Ok(Some(receiver))
    }

    /// An authority for time stamps, with its certificates in `folder`.
    pub fn stamps(folder: &Path, options: &[&str]) -> Result<Option<Self>> {
        if !is_there(PYTHON) {
            return Ok(None);
        }
        let port = free_port()?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../receivers/tsa.py");
        let mut command = vec![PYTHON.into(), script.into(), port.to_string(), folder.display().to_string()];
        command.extend(options.iter().map(|option| (*option).to_owned()));
        let mut receiver = Self { port, out: folder.join("reply.tsr"), command, child: None };
        receiver.start()?;
        Ok(Some(receiver))
    }

    /// A syslog server that asks for a certificate of its own authority.
    pub fn rsyslog(folder: &Path) -> Result<Option<Self>> {
        if !is_there(RSYSLOG) {
            return Ok(None);
        }
        let (port, out) = (free_port()?, folder.join("received"));
        certificates(folder)?;
        let at = |name: &str| folder.join(name).display().to_string();
        let settings = format!(
            r#"global(workDirectory="{}" maxMessageSize="64k" defaultNetstreamDriver="gtls"
              defaultNetstreamDriverCAFile="{}" defaultNetstreamDriverCertFile="{}" defaultNetstreamDriverKeyFile="{}")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
input(type="imtcp" address="127.0.0.1" port="{port}")
template(name="parsed" type="list" option.jsonf="on") {{
  property(outname="host" name="hostname" format="jsonf")
  property(outname="app" name="app-name" format="jsonf")
  property(outname="event" name="msgid" format="jsonf")
  property(outname="severity" name="syslogseverity" format="jsonf")
  property(outname="facility" name="syslogfacility" format="jsonf")
  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="data" name="structured-data" format="jsonf")
  property(outname="text" name="msg" format="jsonf")
}}
action(type="omfile" file="{}" template="parsed")
"#,
            folder.display(),
            at("ca.pem"),
            at("server.pem"),
            at("server.key"),
            out.display()
        );
        fs::write(folder.join("rsyslog.conf"), settings)?;
        let command = [RSYSLOG, "-n", "-f", &at("rsyslog.conf"), "-i", &at("rsyslog.pid")].map(str::to_owned);
        let mut receiver = Self { port, out, command: command.into(), child: None };
        receiver.start()?;
        Ok(Some(receiver))
    }

    pub fn start(&mut self) -> Result<()> {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).stdin(Stdio::null());
        if self.command[0] == PYTHON {
            let mut child = command.stdout(Stdio::piped()).spawn()?;
            let out = child.stdout.take().context("its output")?;
            self.child = Some(child);
            let ready = BufReader::new(out).lines().next().context("it did not start")??;
            ensure!(ready == "ready", "{ready}");
        } else {
            self.child = Some(command.stdout(Stdio::null()).spawn()?);
            let enough = Instant::now() + Duration::from_secs(20);
            while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
                ensure!(Instant::now() < enough, "the syslog server did not start");
                sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    /// Stops it as whoever runs it does.
    pub fn stop(&mut self) -> Result<()> {
        let mut child = self.child.take().context("it runs")?;
        let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
        ensure!(asked.success(), "kill failed");
        child.wait()?;
        Ok(())
    }

    /// Whatever it refused, it takes when it is started the next time.
    pub fn takes_everything(&mut self) {
        if let Some(at) = self.command.iter().position(|word| word == "--refuse") {
            self.command.drain(at..at + 2);
        }
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What it has taken, in its order.
    pub fn received(&self) -> Result<Vec<Value>> {
        read(&self.out)
    }
}

/// The JSON lines of a file; a last one that is being written is not one yet.
pub fn read(file: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// An authority, and certificates of a server and a client.
fn certificates(folder: &Path) -> Result<()> {
    let openssl = |arguments: &[&str]| {
        let ended = Command::new("openssl").args(arguments).current_dir(folder).output()?;
        ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        Ok(())
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let ca = ["req", "-x509", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(&[&ca[..], &key[..]].concat())?;
    for (name, extension) in [("server", "subjectAltName=IP:127.0.0.1"), ("client", "subjectAltName=DNS:gateway")] {
        let (subject, out, secret) = (format!("/CN={name}"), format!("{name}.pem"), format!("{name}.key"));
        let signed =
            ["req", "-x509", "-subj", &subject, "-keyout", &secret, "-out", &out, "-CA", "ca.pem", "-CAkey", "ca.key"];
        let leaf = ["-addext", extension, "-addext", "basicConstraints=critical,CA:FALSE"];
        openssl(&[&signed[..], &leaf[..], &key[..]].concat())?;
    }
    Ok(())
}
