// SPDX-License-Identifier: MIT OR Apache-2.0
//! A speaker in a program of its own: sessions and tables, no kernel, no log.
//!
//! ```text
//! speaker FILE
//! ```
//!
//! The file has one statement a line; `#` begins a comment.
//!
//! ```text
//! asn 65000
//! router-id 10.99.0.1
//! listen 10.99.0.1:179
//! control /run/speaker.sock      # takes `originate PREFIX` and `withdraw PREFIX`, a line each
//! transit                        # pass on what is learned
//! peer NAME ADDRESS ASN [passive] [rr-client] [hold SECONDS]
//! ```
//!
//! SIGTERM closes the sessions and ends it.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::{FromStr, SplitWhitespace};
use std::time::Duration;

use bgp::{Asn, BgpId, Handle, Originate, PeerConfig, Shutdown, SpeakerConfig, Start};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

type Error = Box<dyn std::error::Error>;

/// What the file says.
struct Settings {
    config: SpeakerConfig,
    control: Option<PathBuf>,
    /// Pass on what is learned.
    transit: bool,
}

impl Settings {
    fn parse(text: &str) -> Result<Self, Error> {
        let config = SpeakerConfig::new(Asn(0), BgpId::from_str("0.0.0.1")?);
        let mut settings = Self { config, control: None, transit: false };
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            settings.statement(line).map_err(|error| format!("line {number}: {error}"))?;
        }
        // Nobody here takes best paths.
        settings.config.publish = false;
        for peer in &mut settings.config.peers {
            peer.transit = settings.transit;
        }
        Ok(settings)
    }

    fn statement(&mut self, line: &str) -> Result<(), Error> {
        let mut words = line.split_whitespace();
        match words.next() {
            None => return Ok(()),
            Some("asn") => self.config.asn = Asn(value(&mut words)?),
            Some("router-id") => self.config.router_id = value(&mut words)?,
            Some("listen") => self.config.listen.push(value(&mut words)?),
            Some("control") => self.control = Some(value(&mut words)?),
            Some("transit") => self.transit = true,
            Some("peer") => {
                let peer = self.peer(&mut words)?;
                self.config.peers.push(peer);
            }
            Some(other) => return Err(format!("unknown statement {other}").into()),
        }
        match words.next() {
            None => Ok(()),
            Some(word) => Err(format!("{word} is one word too many").into()),
        }
    }

    fn peer(&mut self, words: &mut SplitWhitespace<'_>) -> Result<PeerConfig, Error> {
        let name: String = value(words)?;
        let mut peer = PeerConfig::new(name.clone(), value(words)?, Asn(value(words)?));
        while let Some(word) = words.next() {
            match word {
                "passive" => peer.passive = true,
                "rr-client" => peer.route_reflector_client = true,
                "hold" => {
                    peer.timers.hold_time = Duration::from_secs(value(words)?);
                    peer.timers.keepalive = peer.timers.hold_time / 3;
                    peer.timers.send_hold = peer.timers.hold_time * 2;
                }
                other => return Err(format!("unknown word {other}").into()),
            }
        }
        Ok(peer)
    }
}

fn value<T: FromStr<Err: Display>>(words: &mut SplitWhitespace<'_>) -> Result<T, Error> {
    let word = words.next().ok_or("a word is missing")?;
    word.parse().map_err(|error| format!("{word}: {error}").into())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let path = std::env::args_os().nth(1).ok_or("usage: speaker FILE")?;
    let settings = Settings::parse(&std::fs::read_to_string(path)?)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let control = settings.control.map(UnixListener::bind).transpose()?;
    let (handle, requests) = Handle::new();
    handle.originate().complete();
    let speaker = bgp::net::run(settings.config, Start::Cold, requests, CancellationToken::new());
    let user = async {
        tokio::select! {
            _ = terminate.recv() => {
                handle.shutdown(Shutdown::Cease { subcode: 2, text: String::new() }).await
            }
            ended = serve(control, &handle) => ended,
        }
    };
    let (ended, asked) = tokio::join!(speaker, user);
    ended?;
    asked?;
    Ok(())
}

/// Takes commands, one connection after the other; ends only when the speaker has ended.
async fn serve(control: Option<UnixListener>, handle: &Handle) -> Result<(), bgp::Stopped> {
    loop {
        let stream = match &control {
            Some(control) => control.accept().await,
            None => std::future::pending().await,
        };
        let Ok((stream, _)) = stream else { continue };
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Err(error) = obey(&line, handle) {
                eprintln!("{line}: {error}");
            }
        }
    }
}

fn obey(line: &str, handle: &Handle) -> Result<(), Error> {
    let mut words = line.split_whitespace();
    match words.next() {
        Some("originate") => handle.originate().set(value(&mut words)?, Originate::default()),
        Some("withdraw") => handle.originate().remove(value(&mut words)?),
        _ => return Err("unknown command".into()),
    }
    Ok(())
}
