//! A server that does what it is told, and tries what no server should: the tests of the walls around processes talk to it.
//!
//! One JSON object a line, `{"id":1,"do":"read","what":"/etc/shadow"}`, and one back: `{"id":1,"ok":"…"}` or
//! `{"id":1,"no":"…"}`.

use std::{
    env, fs,
    io::{self, BufRead, Write},
    net::{TcpStream, ToSocketAddrs, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixStream},
    },
    path::Path,
    process::{Command, Stdio, exit},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

#[path = "../proxied.rs"]
mod proxied;

fn main() {
    let mut lingers = false;
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let Ok(order) = serde_json::from_str::<Value>(&line) else { continue };
        let what = order["what"].as_str().unwrap_or_default();
        lingers |= order["do"] == "linger";
        let answer = match act(order["do"].as_str().unwrap_or_default(), what) {
            Ok(text) => json!({ "id": order["id"], "ok": text }),
            Err(error) => json!({ "id": order["id"], "no": error.to_string() }),
        };
        say(&format!("{answer}\n"));
    }
    if lingers {
        loop {
            thread::sleep(Duration::from_secs(1));
        }
    }
}

fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn act(order: &str, what: &str) -> io::Result<String> {
    let number = || what.parse::<usize>().unwrap_or(0);
    match order {
        "echo" | "linger" => Ok(what.to_owned()),
        "arguments" => Ok(json!(env::args().skip(1).collect::<Vec<_>>()).to_string()),
        "environment" => Ok(fs::read_to_string("/proc/self/environ").unwrap_or_default()),
        "variable" => environment(what),
        "read" => fs::read(what).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        "write" => fs::write(what, "hostile").map(|()| "written".into()),
        "link" => {
            let (there, here) = what.split_once(' ').unwrap_or_default();
            std::os::unix::fs::symlink(there, here).map(|()| "linked".into())
        }
        "list" => {
            let names = fs::read_dir(what)?.filter_map(Result::ok).map(|entry| entry.file_name());
            Ok(names.map(|name| name.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" "))
        }
        "seek" => Ok(seek(what)),
        "tcp" => TcpStream::connect_timeout(&what.parse().map_err(io::Error::other)?, Duration::from_secs(3))
            .map(|_| "connected".into()),
        "greet" => proxied::greet(what),
        "hold" => proxied::tunnel(what).map(|tunnel| {
            std::mem::forget(tunnel);
            "held".into()
        }),
        "resolve" => what.to_socket_addrs().map(|found| format!("{:?}", found.collect::<Vec<_>>())),
        "udp" => UdpSocket::bind("0.0.0.0:0")?.send_to(b"hostile", what).map(|_| "sent".into()),
        "abstract" => UnixStream::connect_addr(&SocketAddr::from_abstract_name(what)?).map(|_| "connected".into()),
        "unix" => UnixStream::connect(what).map(|_| "connected".into()),
        "run" => {
            let words: Vec<_> = what.split(' ').collect();
            let mut command = Command::new(words[0]);
            let ran = command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            ran.status().map(|status| status.to_string())
        }
        "leave" => {
            let words: Vec<_> = what.split(' ').collect();
            Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).spawn().map(|child| child.id().to_string())
        }
        "bomb" => {
            let mut started = 0;
            while started < 100_000 && Command::new("sleep").arg(what).stdin(Stdio::null()).spawn().is_ok() {
                started += 1;
            }
            Ok(started.to_string())
        }
        "eat" => {
            let mut eaten = Vec::new();
            for _ in 0..number() {
                let mut piece = Vec::new();
                if piece.try_reserve_exact(1 << 20).is_err() {
                    return Err(io::Error::other("no more memory"));
                }
                piece.resize(1 << 20, 1_u8);
                eaten.push(piece);
            }
            Ok(eaten.len().to_string())
        }
        "noise" => {
            for line in 0..number() {
                say(&format!("noise {line}\n"));
            }
            Ok("made".into())
        }
        "complain" => {
            let mut errors = io::stderr().lock();
            for line in 0..number() {
                writeln!(errors, "complaint {line}")?;
            }
            Ok("made".into())
        }
        "tell" => writeln!(io::stderr(), "{what}").map(|()| "told".into()),
        "exit" => exit(what.parse().unwrap_or(1)),
        _ => Err(io::Error::other("what?")),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is what the environment is for in a server")]
fn environment(name: &str) -> io::Result<String> {
    env::var(name).map_err(io::Error::other)
}

/// Looks for a text in whatever can be read of other processes, and in every directory that can be seen.
fn seek(text: &str) -> String {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
        let own = entry.file_name().to_str() == Some(&std::process::id().to_string());
        for file in ["environ", "cmdline", "mem"] {
            let path = entry.path().join(file);
            if !own && fs::read(&path).is_ok_and(|bytes| contains(&bytes, text)) {
                found.push(path.display().to_string());
            }
        }
        if !own {
            for place in ["root/root", "root/home", "root/tmp", "cwd"] {
                walk(&entry.path().join(place), text, 3, &mut found);
            }
        }
    }
    for place in ["/home", "/root", "/tmp", "/var", "/run", "/srv", "/work", "/etc"] {
        walk(Path::new(place), text, 8, &mut found);
    }
    found.join(" ")
}

fn walk(place: &Path, text: &str, depth: u32, found: &mut Vec<String>) {
    for entry in fs::read_dir(place).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth > 0 {
            walk(&path, text, depth - 1, found);
        } else if kind.is_file()
            && entry.metadata().is_ok_and(|about| about.len() < 1 << 20)
            && fs::read(&path).is_ok_and(|bytes| contains(&bytes, text))
        {
            found.push(path.display().to_string());
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
