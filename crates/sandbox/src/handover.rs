//! A listener inside a network in which there is nothing else, and how the keeper gets it.
//!
//! The launcher's standard input is then a socket instead of a pipe. The outer process answers the first plan on it with the
//! listener and with the end of a new pipe, takes the other end of that for its standard input, and lets go of the socket:
//! what comes after the plan, and the end of it, goes by the pipe as it always does, and the program never has the socket.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::{Ipv4Addr, TcpListener},
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType, recv, recvmsg, send, sendmsg, socket_with,
    },
    pipe::{PipeFlags, pipe_with},
    stdio::{dup2_stdin, stdin},
};

/// The loopback is the first interface of every network.
const LOOPBACK: i32 = 1;
/// Goes with the descriptors, which cannot go alone.
const WORD: [u8; 1] = *b"!";

/// What a keeper gets of a launcher that was told to open a listener.
#[derive(Debug)]
pub struct Handed {
    /// On the loopback of the program's network: who is accepted here is the program, or something that it started.
    pub listener: TcpListener,
    /// What goes in here is the rest of the launcher's standard input.
    pub input: OwnedFd,
}

impl Handed {
    /// Takes it from `socket`, whose other end is the standard input of a launcher. Waits if the socket does.
    pub fn take(socket: impl AsFd) -> io::Result<Self> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut word = [0; WORD.len()];
        let received = recvmsg(socket, &mut [IoSliceMut::new(&mut word)], &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes;
        if received == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut handed = control.drain().flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
            _ => Vec::new(),
        });
        match (handed.next(), handed.next()) {
            (Some(listener), Some(input)) if word == WORD => Ok(Self { listener: listener.into(), input }),
            _ => Err(io::Error::other("it is no launcher")),
        }
    }
}

/// Opens a listener and hands it over.
pub fn give() -> io::Result<()> {
    let listener = listen()?;
    let (from, to) = pipe_with(PipeFlags::CLOEXEC)?;
    let descriptors = [listener.as_fd(), to.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(stdin(), &[IoSlice::new(&WORD)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(dup2_stdin(from)?)
}

/// A listener on the loopback of a network that is new.
pub fn listen() -> io::Result<TcpListener> {
    raise_loopback()?;
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}

/// Takes the loopback into use, as `ip link set lo up` does.
fn raise_loopback() -> io::Result<()> {
    const LENGTH: u32 = 32;
    let up = libc::IFF_UP as u32;
    let how = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
    let mut request = Vec::with_capacity(LENGTH as usize);
    // A message to the kernel: its length, what it is, how it is meant, and its number and sender, which do not matter here.
    request.extend(LENGTH.to_ne_bytes());
    request.extend(libc::RTM_NEWLINK.to_ne_bytes());
    request.extend(how.to_ne_bytes());
    request.extend([0; 8]);
    // The interface: no family, no type, which one, its flags, and which of them are to change.
    request.extend([0; 4]);
    request.extend(LOOPBACK.to_ne_bytes());
    request.extend(up.to_ne_bytes());
    request.extend(up.to_ne_bytes());
    // No protocol means the first, which is for interfaces and routes.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    send(&socket, &request, SendFlags::empty())?;
    let mut answer = [0; 128];
    let (length, _) = recv(&socket, &mut answer, RecvFlags::empty())?;
    let kind = answer[..length].get(4..6).map(|bytes| u16::from_ne_bytes([bytes[0], bytes[1]]));
    let code = answer[..length].get(16..20).and_then(|bytes| Some(i32::from_ne_bytes(bytes.try_into().ok()?)));
    match (kind, code) {
        (Some(kind), Some(0)) if i32::from(kind) == libc::NLMSG_ERROR => Ok(()),
        (_, Some(code)) if code < 0 => Err(io::Error::from_raw_os_error(-code)),
        _ => Err(io::Error::other("the kernel gave no answer about the loopback")),
    }
}
